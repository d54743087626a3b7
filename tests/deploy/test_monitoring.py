"""The dashboard and the autoscaler's metric ask for series that exist, by the labels that they have."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from tests.deploy.project import DEPLOY, gateway_metrics, gateway_routes, read_yaml, torchserve_metrics

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboards/hashlake.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def adapter_query() -> str:
    (rule,) = read_yaml(DEPLOY / "prometheus/adapter.yaml")["rules"]["custom"]
    query: str = rule["metricsQuery"]
    return query.replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="a"')


def queries() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], re.sub(r"\$__(rate_)?interval", "5m", target["expr"])
    for annotation in DASHBOARD["annotations"]["list"]:
        yield "annotation " + annotation["name"], annotation["expr"]
    yield "adapter", adapter_query()


class Selectors(list[Any]):
    """The vector selectors of a PromQL expression."""

    def __init__(self, expression: str) -> None:
        self._walk(promql_parser.parse(expression))

    def _walk(self, node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            self.append(node)
        for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
            child = getattr(node, name, None)
            if child is not None:
                self._walk(child)
        for child in getattr(node, "args", None) or ():
            self._walk(child)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every series that Prometheus gets, with its labels; those that Prometheus adds in Kubernetes included."""
    found = torchserve_metrics() | gateway_metrics(tmp_path_factory.mktemp("store"))
    return {name: labels | {"namespace", "pod"} for name, labels in found.items()}


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_queries_name_series_and_labels_that_exist(where: str, query: str, series: dict[str, set[str]]) -> None:
    selectors = Selectors(query)
    assert selectors, where
    for selector in selectors:
        assert selector.name in series
        assert {matcher.name for matcher in selector.matchers.matchers} <= series[selector.name]


def test_a_name_that_does_not_exist_would_be_noticed(series: dict[str, set[str]]) -> None:
    names = [each.name for each in Selectors("sum(rate(a_total[5m])) / clamp_min(sum by (x) (b), 1) or -c{d='e'}")]
    assert names == ["a_total", "b", "c"]
    assert "hashlake_swaps_total" not in series


def test_routes_in_queries_are_the_gateways(tmp_path: Path) -> None:
    asked = {
        route
        for _, query in queries()
        for matcher in re.findall(r'route=~?"([^"]+)"', query)
        for route in matcher.split("|")
    }
    assert asked == {"/readyz", "/api/search", "/predictions/image-retrieval-v1.0"}
    assert asked <= gateway_routes(tmp_path)


def test_the_panels_show_what_operators_ask_for() -> None:
    titles = {panel["title"] for panel in PANELS}
    assert titles >= {
        "Rate",
        "Latency by step, mean",
        "Queue",
        "Workers",
        "Version age",
        "Swaps and refused versions",
        "Refused versions, last 24 h",
    }


def test_every_metric_of_the_handler_is_on_the_dashboard() -> None:
    shown = {selector.name for _, query in queries() for selector in Selectors(query)}
    ours = {name for name in torchserve_metrics() if name.startswith("hashlake_")}
    assert len(ours) == 7 and ours <= shown


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (a, b)


def test_panels_ask_the_datasource_that_is_chosen_above() -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    (source,) = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["type"] == variable["query"] and source["isDefault"]
    for panel in PANELS:
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_the_autoscalers_metric_is_found_by_a_series_that_exists(series: dict[str, set[str]]) -> None:
    (rule,) = read_yaml(DEPLOY / "prometheus/adapter.yaml")["rules"]["custom"]
    (selector,) = Selectors(rule["seriesQuery"])
    assert selector.name in series
    assert rule["name"] == {"as": "hashlake_queue_milliseconds"}

"""A batch is answered request by request: nothing of one ever shows in another."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from handler.follower import VersionFollower
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from hashing.model import HashModel
from searcher.manifest import ModelIdentity
from searcher.store import IndexStore
from tests.fakes import png_of
from tests.versions import publish

CODES = {"a b/white cat.png": 0xFFFF, "a b/'quoted' \"dog\".png": 0xFFFE, "ñandú/日本.png": 0xFF00, "-dash.png": 0x0000}


class Sink:
    """Takes what metrics hand over, as TorchServe would."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add_counter(self, name: str, value: float, *, dimensions: list[Any]) -> None:
        self.values[name] = self.values.get(name, 0) + value

    def add_time(self, name: str, value: float, *, unit: str, dimensions: list[Any]) -> None:
        self.values[name] = value


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index_store")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def retrieval(store: IndexStore, grid: HashModel, metrics: Metrics) -> Retrieval:
    return Retrieval(grid, VersionFollower(store, ModelIdentity.model_validate(grid.identity())), metrics)


def request(code: int, **fields: Any) -> dict[str, Any]:
    return {"body": {"image": base64.b64encode(png_of(code)).decode(), **fields}}


def bodies(retrieval: Retrieval, *batch: dict[str, Any]) -> list[Any]:
    return [json.loads(answer.body) for answer in retrieval.answer(batch)]


def test_the_nearest_come_first_each_path_as_listed(
    retrieval: Retrieval, store: IndexStore, grid: HashModel, tmp_path: Path
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    (answer,) = bodies(retrieval, request(0xFFFF, debug=True))
    assert answer == {"index_database_version": "1.2.0", "relevant": list(CODES), "distances": [0, 1, 8, 16]}


def test_top_k_and_debug_stay_with_their_request(
    retrieval: Retrieval, store: IndexStore, grid: HashModel, tmp_path: Path
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    first, second, third = bodies(
        retrieval,
        request(0xFFFF, top_k=1, debug=True),
        request(0x0000, top_k=2),
        request(0xFF00, top_k=1000, debug=True),
    )
    assert first == {"index_database_version": "1.2.0", "relevant": ["a b/white cat.png"], "distances": [0]}
    assert second == {"index_database_version": "1.2.0", "relevant": ["-dash.png", "ñandú/日本.png"]}
    assert third["distances"] == [0, 7, 8, 8]


def test_nothing_farther_than_max_distance_is_answered(
    retrieval: Retrieval, store: IndexStore, grid: HashModel, tmp_path: Path
) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    answers = bodies(
        retrieval,
        request(0xFFFF, max_distance=8, debug=True),
        request(0xFFFF, debug=True),
        request(0xFFFF, max_distance=8, top_k=1, debug=True),
        request(0x0FF0, max_distance=0, debug=True),
    )
    assert [answer["distances"] for answer in answers] == [[0, 1, 8], [0, 1, 8, 16], [0], []]
    assert answers[0]["relevant"] == list(CODES)[:3]
    assert answers[3]["relevant"] == []


def test_a_bad_request_fails_alone(retrieval: Retrieval, store: IndexStore, grid: HashModel, tmp_path: Path) -> None:
    publish(store, "1.2.0", grid, CODES, tmp_path)
    cut = base64.b64encode(png_of(1)[:60]).decode()
    text = base64.b64encode(b"no image").decode()
    batch = [request(0xFFFF, top_k=1), {"body": b"{"}, {"body": {"image": cut}}, {"body": {"image": text}}, request(0)]
    answers = retrieval.answer(batch)
    assert [int(answer.status) for answer in answers] == [200, 400, 415, 415, 200]
    assert json.loads(answers[0].body)["relevant"] == ["a b/white cat.png"]
    assert json.loads(answers[4].body)["relevant"][0] == "-dash.png"


def test_ties_come_in_the_order_of_the_listing(
    retrieval: Retrieval, store: IndexStore, grid: HashModel, tmp_path: Path
) -> None:
    publish(store, "1.0.0", grid, {f"{name}.png": 0x00FF for name in "zyxwvu"} | {"near.png": 0x00FE}, tmp_path)
    (answer,) = bodies(retrieval, request(0x00FE, top_k=4, debug=True))
    assert answer["relevant"] == ["near.png", "z.png", "y.png", "x.png"]
    assert answer["distances"] == [0, 1, 1, 1]


def test_without_a_version_good_requests_get_503_and_bad_ones_their_own_error(retrieval: Retrieval) -> None:
    good, bad = retrieval.answer([request(1), {"body": b"{"}])
    assert (int(good.status), int(bad.status)) == (503, 400)
    assert json.loads(good.body) == {
        "code": 503,
        "type": "ServiceUnavailableException",
        "message": "no index version is published yet",
    }


def test_an_image_over_the_limits_is_413(retrieval: Retrieval) -> None:
    (answer,) = retrieval.answer([{"image": b"\xff" * (32 * 1024 * 1024 + 1)}])
    assert int(answer.status) == 413
    assert "33,554,433 bytes" in json.loads(answer.body)["message"]


def test_a_failure_of_the_server_itself_is_a_500_without_details(
    retrieval: Retrieval, store: IndexStore, grid: HashModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(store, "1.0.0", grid, CODES, tmp_path)
    version = retrieval._follower.version()
    assert version is not None
    version.images.close()  # as if the disk had gone
    first, second = retrieval.answer([request(1), request(2)])
    assert (int(first.status), int(second.status)) == (500, 500)
    assert json.loads(first.body)["message"] == "the server failed to answer; its log says why"
    assert "closed database" in caplog.text


def test_metrics_are_summed_and_handed_over_once_a_second(
    retrieval: Retrieval, store: IndexStore, grid: HashModel, tmp_path: Path, metrics: Metrics
) -> None:
    publish(store, "1.0.0", grid, CODES, tmp_path)
    retrieval.answer([request(1), request(2), {"body": b"{"}])
    sink = Sink()
    metrics.hand_over(sink, retrieval._follower.version())
    assert sink.values["hashlake_pictures_total"] == 2
    assert sink.values["hashlake_refused_requests_total"] == 1
    assert all(sink.values[f"hashlake_{step}_milliseconds_total"] > 0 for step in ("decode", "hash", "search"))
    assert 0 <= sink.values["hashlake_version_age_seconds"] < 60
    retrieval.answer([request(1)])
    metrics.hand_over(sink, None)  # within the same second: kept for later
    assert sink.values["hashlake_pictures_total"] == 2

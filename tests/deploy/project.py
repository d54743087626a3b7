"""What the deployment must agree with: the README's variables, and the metrics and routes that the code really has."""

import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import create_app
from gateway.images.open_versions import OpenVersions
from gateway.metrics import Metrics
from gateway.settings import GatewaySettings
from gateway.torchserve.model_memory import LoadedModel
from searcher.versions.store import IndexStore

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
CHART = DEPLOY / "helm" / "hashlake"

INFERENCE, METRICS, GATEWAY, EXTRACTOR = 8080, 8082, 8000, 5000
USER = 10001


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def documented_variables() -> dict[str, str]:
    """The README's table: variable → default."""
    rows = re.findall(
        r"^\| `(HASHLAKE_\w+)` \| ([^|]*) \|", (REPOSITORY / "README.md").read_text("utf-8"), re.MULTILINE
    )
    return {name: default.strip() for name, default in rows}


def image_environment() -> dict[str, str]:
    """The ENV of the final stage of ``searcher/Dockerfile``."""
    stage = (REPOSITORY / "searcher" / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2].replace("\\\n", " ")
    lines = re.findall(r"^ENV (.*)$", stage, re.MULTILINE)
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


def torchserve_metrics() -> dict[str, set[str]]:
    """Every metric of TorchServe's /metrics and its labels, as ``handler/metrics.yaml`` declares them."""
    declared = read_yaml(REPOSITORY / "handler" / "metrics.yaml")
    found = {}
    for part, added in (("ts_metrics", set()), ("model_metrics", {"Hostname"})):
        for kind in ("counter", "gauge"):
            for each in declared[part][kind]:
                found[each["name"]] = set(each["dimensions"]) | added
    return found


def gateway_metrics(folder: Path) -> dict[str, set[str]]:
    """Every series of the gateway's /metrics and its labels, as it prints them after one request."""
    metrics = Metrics(OpenVersions(IndexStore(folder)))
    metrics.seconds.labels("/readyz", "GET", 200).observe(0.1)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(
        metrics.text([LoadedModel("image-retrieval-v1.0", "", 1, 1)]).decode()
    ):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def gateway_routes(folder: Path) -> set[str]:
    """Paths as the metrics' label ``route`` has them."""
    app = create_app(GatewaySettings(state=folder, index_store=folder, model_store=folder))
    return set(app.openapi()["paths"])

"""The figures at ``/metrics``: requests by route, method and status, the current version, and the models' memory.

Measure (outermost) ─▶ times every answer, to its end ─▶ Metrics ─▶ Prometheus' text format
"""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.images.open_versions import OpenVersions
from gateway.torchserve.model_memory import LoadedModel
from searcher.errors import SearcherError


class Metrics:
    """Counts requests by route, method and status; shows the current version's images and publication time."""

    def __init__(self, versions: OpenVersions) -> None:
        self._versions = versions
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "hashlake_gateway_request_seconds",
            "Time of requests, to the end of the answer.",
            ["route", "method", "status"],
            registry=self.registry,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60),
        )
        self._images = Gauge("hashlake_gateway_images", "Images of the current version.", registry=self.registry)
        self._published = Gauge(
            "hashlake_gateway_version_published_timestamp_seconds",
            "When the current version was published.",
            registry=self.registry,
        )
        self._memory = Gauge(
            "hashlake_gateway_model_memory_bytes",
            "What the workers of a served model take together, and would give back.",
            ["model"],
            registry=self.registry,
        )
        self.reindexed = Counter(
            "hashlake_gateway_reindex_jobs", "Reindexing jobs that were started here.", registry=self.registry
        )

    def text(self, models: Iterable[LoadedModel]) -> bytes:
        """Returns all figures in Prometheus' text format; ``models`` are those that TorchServe has."""
        self._memory.clear()
        for model in models:
            self._memory.labels(model.name).set(model.memory_bytes)
        try:
            manifest = self._versions.get().manifest
            self._images.set(manifest.count)
            self._published.set(manifest.created.timestamp())
        except SearcherError:
            self._images.set(0)
        return generate_latest(self.registry)


class Measure:
    """ASGI middleware that times requests for ``metrics``."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            # The route's template, not the URL: there are as many URLs as rows.
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.seconds.labels(route, scope["method"], status).observe(time.perf_counter() - started)

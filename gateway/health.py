"""``/healthz``, ``/readyz`` and ``/metrics``: is it up, can it answer, and how it has been."""

import asyncio
import time
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.open_versions import OpenVersions
from gateway.torchserve import TorchServe, TorchServeError
from searcher.errors import SearcherError

#: Workers answer a query within milliseconds, and follow a new version with it.
_READY_SECONDS = 3.0
#: If it says nothing at all, not even which workers there are.
_HANGING_SECONDS = 6.0
#: An answer is kept so long, however many ask.
_KEPT_SECONDS = 1.0

router = APIRouter(tags=["health"])


class Up(BaseModel):
    """The process answers."""

    status: str = Field(default="up", description="always this", examples=["up"])


class ReadyWorker(BaseModel):
    """One worker process of the search server."""

    pid: int = Field(examples=[17])
    version: str | None = Field(description="what it answers from; null if it doesn't", examples=["1.2.0"])


class Ready(BaseModel):
    """Whether every worker answers a real query from the current version."""

    ready: bool = Field(description="whether it is so", examples=[True])
    version: str | None = Field(description="the current one; null while there is none", examples=["1.2.0"])
    workers: list[ReadyWorker] = Field(description="by their process numbers")
    message: str = Field(default="", description="why not", examples=[""])


class Readiness:
    """Asks the workers, for whoever wants to know: at most once a second."""

    def __init__(self, torchserve: TorchServe, versions: OpenVersions) -> None:
        self._torchserve = torchserve
        self._versions = versions
        self._lock = asyncio.Lock()
        self._last: tuple[float, Ready] | None = None

    async def now(self) -> Ready:
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > _KEPT_SECONDS:
                ready = await self._ask()
                self._last = time.monotonic(), ready
            return self._last[1]

    async def _ask(self) -> Ready:
        try:
            current = await asyncio.to_thread(self._versions.current)
            if current is None:
                return Ready(ready=False, version=None, workers=[], message="no index version is published yet")
            async with asyncio.timeout(_HANGING_SECONDS):
                heard = await self._torchserve.ask_workers(current, _READY_SECONDS)
        except TimeoutError:
            return Ready(ready=False, version=current, workers=[], message="the search server doesn't answer")
        except (TorchServeError, SearcherError) as error:
            return Ready(ready=False, version=None, workers=[], message=str(error))
        workers = [ReadyWorker(pid=pid, version=answered.version) for pid, answered in sorted(heard.items())]
        late = [worker for worker in workers if worker.version != current]
        message = f"{len(late)} of {len(workers)} workers don't answer from {current}" if late else ""
        return Ready(ready=bool(workers) and not late, version=current, workers=workers, message=message)


@router.get("/healthz", summary="Whether this process is up", operation_id="healthz")
async def healthz() -> Up:
    return Up()


@router.get(
    "/readyz",
    summary="Whether every worker answers from the current version",
    operation_id="readyz",
    response_model=Ready,
    responses={503: {"model": Ready, "description": "not every worker does; the message says why"}},
)
async def readyz(request: Request) -> Response:
    readiness: Readiness = request.app.state.readiness
    ready = await readiness.now()
    status = HTTPStatus.OK if ready.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(ready.model_dump(), status)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    counted: Metrics = request.app.state.metrics
    return Response(await asyncio.to_thread(counted.text), media_type=CONTENT_TYPE_LATEST)


class Metrics:
    """Requests by route, method and status; the current version's images and age."""

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
        self.reindexed = Counter(
            "hashlake_gateway_reindex_jobs", "Reindexing jobs that were started here.", registry=self.registry
        )

    def text(self) -> bytes:
        """In Prometheus' text format."""
        try:
            manifest = self._versions.get().manifest
            self._images.set(manifest.count)
            self._published.set(manifest.created.timestamp())
        except SearcherError:
            self._images.set(0)
        return generate_latest(self.registry)


class Measure:
    """ASGI middleware that counts what ``metrics`` shows."""

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

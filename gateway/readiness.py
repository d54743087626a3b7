"""Whether every worker answers a real query from the current version."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pydantic import AwareDatetime, BaseModel, Field

from gateway.errors import TorchServeError
from gateway.images.open_versions import OpenVersions
from gateway.torchserve.client import TorchServeClient
from searcher.errors import SearcherError
from searcher.versions.verdict import verdict_on

#: Time for every worker to answer. A query takes milliseconds, and makes the worker load a new version.
_READY_SECONDS = 3.0
#: Limit for TorchServe that hangs, and doesn't even list its workers.
_HANGING_SECONDS = 6.0
#: How long an answer is reused, however many clients ask.
_KEPT_SECONDS = 1.0


class ReadyWorker(BaseModel):
    """One worker process of the search server."""

    pid: int = Field(examples=[17])
    version: str | None = Field(description="what it answers from; null if it doesn't", examples=["1.2.0"])


class Ready(BaseModel):
    """Whether every worker answers a real query from the current version."""

    ready: bool = Field(description="whether it is so", examples=[True])
    version: str | None = Field(description="the current one; null while there is none", examples=["1.2.0"])
    workers: list[ReadyWorker] = Field(description="by their process numbers")
    verified: AwareDatetime | None = Field(
        default=None,
        description="when every byte of the current version was last found to be as published; null until then",
        examples=["2020-05-02T12:00:00Z"],
    )
    damaged: str | None = Field(
        default=None, description="the file of the current version that isn't what was published", examples=[None]
    )
    message: str = Field(default="", description="why not", examples=[""])


class Readiness:
    """Asks ``ready`` at most once a second, whoever wants to know."""

    def __init__(self, ready: Callable[[], Awaitable[Ready]]) -> None:
        self._ready = ready
        self._lock = asyncio.Lock()
        self._last: tuple[float, Ready] | None = None

    async def now(self) -> Ready:
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > _KEPT_SECONDS:
                ready = await self._ready()
                self._last = time.monotonic(), ready
            return self._last[1]


class ServedHere:
    """Asks the workers of ``torchserve``, which answer from ``versions``."""

    def __init__(self, torchserve: TorchServeClient, versions: OpenVersions) -> None:
        self._torchserve = torchserve
        self._versions = versions

    async def ready(self) -> Ready:
        current: str | None = None
        try:
            async with asyncio.timeout(_HANGING_SECONDS):  # threads may all be busy
                current = await asyncio.to_thread(self._versions.current)
                if current is None:
                    return Ready(ready=False, version=None, workers=[], message="no index version is published yet")
                heard = await self._torchserve.ask_workers(current, _READY_SECONDS)
        except TimeoutError:
            return Ready(ready=False, version=current, workers=[], message="the search server doesn't answer")
        except (TorchServeError, SearcherError) as error:
            return Ready(ready=False, version=None, workers=[], message=str(error))
        workers = [ReadyWorker(pid=pid, version=answered.version) for pid, answered in sorted(heard.items())]
        late = [worker for worker in workers if worker.version != current]
        verdict = await asyncio.to_thread(verdict_on, self._versions.store.folder / current)
        found = [f"{len(late)} of {len(workers)} workers don't answer from {current}"] if late else []
        if verdict is not None and verdict.message:
            found.insert(0, verdict.message)
        return Ready(
            ready=bool(workers) and not found,
            version=current,
            workers=workers,
            verified=verdict.checked if verdict is not None and verdict.damaged is None else None,
            damaged=verdict.damaged if verdict is not None else None,
            message="; ".join(found),
        )

"""Keeps the models of collections within ``HASHLAKE_MODEL_MEMORY_MB``.

    a model is to be loaded ─▶ room for what it took last, or may take by its file ─▶ it is loaded, and measured
                               ▲ the others, but for those in use, are unloaded,  ─▶ room for what it really takes
                                 the one first that waits longest for a request

The datalake's model stays, and doesn't count. A model takes what all its workers would give back
(handler/memory.py).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus

from contract.names import MODEL_NAME
from gateway.errors import RequestRefused, TorchServeError
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.http import ANSWER_SECONDS

#: What a worker takes beside the model's file, before it has said so: PyTorch, numba and what they compile.
_WORKER_BYTES = 270 << 20


@dataclass(frozen=True)
class LoadedModel:
    """A model that TorchServe has: the ``name`` that it has there, the sha256 of its file, the number of its
    ``workers`` and the bytes that they take together."""

    name: str
    sha256: str
    workers: int
    memory_bytes: int


def guessed_bytes(file_bytes: int, workers: int) -> int:
    """Returns what the ``workers`` of a model may take whose file has ``file_bytes``."""
    return workers * (file_bytes + _WORKER_BYTES)


class ModelMemory:
    """Knows which models are in use, and makes room for others: at most ``most`` bytes for all but the datalake's, or
    as many as they like for None. ``unload`` ends a model by its name. Belongs to one event loop."""

    def __init__(
        self, torchserve: TorchServeClient, most: int | None, unload: Callable[[str], Awaitable[None]]
    ) -> None:
        self._torchserve = torchserve
        self._most = most
        self._unload = unload
        self._uses: Counter[str] = Counter()
        self._used: dict[str, float] = {}
        self._measured: dict[str, int] = {}
        self._freed = asyncio.Event()

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """The model ``name`` isn't unloaded within the block."""
        self._uses[name] += 1
        try:
            yield
        finally:
            self._uses[name] -= 1
            self._used[name] = time.monotonic()
            self._freed.set()

    async def idle(self, name: str) -> None:
        """Return once nobody uses the model ``name``. Raises RequestRefused (503) if that takes longer than an answer
        may."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while self._uses[name]:
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError as error:
            raise RequestRefused(
                HTTPStatus.SERVICE_UNAVAILABLE, f"the model {name} is in use, and must make room for another one"
            ) from error

    async def loaded(self) -> list[LoadedModel]:
        """Returns all models that TorchServe has, the datalake's among them, as they are now; without those that don't
        say. Raises TorchServeError."""
        found = []
        for name in await self._torchserve.model_names():
            with suppress(TorchServeError):  # unloaded just now, or none of its workers answers
                each = await self._torchserve.describe(name)
                workers = int(each["workers"])
                memory = workers * int(each.get("memory_bytes", 0))
                self._measured[name] = memory
                found.append(LoadedModel(name, each["sha256"], workers, memory))
        return found

    async def make_room(self, name: str, guessed: int) -> None:
        """Unload others until the model ``name`` fits beside those that are left. Before it is measured, it takes as
        many bytes as ``guessed``. Raises TorchServeError, and RequestRefused (503) if it never fits or others don't
        become idle."""
        while self._most is not None:
            others = {each.name: each.memory_bytes for each in await self.loaded()}
            others.pop(MODEL_NAME, None)
            others.pop(name, None)
            wanted = self._measured.get(name, guessed)
            if wanted > self._most:
                raise RequestRefused(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"the model {name} takes {_megabytes(wanted)} MB, and HASHLAKE_MODEL_MEMORY_MB allows "
                    f"{_megabytes(self._most)}",
                )
            if sum(others.values()) + wanted <= self._most:
                return
            await self._unload(min(others, key=lambda each: (self._uses[each] > 0, self._used.get(each, 0.0))))


def _megabytes(count: int) -> int:
    return -(-count // (1 << 20))

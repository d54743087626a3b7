"""Workers do the indexer's work: items in, their outcomes out, in the same order.

    local                  threads of this process                  ┐
    ray                    the cores or GPUs of this machine        │ WORKERS.get(name) ─▶ a function that opens them
    ray://HOST:10001       those of a cluster, from outside         │
    ray:HOST:6379          those of the cluster this machine is in  ┘

What each worker needs is a ``Task``. Those on other machines get a copy of it, and load the model themselves.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from contract.registry import BuiltIn, Registry
from embedding.cores import usable_cores
from embedding.embedder import Embedder
from indexer.changes import KnownVectors
from indexer.hasher import CHUNK, Hasher
from indexer.outcome import Outcome
from sources.source import Item, Source, Splitter

Work = Callable[[Sequence[Item]], list[Outcome]]
Batches = Iterator[list[Item]]


@dataclass(frozen=True)
class Task:
    """What there is to hash: items of ``source`` that aren't ``known``, and those that ``splitters`` make of them."""

    source: Source
    known: KnownVectors
    splitters: Sequence[Splitter] = ()

    def hasher(self, model: Embedder) -> Hasher:
        return Hasher(model, self.source, self.known, self.splitters)


class Workers(Protocol):
    """``map`` raises the errors that the work raises."""

    def map(self, items: Iterator[Item], start: int = 0) -> Iterator[list[Outcome]]:
        """Yields the outcomes of ``items``, the first of which is number ``start`` of the source: some at a time, in
        order. Takes items only as fast as it works on them: there may be a hundred million."""


class OpenWorkers(Protocol):
    """A function that opens workers."""

    def __call__(self, model: Embedder, task: Task, folder: Path) -> AbstractContextManager[Workers]:
        """Returns a context that opens workers, which hash what ``task`` says with ``model``, for the unfinished build
        in ``folder``. Raises IndexingError."""


class NamedWorkers(Protocol):
    """What the registry has by name."""

    def __call__(self, address: str, load: Callable[[str], Embedder], device: str) -> OpenWorkers:
        """Returns the function that opens the workers at ``address``. Those with a process of their own ``load`` the
        model on ``device``, or the part of it that they have to themselves."""


class LocalWorkers:
    """Threads of this process, one per core unless ``threads`` says otherwise. ``started`` sees the batches as they are
    taken, before they are worked on.

    Each thread takes a batch through all stages. Decoding and the forward pass release Python's global lock, so batches
    run in parallel and no thread waits for another stage.
    """

    def __init__(
        self, work: Work, threads: int | None = None, started: Callable[[Batches], Batches] = lambda batches: batches
    ) -> None:
        self._work = work
        self._threads = threads or usable_cores()
        self._started = started

    def map(self, items: Iterator[Item], start: int = 0) -> Iterator[list[Outcome]]:
        threads = self._threads
        with ThreadPoolExecutor(threads) as pool:
            running: deque[Future[list[Outcome]]] = deque()
            for batch in self._started(batches_of(items, CHUNK)):
                running.append(pool.submit(self._work, batch))
                if len(running) > 4 * threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()


def batches_of(items: Iterator[Item], size: int) -> Batches:
    """Yields ``items`` in lists of ``size``, the last one perhaps shorter."""
    while batch := list(islice(items, size)):
        yield batch


@contextmanager
def hash_here(
    model: Embedder, task: Task, folder: Path | None = None, *, threads: int | None = None
) -> Iterator[Workers]:
    """Opens local workers, as ``OpenWorkers``; they leave nothing in ``folder``."""
    with closing(task.hasher(model)) as hasher:
        yield LocalWorkers(hasher.outcomes, threads, hasher.started)


def local(address: str, load: Callable[[str], Embedder], device: str) -> OpenWorkers:
    """As ``NamedWorkers``."""
    return hash_here


WORKERS = Registry(
    "kind of workers",
    "hashlake.workers",
    {"local": BuiltIn("indexer.workers:local"), "ray": BuiltIn("indexer.ray_workers:on_ray", "ray")},
)


def workers_at(address: str, load: Callable[[str], Embedder], device: str) -> OpenWorkers:
    """Returns the function that opens the workers at ``address``, as ``NamedWorkers``. Raises NotRegistered."""
    named: NamedWorkers = WORKERS.get(address.partition(":")[0])
    return named(address, load, device)

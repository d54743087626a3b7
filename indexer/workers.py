"""Workers do the indexer's work: batches of items in, outcomes out, in the same order.

A worker is made from the work, a function that takes a batch (``Hasher.outcomes``), and doesn't know what it does.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from embedding.cores import usable_cores
from indexer.outcome import Outcome
from sources.source import Item

Work = Callable[[Sequence[Item]], list[Outcome]]


class Workers(Protocol):
    """Made from a ``Work``. ``map`` raises the errors that the work raises."""

    def map(self, batches: Iterator[list[Item]]) -> Iterator[list[Outcome]]:
        """Yields the outcomes of each batch, in order. Takes batches only as fast as it works on them: there may be a
        hundred million items."""


class LocalWorkers:
    """Threads of this process, one per core unless ``threads`` says otherwise.

    Each thread takes a batch through all stages. Decoding and the forward pass release Python's global lock, so batches
    run in parallel and no thread waits for another stage.
    """

    def __init__(self, work: Work, threads: int | None = None) -> None:
        self._work = work
        self._threads = threads or usable_cores()

    def map(self, batches: Iterator[list[Item]]) -> Iterator[list[Outcome]]:
        threads = self._threads
        with ThreadPoolExecutor(threads) as pool:
            running: deque[Future[list[Outcome]]] = deque()
            for batch in batches:
                running.append(pool.submit(self._work, batch))
                if len(running) > 4 * threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()

"""Search by distances that a GPU counts, where that is measurably faster than on the CPU.

    the GPU: every row that is no farther than the k-th nearest  ─▶  second codes, order, the best k: here

Since all of the rows at the k-th distance come along, it makes no difference in which order a GPU finds them: ties are
decided here, as the other engines decide them. This room knows no GPU; who has one offers what counts on it.
"""

import logging
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from searcher.engine import Engine, Question, Ties

logger = logging.getLogger(__name__)

#: Fewer codes than this the CPU has compared before a GPU answers.
_LEAST = 1_000_000

#: Codes of the version that are searched for in the comparison, and how many at once: what a server is asked.
_SAMPLES = 16
_BATCHES = (1, 4)
_TOP_K = 10
_ROUNDS = 5

Search = Callable[[Question], list[NDArray[np.int64]]]


class Near(Protocol):
    """Codes in the memory of a GPU."""

    def near(
        self, query: NDArray[np.uint8], top_k: int, limit: int, allowed: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Distances and rows, int64 (m,) each, in any order.

        Of the rows that the bitmap ``allowed`` has (all if it is None), and whose codes differ from ``query``, uint8
        (bytes,), in fewer than ``limit`` bits: every one that is no farther than the ``top_k``-th nearest. Raises
        RuntimeError when the GPU fails.
        """


class GpuScan:
    """Compares queries with every one of the codes that ``gpu`` holds; should it fail, ``cpu`` answers for good."""

    def __init__(self, gpu: Near, cpu: Engine) -> None:
        self._gpu: Near | None = gpu
        self._cpu = cpu

    def search(self, question: Question) -> list[NDArray[np.int64]]:
        """As ``Engine.search``."""
        gpu = self._gpu
        if gpu is not None:
            try:
                return nearest(gpu, question)
            except (RuntimeError, MemoryError) as error:
                self._gpu = None  # and with it the memory it holds
                logger.error("searching on the CPU from now on: the GPU failed (%s)", _first_line(error))
        return self._cpu.search(question)

    def within(self, query: NDArray[np.uint8], distance: int) -> NDArray[np.uint8]:
        """As ``Engine.within``."""
        return self._cpu.within(query, distance)


def nearest(gpu: Near, question: Question) -> list[NDArray[np.int64]]:
    """As ``Engine.search``. Raises RuntimeError when the GPU fails."""
    answers = []
    for place, query in enumerate(question.queries):
        top_k, limit, ties = int(question.top_k[place]), int(question.limits[place]), question.ties
        found, rows = gpu.near(query, top_k, limit, question.allowed)
        if ties is not None:
            second = np.bitwise_count(ties.codes[rows] ^ ties.queries[place]).sum(axis=1, dtype=np.int64)
            found = found * question.scale + second
        keys = found << 32 | rows
        if len(keys) > top_k:
            keys = np.partition(keys, top_k - 1)[:top_k]
        answers.append(np.sort(keys))
    return answers


def faster(
    offer: Callable[[], Near], cpu: Engine, codes: NDArray[np.uint8], second: NDArray[np.uint8] | None
) -> Engine:
    """A ``GpuScan`` of what is offered, if it gives the same answers as ``cpu`` and takes less time; else ``cpu``.

    Both search ``codes``, uint8 (n, bytes); ``second``, uint8 (n, bytes) or None, are what decides ties. One line of
    the log says what was chosen and why. Below a million codes nothing is tried.
    """
    if len(codes) < _LEAST:
        return cpu
    try:
        gpu = offer()
        asked, *others = _questions(codes, second)
        for question in (asked, *others):
            pairs = zip(nearest(gpu, question), cpu.search(question), strict=True)
            if not all(np.array_equal(one, other) for one, other in pairs):
                logger.error("searching on the CPU: the GPU gave other answers")
                return cpu
        times = [_milliseconds(asked, batch, lambda part: nearest(gpu, part), cpu.search) for batch in _BATCHES]
    except (RuntimeError, MemoryError) as error:
        logger.warning("searching on the CPU: the GPU failed (%s)", _first_line(error))
        return cpu
    wins = all(on_gpu < on_cpu for on_gpu, on_cpu in times)
    said = (
        f"{on_gpu:.3f} and {on_cpu:.3f} ms in batches of {batch}"
        for batch, (on_gpu, on_cpu) in zip(_BATCHES, times, strict=True)
    )
    chosen = "GPU" if wins else "CPU"
    logger.warning("searching on the %s: a query takes GPU and CPU %s", chosen, ", ".join(said))
    return GpuScan(gpu, cpu) if wins else cpu


def _questions(codes: NDArray[np.uint8], second: NDArray[np.uint8] | None) -> list[Question]:
    """What users ask most, first, and what else may be asked."""
    count, width = codes.shape
    rows = np.arange(_SAMPLES) * (count // _SAMPLES)
    queries = codes[rows] ^ (np.arange(_SAMPLES, dtype=np.uint8)[:, None] & 3)  # a few bits away from each of them
    ties = None if second is None else Ties(second, second[rows])
    some = np.random.default_rng(0).integers(0, 256, -(-count // 8), np.uint8)

    def question(top_k: int, most: int, allowed: NDArray[np.uint8] | None, ties: Ties | None) -> Question:
        return Question(queries, np.full(_SAMPLES, top_k), np.full(_SAMPLES, most + 1), allowed, ties)

    return [
        question(_TOP_K, 8 * width, None, ties),
        question(1000, 8 * width, None, None),
        question(100, 2 * width, some, ties),
    ]


def _milliseconds(question: Question, batch: int, *searches: Search) -> list[float]:
    """For each of ``searches`` a query's median time, in batches of ``batch``; they take turns."""
    times: list[list[float]] = [[] for _ in searches]
    parts = [question.part(slice(first, first + batch)) for first in range(0, _SAMPLES, batch)]
    for _ in range(_ROUNDS):
        for search, took in zip(searches, times, strict=True):
            for part in parts:
                started = time.perf_counter()
                search(part)
                took.append(1000 * (time.perf_counter() - started) / batch)
    return [float(np.median(took)) for took in times]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

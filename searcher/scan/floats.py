"""The nearest of float16 vectors by cosine: exact, of listed rows or of all, with ties ordered by row."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from searcher.scan.kernels import needing_numba
from searcher.scan.mapping import populate

#: Rows whose distances are in memory together.
_BLOCK = 16_384

#: Rows per thread from which one more thread gains more than it costs.
_ROWS_PER_THREAD = 100_000

#: Rows, int64 (m,), and their distances from a query, 1 − cos, float64 (m,).
Near = tuple[NDArray[np.int64], NDArray[np.float64]]


class FloatIndex:
    """Searches ``vectors``, float16 (count, width). A search of all of them may use up to ``threads`` threads."""

    def __init__(self, vectors: NDArray[np.float16], threads: int = 1) -> None:
        self._vectors = np.ascontiguousarray(vectors)  # must outlive its address
        self._threads = threads
        self.count, self.width = vectors.shape

    def distances(self, query: NDArray[np.float16], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """1 − cos between ``query``, float16 (width,), and each of ``rows``, int64 (m,); 1 where a vector is zero."""
        found = np.empty(len(rows))
        asked = query.astype(np.float64)
        self._compare(self._vectors.ctypes.data, self.width, rows, asked, float(asked @ asked), found)
        return found

    def within_reach(
        self,
        query: NDArray[np.float16],
        top_k: int,
        rows: NDArray[np.int64],
        bits: NDArray[np.int32],
        base: float,
        slope: float,
    ) -> Near:
        """The ``top_k`` of ``rows``, int64 (m,), nearest to ``query``, float16 (width,), nearest first, then by row: of
        those that differ in at most ``base`` + ``slope`` times 1 − cos of the k-th nearest so far of ``bits``, int32
        (m,), which rise."""
        distances, found = np.empty(min(top_k, len(rows))), np.empty(min(top_k, len(rows)), np.int64)
        asked = query.astype(np.float64)
        self._reach(
            self._vectors.ctypes.data,
            self.width,
            rows,
            bits,
            asked,
            float(asked @ asked),
            base,
            slope,
            distances,
            found,
        )
        order = np.lexsort((found, distances))
        return found[order], distances[order]

    def nearest(self, query: NDArray[np.float16], top_k: int, allowed: NDArray[np.uint8] | None = None) -> Near:
        """The ``top_k`` rows nearest to ``query``, float16 (width,), nearest first, then by row: of all, or of those in
        the bitmap ``allowed`` (``CodeIndex.search``)."""

        def best_from(first: int) -> Near:
            rows = np.arange(first, min(first + _BLOCK, self.count))
            if allowed is not None:
                bits = np.unpackbits(allowed[first // 8 :], count=len(rows), bitorder="little")
                rows = rows[bits.view(bool)]
            return best_of([(rows, self.distances(query, rows))], top_k)

        blocks = range(0, max(1, self.count), _BLOCK)
        threads = max(1, min(self._threads, self.count // _ROWS_PER_THREAD))
        if threads == 1:
            parts = list(map(best_from, blocks))
        else:
            with ThreadPoolExecutor(threads) as pool:  # no thread outlives its query
                parts = list(pool.map(best_from, blocks))
        return best_of(parts, top_k)

    def warm_up(self) -> None:
        """As ``CodeIndex.warm_up``; vectors that would fill half of the memory are left where they are, since a search
        reads few of them."""
        if 2 * self._vectors.nbytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"):
            Thread(target=populate, args=([self._vectors],), daemon=True).start()

    @cached_property
    def _compare(self) -> Callable[..., None]:
        with needing_numba():
            from searcher.scan.cosines import kernel
        return kernel()

    @cached_property
    def _reach(self) -> Callable[..., int]:
        with needing_numba():
            from searcher.scan.cosines import reaching_kernel
        return reaching_kernel()


def best_of(parts: Sequence[Near], top_k: int) -> Near:
    """The ``top_k`` nearest of all ``parts``, nearest first, then by row."""
    rows = np.concatenate([part for part, _ in parts])
    distances = np.concatenate([part for _, part in parts])
    if len(rows) > top_k:
        near = distances <= np.partition(distances, top_k - 1)[top_k - 1]
        rows, distances = rows[near], distances[near]
    order = np.lexsort((rows, distances))[:top_k]
    return rows[order], distances[order]


def unit(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """``vectors`` as float32 of length 1; zeros stay zeros."""
    floats = vectors.astype(np.float32)
    lengths = np.sqrt((floats * floats).sum(axis=1, keepdims=True))
    np.divide(floats, lengths, out=floats, where=lengths > 0)
    return floats

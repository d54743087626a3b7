"""Exact search in NumPy alone, for machines that numba has no build for. Slower, with the same answers."""

import numpy as np
from numpy.typing import NDArray

from searcher.tables import as_words

#: Codes compared at a time: their distances stay in the cache.
_BLOCK = 1 << 14


class PlainScan:
    """Compares queries with every one of ``codes``, uint8 (n, bits / 8)."""

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self._codes = codes

    def search(
        self,
        queries: NDArray[np.uint8],
        top_k: NDArray[np.int64],
        limits: NDArray[np.int64],
        allowed: NDArray[np.uint8] | None,
    ) -> list[NDArray[np.int64]]:
        """As ``FlatScan.search``."""
        return [
            self._nearest(query, k, limit, allowed)
            for query, k, limit in zip(as_words(queries).T, top_k.tolist(), limits.tolist(), strict=True)
        ]

    def _nearest(
        self, query: NDArray[np.uint64], k: int, limit: int, allowed: NDArray[np.uint8] | None
    ) -> NDArray[np.int64]:
        best = np.empty(0, np.int64)
        for first in range(0, len(self._codes), _BLOCK):
            block = as_words(self._codes[first : first + _BLOCK])
            distances = np.bitwise_count(block ^ query[:, None]).sum(axis=0, dtype=np.int64)
            near = distances < limit
            if allowed is not None:  # a block begins with a byte
                near &= np.unpackbits(allowed[first // 8 :], count=len(near), bitorder="little").view(bool)
            rows = np.flatnonzero(near)
            best = np.sort(np.concatenate([best, distances[rows] << 32 | (rows + first)]))[:k]
            if len(best) == k:
                limit = int(best[-1] >> 32)  # rows to come lose a tie
        return best

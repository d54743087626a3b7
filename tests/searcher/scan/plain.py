"""Exact search in NumPy alone: what the compiled searches are compared with."""

import numpy as np
from numpy.typing import NDArray

from searcher.scan.question import Question
from searcher.scan.tables import as_words

#: Codes compared at a time: their distances stay in the cache.
_BLOCK = 1 << 14


def _distances(codes: NDArray[np.uint8], query: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Differing bits between each of ``codes``, uint8 (n, bytes), and ``query``, uint8 (bytes,)."""
    differing: NDArray[np.int64] = np.bitwise_count(as_words(codes) ^ as_words(query[None])).sum(axis=0, dtype=np.int64)
    return differing


class PlainScan:
    """Compares queries with every one of ``codes``, uint8 (n, bits / 8)."""

    def __init__(self, codes: NDArray[np.uint8]) -> None:
        self._codes = codes

    def search(self, question: Question) -> list[NDArray[np.int64]]:
        """As ``CodeSearch.search``."""
        return [self._nearest(question.part([query])) for query in range(len(question.queries))]

    def within(self, query: NDArray[np.uint8], distance: int) -> NDArray[np.uint8]:
        """As ``CodeSearch.within``."""
        blocks = [self._codes[first : first + _BLOCK] for first in range(0, max(1, len(self._codes)), _BLOCK)]
        near = [np.packbits(_distances(block, query) <= distance, bitorder="little") for block in blocks]
        return np.concatenate(near)

    def _nearest(self, question: Question) -> NDArray[np.int64]:
        (query,), (k,), (limit,), ties = question.queries, question.top_k, question.limits, question.ties
        limit = int(limit) * question.scale
        best = np.empty(0, np.int64)
        for first in range(0, len(self._codes), _BLOCK):
            found = _distances(self._codes[first : first + _BLOCK], query) * question.scale
            near = found < limit
            if question.allowed is not None:  # a block begins with a byte
                near &= np.unpackbits(question.allowed[first // 8 :], count=len(near), bitorder="little").view(bool)
            rows = np.flatnonzero(near)
            found = found[rows]
            rows += first
            if ties is not None:
                found += _distances(ties.codes[rows], ties.queries[0])
            best = np.sort(np.concatenate([best, found << 32 | rows]))[:k]
            if len(best) == k:
                limit = int(best[-1] >> 32)  # rows to come lose a tie
        return best

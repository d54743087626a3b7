"""All pairs of near codes in NumPy alone, for machines that numba has no build for; and how a pair is written down.

A pair is one number, whose order is the order of pairs:

    first code, counted from where the search has begun · 2^43 + second code · 2^11 + distance
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from searcher.tables import as_words

#: Bits of the distance in a pair's number, and of the distance and the second code.
DISTANCE_BITS = 11
FIRST_SHIFT = DISTANCE_BITS + 32


def near_pairs(codes: NDArray[np.uint8], radius: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The pairs of ``codes``, uint8 (n, bytes), that are at most ``radius`` bits apart. Each time: a first code, and
    all pairs of it and of some codes after it, in any order, int64 (m,). The next time, it may be overwritten."""
    words = as_words(codes)
    for first in range(len(codes)):
        distances = np.bitwise_count(words[:, first + 1 :] ^ words[:, first : first + 1]).sum(axis=0, dtype=np.int64)
        near = np.flatnonzero(distances <= radius)
        yield first, (near + first + 1) << DISTANCE_BITS | distances[near]


def unite(parents: NDArray[np.int64], first: int, pairs: NDArray[np.int64]) -> None:
    """Make one group of those of each pair. ``parents``, int64 (n,), leads from a code to an earlier one of its group,
    and from the first to itself."""

    def root(code: int) -> int:
        while parents[code] != code:
            parents[code] = parents[parents[code]]
            code = int(parents[code])
        return code

    for pair in pairs.tolist():
        one, other = sorted((root(first + (pair >> FIRST_SHIFT)), root(pair >> DISTANCE_BITS & 0xFFFFFFFF)))
        parents[other] = one

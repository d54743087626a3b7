"""All pairs of near codes in NumPy alone: what the compiled search is compared with."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from searcher.scan.neighbours import DISTANCE_BITS, FIRST_SHIFT
from searcher.scan.tables import as_words


def near_pairs(codes: NDArray[np.uint8], radius: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The pairs of ``codes``, uint8 (n, bytes), that are at most ``radius`` bits apart. Each time: a first code, and
    all pairs of it and of some codes after it, in any order, int64 (m,). The next time, it may be overwritten."""
    words = as_words(codes)
    for first in range(len(codes)):
        distances = np.bitwise_count(words[:, first + 1 :] ^ words[:, first : first + 1]).sum(axis=0, dtype=np.int64)
        near = np.flatnonzero(distances <= radius)
        yield first, (near + first + 1) << DISTANCE_BITS | distances[near]


def keep(kept: NDArray[np.int64], nearest: NDArray[np.int64], first: int, pairs: NDArray[np.int64]) -> None:
    """Make the second of each pair, sorted, a copy of the first, if that is kept and nearer than what was so far."""
    for pair in pairs.tolist():
        one, other, distance = first + (pair >> FIRST_SHIFT), pair >> DISTANCE_BITS & 0xFFFFFFFF, pair & 0x7FF
        if kept[one] == one and distance < nearest[other]:
            kept[other], nearest[other] = one, distance

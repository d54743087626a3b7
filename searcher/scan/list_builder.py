"""Embeddings → inverted lists, by k-means on the sphere: seeded, so that the same embeddings make the same lists."""

import numpy as np
from numpy.typing import NDArray

from searcher.scan.floats import unit
from searcher.scan.lists import Lists

#: With fewer images all codes are compared: that takes less than half a millisecond.
LEAST = 20_000

_ROUNDS = 6
#: Embeddings for each centre that k-means looks at, and at most in all.
_SAMPLED, _MOST = 64, 262_144
_BLOCK = 8192


def build_lists(vectors: NDArray[np.float16], codes: NDArray[np.uint8]) -> Lists | None:
    """The lists of ``vectors``, float16 (n, width), with ``codes``, uint8 (n, bits / 8); None for fewer than LEAST.

    Takes a minute a million rows and core, and memory for the sample and a copy of the codes.
    """
    count = len(vectors)
    if count < LEAST:
        return None
    number = 1 << round(np.log2(2 * count**0.5))
    centres = _centres(vectors, number)
    of_row = _nearest(vectors, centres)
    rows = np.argsort(of_row, kind="stable").astype(np.uint32)
    starts = np.searchsorted(of_row[rows], np.arange(number + 1)).astype(np.uint32)
    return Lists(centres, starts, rows, codes[rows])


def _centres(vectors: NDArray[np.float16], number: int) -> NDArray[np.float32]:
    """``number`` directions, float32 (number, width), around which the vectors lie."""
    random = np.random.default_rng(0)
    sampled = min(_SAMPLED * number, _MOST, len(vectors))
    drawn = vectors[np.sort(random.choice(len(vectors), sampled, replace=False))]
    centres = unit(drawn[random.choice(len(drawn), number, replace=False)])
    for _ in range(_ROUNDS):
        nearest = _nearest(drawn, centres)
        order = np.argsort(nearest, kind="stable")
        held, firsts = np.unique(nearest[order], return_index=True)
        sums = np.add.reduceat(unit(drawn[order]), firsts, axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        # A centre that nothing is nearest to stays where it is.
        centres[held] = np.where(lengths > 0, sums / np.maximum(lengths, np.float32(1e-30)), centres[held])
    return centres


def _nearest(vectors: NDArray[np.float16], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """Which of ``centres`` is nearest to each of ``vectors``, (n,)."""
    found = np.empty(len(vectors), np.int64)
    for first in range(0, len(vectors), _BLOCK):
        block = unit(vectors[first : first + _BLOCK])
        found[first : first + len(block)] = np.argmax(block @ centres.T, axis=1)
    return found

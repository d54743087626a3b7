"""Near-duplicates: all pairs of codes within a Hamming radius, and the groups that they form. Always exact.

    pairs     streamed in order, each once
    groups    pictures that a chain of pairs connects. Equal codes are one code for the search, and pairs are forgotten
              as soon as they have joined two groups, so a thousand copies cost no million pairs.

The search is compiled (neighbours.py); without numba, it is done in NumPy (plain_neighbours.py).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from searcher import plain_neighbours
from searcher.codes import MAX_CODES
from searcher.plain_neighbours import DISTANCE_BITS, FIRST_SHIFT
from searcher.tables import as_words

logger = logging.getLogger(__name__)

#: A pair has room for distances of this many bytes.
MAX_BYTES = 128


@dataclass(frozen=True)
class Pairs:
    """``distances`` (differing bits), int32 (m,), between the codes at the positions ``first`` and ``second``, int64
    (m,); the first is the lesser."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distances: NDArray[np.int32]


@dataclass(frozen=True)
class Group:
    """Two or more ``positions``, ascending int64 (m,), and the ``distances`` (differing bits) of their codes from that
    of the first, int32 (m,)."""

    positions: NDArray[np.int64]
    distances: NDArray[np.int32]


def pairs(codes: NDArray[np.uint8], max_distance: int) -> Iterator[Pairs]:
    """All pairs of ``codes``, uint8 (n, bits / 8), that differ in at most ``max_distance`` bits, by their first
    position, then by their second; some at a time.

    Beside the codes, at 64 bits it needs about 80 bytes of memory a code, and 80 MB. Raises ValueError for other
    arrays, and for a distance below 0.
    """
    radius = _radius(codes, max_distance)
    return _pairs(codes, radius)


def groups(codes: NDArray[np.uint8], max_distance: int) -> Iterator[Group]:
    """The groups of ``codes``, uint8 (n, bits / 8), in the order of their first positions. Two codes are in one group
    if they differ in at most ``max_distance`` bits, or are connected by others of which each differs so from the next;
    codes with no other in their group are left out.

    Nothing is yielded before all is compared. Memory and errors as with ``pairs``.
    """
    radius = _radius(codes, max_distance)
    return _groups(codes, radius)


def _radius(codes: NDArray[np.uint8], max_distance: int) -> int:
    if codes.dtype != np.uint8 or codes.ndim != 2 or not 0 < codes.shape[1] <= MAX_BYTES or len(codes) > MAX_CODES:
        raise ValueError(f"codes must be uint8 (n, 1 to {MAX_BYTES}), and are {codes.dtype} {codes.shape}")
    if max_distance < 0:
        raise ValueError(f"max_distance must be 0 or more, and is {max_distance}")
    return int(min(max_distance, 8 * codes.shape[1]))


def _pairs(codes: NDArray[np.uint8], radius: int) -> Iterator[Pairs]:
    for start, found in _engine().near_pairs(codes, radius):
        if len(found):
            ordered = np.sort(found)
            distances = (ordered & (1 << DISTANCE_BITS) - 1).astype(np.int32)
            yield Pairs(start + (ordered >> FIRST_SHIFT), ordered >> DISTANCE_BITS & 0xFFFFFFFF, distances)


def _groups(codes: NDArray[np.uint8], radius: int) -> Iterator[Group]:
    engine = _engine()
    words = as_words(codes)
    representatives, numbers = _distinct(words)
    parents = np.arange(len(representatives))
    for start, found in engine.near_pairs(codes[representatives], radius):
        engine.unite(parents, start, found)
    while not np.array_equal(parents, parents[parents]):  # each step leads to the first of the group, or halfway
        parents = parents[parents]
    groups = parents[numbers]
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    firsts = order[np.repeat(starts, sizes)]
    distances = np.bitwise_count(words[:, order] ^ words[:, firsts]).sum(axis=0, dtype=np.int32)
    large = sizes > 1
    for start, size in zip(starts[large].tolist(), sizes[large].tolist(), strict=True):
        yield Group(order[start : start + size], distances[start : start + size])


def _distinct(words: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each code that occurs is for the first time, ascending; and for each position which of these it has."""
    order = np.lexsort(words)  # equal codes stay in their order
    ordered = words[:, order]
    fresh = np.ones(len(order), bool)
    np.any(ordered[:, 1:] != ordered[:, :-1], axis=0, out=fresh[1:])
    firsts = np.empty(len(order), np.int64)
    firsts[order] = order[fresh][np.cumsum(fresh) - 1]
    return np.unique(firsts, return_inverse=True)


def _engine() -> ModuleType:
    try:
        from searcher import neighbours
    except (ImportError, OSError) as error:  # the second where llvmlite's library doesn't load
        logger.warning("comparing with NumPy, which is slower: numba cannot be loaded (%s)", error)
        return plain_neighbours
    return neighbours

"""Near-duplicates: all pairs of codes within a Hamming radius, and what would be kept of them. Always exact.

pairs     streamed in order, each once
groups    a code that is kept, and its copies. Codes are gone through in order: one that is near to a kept one is a copy
          of it, else it is kept. Nothing is a copy of a copy, so no chain connects what is far apart. Equal codes are
          one code, so a thousand copies don't cost a million pairs.

    radius 2:   0000 kept   0001 a copy of it   0111 kept: near to a copy, far from what is kept
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from searcher.scan.codes import MAX_CODES
from searcher.scan.kernels import needing_numba
from searcher.scan.tables import as_words

with needing_numba():
    from searcher.scan.neighbours import DISTANCE_BITS, FIRST_SHIFT, keep, near_pairs

#: The widest codes: a pair has room for their distances.
MAX_BYTES = 128


@dataclass(frozen=True)
class Pairs:
    """``distances`` (differing bits), int32 (m,), between the codes at the positions ``first`` and ``second``, int64
    (m,); ``first`` is the lesser."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distances: NDArray[np.int32]


@dataclass(frozen=True)
class Group:
    """What is kept and its copies: two or more ``positions``, ascending int64 (m,), the first of which is kept, and the
    ``distances`` (differing bits) of their codes from that of the first, int32 (m,)."""

    positions: NDArray[np.int64]
    distances: NDArray[np.int32]


def pairs(codes: NDArray[np.uint8], max_distance: int) -> Iterator[Pairs]:
    """All pairs of ``codes``, uint8 (n, bits / 8), that differ in at most ``max_distance`` bits, ordered by
    first, then by second position; some at a time.

    Needs about 80 bytes of memory per code at 64 bits, beside the codes, plus 80 MB. Raises ValueError for other
    arrays, and for a distance below 0.
    """
    radius = _radius(codes, max_distance)
    return _pairs(codes, radius)


def groups(codes: NDArray[np.uint8], max_distance: int) -> Iterator[Group]:
    """The groups of ``codes``, uint8 (n, bits / 8), in the order of their first positions; codes without copies are
    left out. Each copy differs from what is kept in at most ``max_distance`` bits, and from anything else that is kept
    before it in no fewer; what is kept differs in more.

    Nothing is yielded before all codes are compared. Memory and errors are as with ``pairs``.
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
    for start, found in near_pairs(codes, radius):
        if len(found):
            ordered = np.sort(found)
            distances = (ordered & (1 << DISTANCE_BITS) - 1).astype(np.int32)
            yield Pairs(start + (ordered >> FIRST_SHIFT), ordered >> DISTANCE_BITS & 0xFFFFFFFF, distances)


def _groups(codes: NDArray[np.uint8], radius: int) -> Iterator[Group]:
    words = as_words(codes)
    representatives, numbers = _distinct(words)
    kept = np.arange(len(representatives))
    nearest = np.full(len(kept), 1 << DISTANCE_BITS)
    for start, found in near_pairs(codes[representatives], radius):
        keep(kept, nearest, start, np.sort(found))
    groups = kept[numbers]
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    firsts = order[np.repeat(starts, sizes)]
    distances = np.bitwise_count(words[:, order] ^ words[:, firsts]).sum(axis=0, dtype=np.int32)
    large = sizes > 1
    for start, size in zip(starts[large].tolist(), sizes[large].tolist(), strict=True):
        yield Group(order[start : start + size], distances[start : start + size])


def _distinct(words: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first position of each distinct code, ascending; and for each position, which of these codes it has."""
    order = np.lexsort(words)  # equal codes stay in their order
    ordered = words[:, order]
    fresh = np.ones(len(order), bool)
    np.any(ordered[:, 1:] != ordered[:, :-1], axis=0, out=fresh[1:])
    firsts = np.empty(len(order), np.int64)
    firsts[order] = order[fresh][np.cumsum(fresh) - 1]
    return np.unique(firsts, return_inverse=True)

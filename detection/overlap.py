"""Boxes that lie on each other: their overlap, and the best of each heap."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: A detector answers at most so many boxes a picture.
MOST_BOXES = 1000
#: Of more candidates only the best are compared with each other.
_CANDIDATES = 3000


def overlaps(one: Floats, others: Floats) -> Floats:
    """Returns the overlap, area of both by area of either, of a box (4,) with each of ``others`` (n, 4)."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    both = np.clip(high - low, 0, None).prod(axis=1)
    either = (one[2:] - one[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - both
    found: Floats = both / np.maximum(either, np.float32(1e-9))
    return found


def distinct(found: Floats, threshold: float, most_overlap: float) -> Floats:
    """Returns of ``found``, float32 (n, 6) with left, top, right, bottom, score and label's number, those with at least
    the score ``threshold``, the best first, without those that overlap with a better one of the same label by more than
    ``most_overlap`` (non-maximum suppression): at most MOST_BOXES."""
    found = found[found[:, 4] >= threshold]
    found = found[np.argsort(-found[:, 4], kind="stable")[:_CANDIDATES]]
    kept: list[int] = []
    left = np.ones(len(found), np.bool_)
    for place in range(len(found)):
        if left[place]:
            kept.append(place)
            if len(kept) == MOST_BOXES:
                break
            same = found[:, 5] == found[place, 5]
            left &= ~(same & (overlaps(found[place, :4], found[:, :4]) > most_overlap))
    return found[kept]

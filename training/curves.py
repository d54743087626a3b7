"""Says what a model's distances mean, from pairs of pictures that it wasn't trained on.

distances of pairs, and whether each is a match ─▶ share of matches at each distance ─▶ made to fall ─▶ a curve

distance  0  1  2  3  4          blocks (0 … 1) (2 … 3) (4)          The shares of 2 and 3 rise, so they become one
matches   4  4  1  2  0          shares    1.0     0.3    0          block: isotonic regression by pool adjacent
pairs     4  4  5  5  9          at        0.5     2.5    4          violators (M. Ayer et al., 1955).
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contract.closeness import Curve

Counts = NDArray[np.int64]

_MAX_POINTS = 48
_DECIMALS = 4


def falling_curve(matches: Counts, pairs: Counts, step: float = 1) -> Curve:
    """Returns the curve of the shares of ``matches`` among ``pairs``, int64 (levels,): how many lie at each distance.
    Two levels are ``step`` apart.

    Distances without a pair say nothing. Each block of equal shares is a point, at the mean distance of its pairs; of
    too many, those with the fewest pairs are joined to a neighbour. Raises ValueError if there is no pair.
    """
    levels = np.flatnonzero(pairs)
    if not len(levels):
        raise ValueError("a calibration needs pairs of pictures")
    # A block: matches, pairs, sum of their distances.
    blocks: list[NDArray[np.float64]] = []
    for level in levels:
        blocks.append(np.array([matches[level], pairs[level], level * pairs[level]], np.float64))
        while len(blocks) > 1 and _share(blocks[-2]) <= _share(blocks[-1]):
            last = blocks.pop()
            blocks[-1] = blocks[-1] + last
    while len(blocks) > _MAX_POINTS:
        fewest = int(np.argmin([one[1] + other[1] for one, other in pairwise(blocks)]))
        blocks[fewest : fewest + 2] = [blocks[fewest] + blocks[fewest + 1]]
    return Curve(
        distances=tuple(round(float(block[2] / block[1] * step), _DECIMALS) for block in blocks),
        shares=tuple(round(_share(block), _DECIMALS) for block in blocks),
    )


def _share(block: NDArray[np.float64]) -> float:
    return float(block[0] / block[1])


def greatest_distance(others: Counts, pairs: int, rate: float) -> int:
    """Returns the greatest distance within which lies no more than ``rate`` of the pairs of different pictures.

    ``others``, int64 (levels,): how many of all ``pairs`` of them lie at each distance.
    """
    within = others.cumsum() <= rate * pairs
    return int(within.sum()) - 1 if within.any() else 0


def dividing(strangers: NDArray[np.float64], kin: NDArray[np.float64]) -> float:
    """Returns the closeness below which a best answer is nothing like its query: the least sum of two shares, of
    ``strangers`` (best closeness where nothing alike was there) at or above it and of ``kin`` below it."""
    candidates = np.unique(np.concatenate((strangers, kin)))
    wrong = [(strangers >= each).mean() + (kin < each).mean() for each in candidates]
    return round(float(candidates[int(np.argmin(wrong))]), _DECIMALS)

"""Whether two figures show the same thing, by where their local features lie.

    descriptors of both ─▶ pairs that are each other's nearest ─▶ three of them make an affine map ─▶ how many agree

The maps are tried of the same triples for the same number of pairs, so a count is always the same.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from elements.similarity.local_features import LocalFeatures
from elements.similarity.pairs import Pairs

#: Cosine of descriptors from which two points may be the same one.
_LEAST_COSINE = 0.82
_TRIPLES = 400
#: How far a mapped point may lie from the other, in pixels of pictures of 512.
_NEAR = 6.0
#: A map that shrinks or widens areas by more is no view of the same thing.
_MOST_AREA = 25.0
_LEAST_PAIRS = 4


def verified(
    pairs: Pairs, first: Sequence[LocalFeatures], second: Sequence[LocalFeatures]
) -> tuple[Pairs, NDArray[np.int64]]:
    """Returns ``pairs`` of figures with these local features, those with most inliers first, then the most similar; and
    their inliers, int64 (n,)."""
    rows, columns, scores = pairs
    counts = [inliers(first[row], second[column]) for row, column in zip(rows, columns, strict=True)]
    found = np.array(counts, np.int64)
    order = np.lexsort((columns, rows, -scores, -found))
    return (rows[order], columns[order], scores[order]), found[order]


def inliers(first: LocalFeatures, second: LocalFeatures) -> int:
    """Returns how many points of both agree with one affine map; 0 where there are too few to tell."""
    one, other = _same(first.descriptors, second.descriptors)
    if len(one) < _LEAST_PAIRS:
        return 0
    here, there = first.points[one].astype(np.float64), second.points[other].astype(np.float64)
    triples = _triples(len(one))
    corners = np.concatenate([here[triples], np.ones((len(triples), 3, 1))], axis=2)
    usable = np.abs(np.linalg.det(corners)) > 100.0  # the double area of three points: not in a line
    corners, targets = corners[usable], there[triples][usable]
    if not len(corners):
        return 0
    maps = np.linalg.solve(corners, targets)  # (n, 3, 2)
    areas = np.abs(np.linalg.det(maps[:, :2]))
    maps = maps[(areas > 1 / _MOST_AREA) & (areas < _MOST_AREA)]
    if not len(maps):
        return 0
    mapped = here @ maps[:, :2] + maps[:, 2:]
    near = ((mapped - there) ** 2).sum(axis=2) < _NEAR**2
    count = int(near.sum(axis=1).max())
    return count if count >= _LEAST_PAIRS else 0


def _same(one: NDArray[np.float16], other: NDArray[np.float16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the rows of both that are each other's nearest, and near."""
    if not len(one) or not len(other):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    cosines = one.astype(np.float32) @ other.astype(np.float32).T
    forth, back = cosines.argmax(axis=1), cosines.argmax(axis=0)
    rows = np.arange(len(one))
    kept = (back[forth] == rows) & (cosines[rows, forth] > _LEAST_COSINE)
    return rows[kept], forth[kept]


@lru_cache(maxsize=1024)
def _triples(count: int) -> NDArray[np.int64]:
    random = np.random.default_rng(count)
    drawn = random.integers(0, count, (_TRIPLES, 3))
    different = (drawn[:, 0] != drawn[:, 1]) & (drawn[:, 1] != drawn[:, 2]) & (drawn[:, 0] != drawn[:, 2])
    triples: NDArray[np.int64] = drawn[different]
    return triples

"""Which figures of two documents are alike: the nearest of each, exactly.

    Hamming     similarity = 1 − 2 · differing bits / bits      so that unrelated codes are about 0
    cosine      similarity = cosine

Every figure has its ``top_k`` nearest in the other document. A pair counts if one of the two is among the nearest of
the other, or only if both are (mutual). No figure is compared with itself.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from contract.space import Space
from elements.similarity.figures import Figures
from searcher.scan.floats import FloatIndex
from searcher.scan.search import CodeIndex

TOP_K = 20

#: Rows of the first and the second document, int64 (n,), and their similarity, float64 (n,).
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def all_pairs(
    documents: Sequence[Figures], space: Space, top_k: int = TOP_K, *, mutual: bool = False
) -> Iterator[tuple[int, int, Pairs]]:
    """Yields the pairs of figures of every pair of ``documents`` i ≤ j, in that order: i, j, and the pairs, the most
    similar first, then by row."""
    for first, second in combinations_with_replacement(range(len(documents)), 2):
        yield first, second, pairs_of(documents[first], documents[second], space, top_k, mutual=mutual)


def pairs_of(first: Figures, second: Figures, space: Space, top_k: int = TOP_K, *, mutual: bool = False) -> Pairs:
    """Returns the pairs of figures of ``first`` and ``second``; of a document and itself, each pair once."""
    same = first is second
    found = nearest(first.vectors, second.vectors, space, top_k, same=same)
    back = found if same else nearest(second.vectors, first.vectors, space, top_k)
    forth, scores = _numbers(found, len(second.known))
    home, back_scores = _numbers((back[1], back[0], back[2]), len(second.known))
    if mutual:
        numbers, places = np.unique(forth[np.isin(forth, home)], return_index=True)
        scores = scores[np.isin(forth, home)][places]
    else:
        numbers, places = np.unique(np.concatenate([forth, home]), return_index=True)
        scores = np.concatenate([scores, back_scores])[places]
    one, other = np.divmod(numbers, max(1, len(second.known)))
    if same:
        ahead = one < other
        one, other, scores = one[ahead], other[ahead], scores[ahead]
    order = np.lexsort((other, one, -scores))
    return one[order], other[order], scores[order]


def nearest(
    queries: NDArray[np.generic], vectors: NDArray[np.generic], space: Space, top_k: int, *, same: bool = False
) -> Pairs:
    """Returns the ``top_k`` of ``vectors`` most similar to each of ``queries``, and how similar. ``same``: both are
    those of one document, and no row is paired with itself."""
    if not len(queries) or not len(vectors):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    wanted = top_k + same
    if space.metric == "hamming":
        hits = CodeIndex(np.ascontiguousarray(vectors, np.uint8)).search(
            np.ascontiguousarray(queries, np.uint8), wanted
        )
        near = [(hit.rows, 1.0 - 2.0 * hit.distances / space.width) for hit in hits]
    else:
        floats = FloatIndex(np.asarray(vectors, np.float16))
        answers = [floats.nearest(query, wanted) for query in np.asarray(queries, np.float16)]
        near = [(rows, 1.0 - distances) for rows, distances in answers]
    if same:
        near = [_without(row, *each, top_k) for row, each in enumerate(near)]
    ones = np.repeat(np.arange(len(near)), [len(rows) for rows, _ in near])
    return ones, np.concatenate([rows for rows, _ in near]), np.concatenate([scores for _, scores in near])


def _without(
    row: int, rows: NDArray[np.int64], scores: NDArray[np.float64], top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    kept = rows != row
    return rows[kept][:top_k], scores[kept][:top_k]


def _numbers(pairs: Pairs, width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns one number for each pair of rows, of ``width`` second ones, and their scores."""
    one, other, scores = pairs
    return one * max(1, width) + other, scores

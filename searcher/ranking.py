"""The order of answers by two codes: the class code, which says what is shown, and the detail code, which tells
pictures of one class apart.

    rank        first             then              then
    distance    class distance    detail distance   row     where version and query have detail codes
    distance    class distance    row                       elsewhere
    detail      detail distance   class distance    row

One of the codes is searched, the other decides ties. Both orders are over all rows: a search keeps the best by both
distances while it goes, so that it makes no difference how many rows share the k-th distance.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from searcher.engine import Ties
from searcher.search import CodeIndex, Hits, Query


class Ranking:
    """Searches ``codes``, and with them ``details``, the detail codes of the same rows, where there are any."""

    def __init__(self, codes: CodeIndex, details: CodeIndex | None) -> None:
        self._codes = codes
        self._details = details

    def search(self, queries: Sequence[Query], allowed: NDArray[np.uint8] | None = None) -> list[Hits]:
        """The best rows for each query, by its rank; ``allowed`` as in ``CodeIndex.search``.

        Raises ValueError for a query of another width, for numbers that mean nothing, and for the rank "detail" where
        the version or the query has no detail code.
        """
        ways = [self._way(query) for query in queries]
        answers: dict[int, Hits] = {}
        for way in dict.fromkeys(ways):  # queries that are searched alike share the reading of the codes
            places = [place for place, each in enumerate(ways) if each == way]
            answers.update(zip(places, way([queries[place] for place in places], allowed), strict=True))
        return [answers[place] for place in range(len(queries))]

    def _way(self, query: Query) -> Callable[[list[Query], NDArray[np.uint8] | None], list[Hits]]:
        _check("code", query.code, self._codes.bits)
        if self._details is not None and query.detail is not None:
            _check("detail", query.detail, self._details.bits)
        if query.rank == "distance":
            return self._by_distance if self._details is None or query.detail is None else self._by_both
        if query.rank != "detail":
            raise ValueError(f"rank must be 'distance' or 'detail', and is {query.rank!r}")
        if self._details is None:
            raise ValueError("rank 'detail' needs detail codes, and the version has none")
        if query.detail is None:
            raise ValueError("rank 'detail' needs the query's detail code")
        return self._by_detail if query.max_distance is None else self._by_detail_within

    def _by_distance(
        self, queries: list[Query], allowed: NDArray[np.uint8] | None, ties: Ties | None = None
    ) -> list[Hits]:
        codes = np.stack([query.code for query in queries])
        radii = [query.max_distance for query in queries]
        return self._codes.search(codes, [query.top_k for query in queries], radii, allowed, ties)

    def _by_both(self, queries: list[Query], allowed: NDArray[np.uint8] | None) -> list[Hits]:
        assert self._details is not None
        return self._by_distance(queries, allowed, Ties(self._details.codes, _details(queries)))

    def _by_detail(self, queries: list[Query], allowed: NDArray[np.uint8] | None) -> list[Hits]:
        assert self._details is not None
        ties = Ties(self._codes.codes, np.stack([query.code for query in queries]))
        found = self._details.search(_details(queries), [query.top_k for query in queries], None, allowed, ties)
        return [Hits(hits.ties, hits.rows, hits.distances) for hits in found if hits.ties is not None]

    def _by_detail_within(self, queries: list[Query], allowed: NDArray[np.uint8] | None) -> list[Hits]:
        answers = []
        for query in queries:
            assert query.max_distance is not None
            answers += self._by_detail([query], self._codes.within(query.code, query.max_distance, allowed))
        return answers


def _details(queries: list[Query]) -> NDArray[np.uint8]:
    return np.stack([query.detail for query in queries if query.detail is not None])


def _check(name: str, code: NDArray[np.uint8], bits: int) -> None:
    if code.dtype != np.uint8 or code.shape != (bits // 8,):
        raise ValueError(f"a query's {name} must be uint8 ({bits // 8},), and is {code.dtype} {code.shape}")

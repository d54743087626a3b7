"""The order of answers: which space is compared first, and which one decides among equally near images.

    rank        first             then              then
    distance    class distance    detail distance   row     where version and query have detail codes
    distance    class distance    row                       elsewhere
    detail      detail distance   class distance    row

The first space is searched, the second decides ties. The order holds over all rows: a search keeps the best by both
distances as it goes, however many rows share the k-th distance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.space import CODE, DETAIL, Space, Vectors
from searcher.scan.kernels import needing_numba
from searcher.scan.question import Ties
from searcher.scan.search import CodeIndex
from searcher.scan.tables import MAX_BITS

Order = tuple[str, ...]

#: For each rank, the binary space that is searched, and the one that decides ties if version and query have it.
RANKS: dict[str, Order] = {"distance": (CODE, DETAIL), "detail": (DETAIL, CODE)}


@dataclass(frozen=True)
class Query:
    """One query: its vector in each space where it has one, uint8 (width / 8,) or float16 (width,).

    At most ``top_k`` images (1 or more) are returned, none whose code differs in more than ``max_distance`` bits.
    """

    vectors: Vectors
    top_k: int = 10
    max_distance: int | None = None
    rank: str = "distance"


@dataclass(frozen=True)
class Ranked:
    """The answer to one query: ``rows`` int64 (m,), best first, and their ``distances`` (differing bits) in each space
    that was compared, int32 (m,), in the order of the rank."""

    rows: NDArray[np.int64]
    distances: Mapping[str, NDArray[np.int32]]

    @property
    def of_order(self) -> NDArray[np.int32]:
        """The distances that put the rows in order: those in the space that was searched."""
        return next(iter(self.distances.values()))


def nearest_of(found: Sequence[Ranked], top_k: int) -> tuple[Ranked, NDArray[np.intp]]:
    """The best ``top_k`` rows of several answers of one rank, each row once, by the best of its distances; and for each
    row, int (m,), which answer these are from, the first of equals."""
    rows = np.concatenate([each.rows for each in found])
    answers = np.repeat(np.arange(len(found)), [len(each.rows) for each in found])
    distances = {name: np.concatenate([each.distances[name] for each in found]) for name in found[0].distances}
    # lexsort sorts by its last key first.
    order = np.lexsort((answers, rows, *reversed(distances.values())))
    _, firsts = np.unique(rows[order], return_index=True)
    best = order[np.sort(firsts)][:top_k]
    return Ranked(rows[best], {name: each[best] for name, each in distances.items()}), answers[best]


def in_positions(queries: Sequence[Query], answers: NDArray[np.intp]) -> Vectors:
    """For each image the vectors of that of ``queries`` which found it, (m, columns) for each space."""
    return {name: np.stack([query.vectors[name] for query in queries])[answers] for name in queries[0].vectors}


class Ranking:
    """Searches ``indexes``, the binary spaces of the same rows by name."""

    def __init__(self, indexes: Mapping[str, CodeIndex]) -> None:
        self._indexes = indexes

    def can(self, rank: str) -> bool:
        """Whether the rows have the space that ``rank`` searches."""
        return rank in RANKS and RANKS[rank][0] in self._indexes

    def search(self, queries: Sequence[Query], allowed: NDArray[np.uint8] | None = None) -> list[Ranked]:
        """The best rows for each query, by its rank; ``allowed`` as in ``CodeIndex.search``.

        Raises ValueError for a vector of another width, for numbers out of range, for an unknown rank, and for a rank
        whose first space the version or the query lacks.
        """
        ways = [(self._order(query), self._selects(query)) for query in queries]
        answers: dict[int, Ranked] = {}
        for way in dict.fromkeys(ways):  # queries that are searched alike share one pass over the codes
            places = [place for place, each in enumerate(ways) if each == way]
            order, selecting = way
            search = self._search_selected if selecting else self._search
            answers.update(zip(places, search(order, [queries[place] for place in places], allowed), strict=True))
        return [answers[place] for place in range(len(queries))]

    def _order(self, query: Query) -> Order:
        """The spaces that order the answers to ``query``: one or two."""
        if query.rank not in RANKS:
            raise ValueError(f"rank must be {' or '.join(map(repr, RANKS))}, and is {query.rank!r}")
        for name, index in self._indexes.items():
            if name in query.vectors:
                _check(name, query.vectors[name], index.bits)
        order = RANKS[query.rank]
        for who, has in (("version", self._indexes), ("query", query.vectors)):
            if order[0] not in has:
                raise ValueError(f"rank {query.rank!r} needs the space {order[0]!r}, which the {who} lacks")
        return tuple(name for name in order if name in self._indexes and name in query.vectors)

    def _selects(self, query: Query) -> bool:
        """Whether the rows must be chosen by their codes before another space is searched."""
        return query.max_distance is not None and RANKS[query.rank][0] != CODE

    def _search(self, order: Order, queries: list[Query], allowed: NDArray[np.uint8] | None) -> list[Ranked]:
        first, *seconds = order
        radii = [query.max_distance for query in queries] if first == CODE else None
        ties = Ties(self._indexes[seconds[0]].codes, _stacked(queries, seconds[0])) if seconds else None
        top_k = [query.top_k for query in queries]
        found = self._indexes[first].search(_stacked(queries, first), top_k, radii, allowed, ties)
        return [
            Ranked(
                hits.rows,
                {first: hits.distances} if hits.ties is None else {first: hits.distances, seconds[0]: hits.ties},
            )
            for hits in found
        ]

    def _search_selected(self, order: Order, queries: list[Query], allowed: NDArray[np.uint8] | None) -> list[Ranked]:
        answers = []
        for query in queries:
            if CODE not in query.vectors or CODE not in self._indexes:
                raise ValueError("max_distance is about codes, which the version or the query lacks")
            assert query.max_distance is not None
            near = self._indexes[CODE].within(query.vectors[CODE], query.max_distance, allowed)
            answers += self._search(order, [query], near)
        return answers


def compile_kernels(spaces: Sequence[Space]) -> None:
    """Compile the kernels that search ``spaces`` by every rank, in either mode, or load those compiled earlier.
    Raises CompilerMissing."""
    with needing_numba():
        from searcher.scan import flat, multi_index
    widths = {space.name: space.columns for space in spaces if space.kind == "binary"}
    if 0 < 8 * widths.get(CODE, 0) <= MAX_BITS:
        multi_index.kernel(-(-widths[CODE] // 8))
    for first, *others in RANKS.values():
        seconds = [name for name in others if name in widths]
        if first not in widths:
            continue
        if first == CODE or not seconds:  # a query by a class's name has only a code
            flat.kernel(widths[first], 0)
        for second in seconds:
            flat.kernel(widths[first], widths[second])
            multi_index.ranker()
        if first != CODE and CODE in widths:
            flat.marker(widths[CODE])


def _stacked(queries: list[Query], space: str) -> NDArray[np.uint8]:
    return np.stack([query.vectors[space] for query in queries])


def _check(name: str, code: NDArray[np.uint8], bits: int) -> None:
    if code.dtype != np.uint8 or code.shape != (bits // 8,):
        raise ValueError(f"a query's {name} must be uint8 ({bits // 8},), and is {code.dtype} {code.shape}")

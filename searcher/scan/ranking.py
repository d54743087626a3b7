"""The order of answers: which space is compared first, and which one decides among equally near images.

    rank        first             then              then
    distance    cosine            row                       where version and query have floats
    distance    class distance    detail distance   row     where they have detail codes instead
    distance    class distance    row                       elsewhere
    detail      detail distance   class distance    row

The first space is searched, the second decides ties. The order holds over all rows: a search keeps the best by both
distances as it goes, however many rows share the k-th distance.

Floats are compared exactly, but not all: those of a shortlist, the nearest by their codes (shortlist.py), as far as it
reaches. All of them are where nothing was measured, where query or version lack codes, and where the query says so. And
where a version has lists (lists.py), only the codes in the nearest of them are looked at, unless few of their rows are
allowed. Where the nearest turn out to be farther than what was measured, all that the query itself can reach are
compared.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import CODE, DETAIL, EMBEDDING, Space, Vectors
from searcher.scan.floats import FloatIndex, Near
from searcher.scan.kernels import needing_numba
from searcher.scan.lists import Lists
from searcher.scan.question import Ties
from searcher.scan.search import CodeIndex
from searcher.scan.shortlist import Shortlist, reach_of, shortlist_for
from searcher.scan.tables import MAX_BITS

#: The share of the rows that must be allowed for a search in lists.
_LISTED = 0.9
#: Rows on which the reach of a query is measured.
_SAMPLE = 1024

Order = tuple[str, ...]

#: For each rank the orders that it may mean, the first one possible being meant: the space that is searched, and the
#: one that decides ties if version and query have it.
RANKS: dict[str, tuple[Order, ...]] = {"distance": ((EMBEDDING,), (CODE, DETAIL)), "detail": ((DETAIL, CODE),)}


def order_of(rank: str, *having: Container[str]) -> Order | None:
    """The spaces that order answers by ``rank`` where all of ``having`` have them: one or two. None if ``rank`` isn't
    possible."""
    for first, *others in RANKS[rank]:
        if all(first in each for each in having):
            return first, *(name for name in others if all(name in each for each in having))
    return None


@dataclass(frozen=True)
class Query:
    """One query: its vector in each space where it has one, uint8 (width / 8,) or float16 (width,).

    At most ``top_k`` images (1 or more) are returned, none whose code differs in more than ``max_distance`` bits.
    ``exact``: all floats are compared, without a shortlist.
    """

    vectors: Vectors
    top_k: int = 10
    max_distance: int | None = None
    rank: str = "distance"
    exact: bool = False


@dataclass(frozen=True)
class Ranked:
    """The answer to one query: ``rows`` int64 (m,), best first, and their ``distances`` in each space that was
    compared, in the order of the rank: differing bits, int32 (m,), or 1 − cos, float64 (m,)."""

    rows: NDArray[np.int64]
    distances: Mapping[str, NDArray[np.int32] | NDArray[np.float64]]

    @property
    def order(self) -> Order:
        """The spaces that put the rows in order."""
        return tuple(self.distances)

    @property
    def of_order(self) -> NDArray[np.int32] | NDArray[np.float64]:
        """The distances that put the rows in order: those in the space that was searched."""
        return self.distances[self.order[0]]


def can_rank(rank: str, spaces: Container[str]) -> bool:
    """Whether images with vectors in ``spaces`` can be put in order by ``rank``."""
    return rank in RANKS and order_of(rank, spaces) is not None


def order_asked(query: Query, columns: Mapping[str, tuple[type[np.generic], int]]) -> Order:
    """The spaces that order the answers to ``query``, one or two, of images whose vectors have these types and
    ``columns`` in each space. Raises ValueError as ``Ranking.search``."""
    if query.rank not in RANKS:
        raise ValueError(f"rank must be {' or '.join(map(repr, RANKS))}, and is {query.rank!r}")
    for name, (dtype, count) in columns.items():
        if name in query.vectors:
            _check(name, query.vectors[name], dtype, count)
    order = order_of(query.rank, columns, query.vectors)
    if order is None:
        who = "query" if can_rank(query.rank, columns) else "version"
        needed = " or ".join(repr(first) for first, *_ in RANKS[query.rank])
        raise ValueError(f"rank {query.rank!r} needs the space {needed}, which the {who} lacks")
    return order


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
    """Searches ``indexes``, the binary spaces of the same rows by name, and their ``floats`` by shortlists as they were
    ``measured``, in ``lists`` if they were measured so."""

    def __init__(
        self,
        indexes: Mapping[str, CodeIndex],
        floats: FloatIndex | None = None,
        measured: Sequence[Shortlist] = (),
        lists: Lists | None = None,
    ) -> None:
        self._indexes = indexes
        self._floats = floats
        self._lists = lists
        self._measured = measured
        self._columns: dict[str, tuple[type[np.generic], int]] = {
            name: (np.uint8, index.bits // 8) for name, index in indexes.items()
        }
        if floats is not None:
            self._columns[EMBEDDING] = (np.float16, floats.width)

    def can(self, rank: str) -> bool:
        """Whether the rows have a space that ``rank`` searches."""
        return can_rank(rank, self._columns)

    def search(self, queries: Sequence[Query], allowed: NDArray[np.uint8] | None = None) -> list[Ranked]:
        """The best rows for each query, by its rank; ``allowed`` as in ``CodeIndex.search``.

        Raises ValueError for a vector of another width, for numbers out of range, for an unknown rank, and for a rank
        whose first space the version or the query lacks.
        """
        orders = [order_asked(query, self._columns) for query in queries]
        ways = [
            (order, order[0] != CODE and query.max_distance is not None)  # rows must be chosen by their codes before
            for query, order in zip(queries, orders, strict=True)
        ]
        answers: dict[int, Ranked] = {}
        for way in dict.fromkeys(ways):  # queries that are searched alike share one pass over the codes
            places = [place for place, each in enumerate(ways) if each == way]
            order, selecting = way
            search = self._search_selected if selecting else self._search
            answers.update(zip(places, search(order, [queries[place] for place in places], allowed), strict=True))
        return [answers[place] for place in range(len(queries))]

    def _search(self, order: Order, queries: list[Query], allowed: NDArray[np.uint8] | None) -> list[Ranked]:
        first, *seconds = order
        if first == EMBEDDING:
            return self._search_floats(queries, allowed)
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

    def _search_floats(self, queries: list[Query], allowed: NDArray[np.uint8] | None) -> list[Ranked]:
        assert self._floats is not None
        answers: list[Near | None] = [None] * len(queries)
        shortlists: dict[int, Shortlist] = {}
        listed = self._most_are_listed(allowed)
        for place, query in enumerate(queries):
            shortlist = self._shortlist(query)
            if shortlist is None:
                answers[place] = self._floats.nearest(query.vectors[EMBEDDING], query.top_k, allowed)
                continue
            if listed and shortlist.margin is not None:
                answers[place] = self._nearest_in_lists(query, shortlist, allowed)
            if answers[place] is None:
                shortlists[place] = shortlist
        if shortlists:  # their queries share one pass over the codes
            codes = _stacked([queries[place] for place in shortlists], CODE)
            sizes = [each.size for each in shortlists.values()]
            for (place, shortlist), hits in zip(
                shortlists.items(), self._indexes[CODE].search(codes, sizes, allowed=allowed), strict=True
            ):
                query = queries[place]
                near = self._nearest_of(query, hits.distances, hits.rows, shortlist)
                answers[place] = near if _measured(near, shortlist) else self._nearest_far(query, near, allowed)
        return [Ranked(rows, {EMBEDDING: distances}) for rows, distances in filter(None, answers)]

    def _most_are_listed(self, allowed: NDArray[np.uint8] | None) -> bool:
        """Whether there are lists, and so many rows ``allowed`` that the lists hold the nearest of them."""
        if self._lists is None or allowed is None:
            return self._lists is not None
        return int(np.bitwise_count(allowed).sum()) >= _LISTED * len(self._lists.rows)

    def _nearest_in_lists(self, query: Query, shortlist: Shortlist, allowed: NDArray[np.uint8] | None) -> Near | None:
        """The rows nearest to ``query``, in the lists nearest to it if these hold them; None if they hold too few."""
        assert self._lists is not None
        assert shortlist.margin is not None
        lists = self._lists.nearest_lists(query.vectors[EMBEDDING], shortlist.margin)
        bits, rows = self._lists.nearest_codes(query.vectors[CODE], lists, shortlist.size, allowed)
        near = self._nearest_of(query, bits, rows, shortlist)
        if len(near[0]) < query.top_k:
            return None
        return near if _measured(near, shortlist) else self._nearest_far(query, near, allowed)

    def _nearest_far(self, query: Query, near: Near, allowed: NDArray[np.uint8] | None) -> Near:
        """The rows nearest to ``query``, whose k-th nearest is at most as far as that of ``near``: those of all that
        ``query`` can reach so far."""
        assert self._floats is not None
        asked, code, index = query.vectors[EMBEDDING], query.vectors[CODE], self._indexes[CODE]
        within = allowed
        if len(near[0]) == query.top_k:
            apart = np.bitwise_count(index.codes[self._sample] ^ code).sum(axis=1, dtype=np.int64)
            reach = reach_of(self._floats.distances(asked, self._sample), apart, float(near[1][-1]))
            within = index.within(code, int(max(0, reach)), allowed)
        return self._floats.nearest(asked, query.top_k, within)

    @cached_property
    def _sample(self) -> NDArray[np.int64]:
        """Rows that stand for all."""
        assert self._floats is not None
        count = self._floats.count
        return np.sort(np.random.default_rng(0).choice(count, min(_SAMPLE, count), replace=False))

    def _shortlist(self, query: Query) -> Shortlist | None:
        """Which codes to look at first; None to compare all floats."""
        if query.exact or CODE not in query.vectors or CODE not in self._indexes:
            return None
        return shortlist_for(query.top_k, self._measured)

    def _nearest_of(self, query: Query, bits: NDArray[np.int32], rows: NDArray[np.int64], shortlist: Shortlist) -> Near:
        """The nearest to ``query`` of ``rows``, whose codes differ in so many ``bits``, rising: of those within the
        reach of the k-th nearest so far."""
        assert self._floats is not None
        asked = query.vectors[EMBEDDING]
        return self._floats.within_reach(asked, query.top_k, rows, bits, shortlist.base, shortlist.slope)

    def _search_selected(self, order: Order, queries: list[Query], allowed: NDArray[np.uint8] | None) -> list[Ranked]:
        answers = []
        for query in queries:
            if CODE not in query.vectors or CODE not in self._indexes:
                raise ValueError("max_distance is about codes, which the version or the query lacks")
            assert query.max_distance is not None
            near = self._indexes[CODE].within(query.vectors[CODE], query.max_distance, allowed)
            answers += self._search(order, [query], near)
        return answers


def _measured(near: Near, shortlist: Shortlist) -> bool:
    """Whether the ``shortlist`` was measured on queries whose nearest are as far as ``near``."""
    distances = near[1]
    return shortlist.farthest is not None and (len(distances) == 0 or float(distances[-1]) <= shortlist.farthest)


def compile_kernels(spaces: Sequence[Space]) -> None:
    """Compile the kernels that search ``spaces`` by every rank, in either mode, or load those compiled earlier.
    Raises CompilerMissing."""
    with needing_numba():
        from searcher.scan import cosines, flat, list_kernel, multi_index
    widths = {space.name: space.columns for space in spaces if space.kind == "binary"}
    if 0 < 8 * widths.get(CODE, 0) <= MAX_BITS:
        multi_index.kernel(-(-widths[CODE] // 8))
    if any(space.name == EMBEDDING for space in spaces):
        cosines.kernel()
        cosines.reaching_kernel()
        list_kernel.kernel()
    for first, *others in (order for orders in RANKS.values() for order in orders):
        seconds = [name for name in others if name in widths]
        if first not in widths:
            continue
        if first == CODE or not seconds:  # a query by a class's name has only a code
            flat.kernel(widths[first], 0)
        for second in seconds:
            flat.kernel(widths[first], widths[second])
            multi_index.ranker()
    if CODE in widths and len(spaces) > 1:  # rows are chosen by their codes before another space is searched
        flat.marker(widths[CODE])


def _stacked(queries: list[Query], space: str) -> NDArray[np.uint8]:
    if len(queries) == 1:  # a tenth of the time of stacking
        return queries[0].vectors[space][None]
    return np.stack([query.vectors[space] for query in queries])


def _check(name: str, vector: NDArray[Any], dtype: type[np.generic], columns: int) -> None:
    if vector.dtype != dtype or vector.shape != (columns,):
        raise ValueError(
            f"a query's {name} must be {np.dtype(dtype)} ({columns},), and is {vector.dtype} {vector.shape}"
        )

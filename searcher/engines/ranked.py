"""What engines in databases share: which spaces order the answers to queries, and answers in that order.

queries ─▶ orders_of ─▶ the database's nearest ─▶ Ranked, by our own distances ─▶ matches_of
"""

from collections.abc import Sequence
from dataclasses import dataclass

from contract.space import CODE, Space
from searcher.entry import Entry
from searcher.matches import Matches
from searcher.scan.ranking import Order, Query, order_asked


@dataclass(frozen=True)
class Ranked:
    """An image, its distances in the spaces of the order, and its ``place`` among equals."""

    apart: list[float]
    place: int | str
    entry: Entry

    def key(self) -> tuple[list[float], int | str]:
        return self.apart, self.place


def orders_of(queries: Sequence[Query], spaces: Sequence[Space]) -> list[Order]:
    """For each of ``queries`` the spaces that order its answers, among images with vectors in ``spaces``. Raises
    ValueError for a query that cannot be answered."""
    columns = {space.name: (space.dtype.type, space.columns) for space in spaces}
    orders = [order_asked(query, columns) for query in queries]
    if any(query.max_distance is not None and not {CODE} <= columns.keys() & query.vectors.keys() for query in queries):
        raise ValueError("max_distance is about codes, which the version or the query lacks")
    return orders


def matches_of(query: Query, order: Order, spaces: Sequence[Space], found: Sequence[Ranked]) -> Matches:
    """The answer to ``query``, of what was ``found`` in its ``order``, best first."""
    best = found[: query.top_k]
    entries = [each.entry for each in best]
    return Matches(
        [entry.path for entry in entries],
        [each.apart[0] for each in best],
        [entry.metadata for entry in entries],
        [None] * len(best),
        query.vectors,
        spaces,
        lambda: {space.name: space.array([entry.vectors[space.name] for entry in entries]) for space in spaces},
        order[0],
        [each.place for each in best],
    )

"""The nearest images in a Milvus collection: exact, or those of an index's shortlist.

exact    search, limit more than k ─▶ in order by our distances ─▶ does the last one lie beyond the k-th? else more
scan     all images, read page by page: what the index doesn't order by, and more images equally near than Milvus gives
index    search, limit a few hundred ─▶ in order by our distances

Milvus orders equally near images as it likes, so what it gives is complete only up to the last distance but one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from contract.space import CODE
from searcher.engines.milvus_fields import UNIT, Fields
from searcher.engines.milvus_filter import ALWAYS, NEVER, Bounds, quoted
from searcher.engines.milvus_server import Server
from searcher.engines.ranked import Ranked, matches_of
from searcher.filters import Filter
from searcher.matches import Matches
from searcher.meets import meets
from searcher.scan.distance import distances
from searcher.scan.ranking import Order, Query

#: Every read sees all that was acknowledged before it.
STRONG = "Strong"
#: Images beyond those asked for that the first search brings, and the most that Milvus gives.
_BEYOND, _MOST = 64, 16_384
#: How many times as many the next search brings.
_FARTHER = 8
#: The least that an index is asked for.
_SHORTLIST = 200
#: Images that a page of a reading brings.
_PAGE = 4000

Found = Mapping[str, Any]


def pages(
    server: Server, fields: Fields, expression: str, read: Sequence[str], after: str = "", limit: int | None = None
) -> Iterator[list[Found]]:
    """Those of ``read`` of all images after the name ``after`` that meet ``expression``, by name in code point order;
    a page has ``limit`` of them, if that is fewer than usual."""
    size = _PAGE if limit is None else min(limit, _PAGE)
    while expression != NEVER:
        later = f"{fields.name} > {quoted(after)}"
        found = server.ask(
            "query", fields.place, later if expression == ALWAYS else f"{later} and ({expression})",
            output_fields=[fields.name, *read], limit=size, consistency_level=STRONG,
        )  # fmt: skip
        if found:
            yield list(found)
        if len(found) < size:
            return
        after = found[-1][fields.name]


@dataclass(frozen=True)
class Search:
    """One query, in the ``order`` that its rank means, among the images that meet ``where``."""

    server: Server
    fields: Fields
    query: Query
    order: Order
    where: Filter | None

    def exact(self) -> Matches:
        if self.bounds.perhaps == NEVER:
            return self._matches([])
        selecting = self.query.max_distance is not None
        searchable = (CODE if selecting else self.order[0]) == self.fields.searched.name
        found = self._reached() if searchable and self.fields.index.compares_all else None
        return self._matches(self._scan() if found is None else found)

    def by_index(self) -> Matches:
        limit = min(max(4 * self.query.top_k, _SHORTLIST), _MOST)
        index = self.fields.index
        parameters = {"nprobe": max(1, index.lists // 8)} if index.lists else {"ef": limit}
        return self._matches(self._ranked(self._asked(limit, parameters)))

    @cached_property
    def bounds(self) -> Bounds:
        return self.fields.bounds(self.where)

    def _reached(self) -> list[Ranked] | None:
        """The best, and whatever is as near; None if that is more than Milvus gives."""
        parameters = {"nprobe": self.fields.index.lists} if self.fields.index.lists else {}
        limit = min(self.query.top_k + _BEYOND, _MOST)
        while True:
            given = self._asked(limit, parameters)
            found = self._ranked(given)
            if len(given) < limit or self._beyond(given, found):
                return found
            if limit == _MOST:
                return None
            limit = min(_FARTHER * limit, _MOST)

    def _beyond(self, given: Sequence[Found], found: Sequence[Ranked]) -> bool:
        """Whether what wasn't ``given`` is too far to be among the best."""
        searched = self.fields.searched
        (last,) = distances(searched, self.query.vectors[searched.name], np.stack([self.fields.vector_of(given[-1])]))
        if self.query.max_distance is not None and last > self.query.max_distance:
            return True
        if self.order[0] != searched.name or len(found) < self.query.top_k:
            return False
        rounding = 0.0
        if searched.kind != "binary":
            rounding = (searched.width + 8) * 2.0**-22 + (0 if self.fields.index.metric == "COSINE" else 4 * UNIT)
        return found[self.query.top_k - 1].apart[0] < last - rounding

    def _asked(self, limit: int, parameters: Mapping[str, int]) -> list[Found]:
        searched, expression = self.fields.searched.name, self.bounds.perhaps
        (found,) = self.server.ask(
            "search", self.fields.place, [self.fields.asked(self.query.vectors[searched])],
            "" if expression == ALWAYS else expression, limit, self.fields.read,
            {"metric_type": self.fields.index.metric, "params": dict(parameters)},
            anns_field=self.fields.vector, consistency_level=STRONG,
        )  # fmt: skip
        return [each["entity"] for each in found]

    def _scan(self) -> list[Ranked]:
        best: list[Ranked] = []
        for page in pages(self.server, self.fields, self.bounds.perhaps, self.fields.read):
            best = sorted([*best, *self._ranked(page)], key=Ranked.key)[: self.query.top_k]
        return best

    def _ranked(self, given: Sequence[Found]) -> list[Ranked]:
        """Those of ``given`` that the query may find, in the order of answers."""
        if not given:
            return []
        entries = [self.fields.entry_of(each) for each in given]
        asked = {*self.order, *([] if self.query.max_distance is None else [CODE])}
        apart: dict[str, Any] = {}
        for space in self.fields.spaces:
            if space.name == self.fields.searched.name:
                vectors = np.stack([self.fields.vector_of(each) for each in given])
            else:
                vectors = space.array([entry.vectors[space.name] for entry in entries])
            if space.name in asked:
                apart[space.name] = distances(space, self.query.vectors[space.name], vectors)
        decided = self.bounds.surely == self.bounds.perhaps
        found = [
            Ranked([apart[name][number] for name in self.order], self.fields.place_of(each), entry)
            for number, (each, entry) in enumerate(zip(given, entries, strict=True))
            if (self.query.max_distance is None or apart[CODE][number] <= self.query.max_distance)
            and (decided or self.where is None or meets(self.where, entry.metadata))
        ]
        return sorted(found, key=Ranked.key)

    def _matches(self, found: Sequence[Ranked]) -> Matches:
        return matches_of(self.query, self.order, self.fields.spaces, found)

"""The searches of a batch: those over the same images read the codes once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from contract.space import Vectors
from handler.errors import RequestError, our_fault, unavailable
from handler.request import SearchRequest
from searcher.errors import EngineUnavailable
from searcher.filters import Filter
from searcher.matches import Matches
from searcher.open_collection import OpenView
from searcher.scan.ranking import Query

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Search:
    """A request, the vectors (one per space) of its subject in each of the ``positions`` that are looked for, and the
    state of the collection to search."""

    request: SearchRequest
    view: OpenView
    positions: Sequence[Vectors]

    @property
    def vectors(self) -> Vectors:
        """Those of the subject as it was sent."""
        return self.positions[0]

    @property
    def queries(self) -> list[Query]:
        """One for each position."""
        asked = self.request
        return [Query(vectors, asked.top_k, asked.max_distance, asked.rank, asked.exact) for vectors in self.positions]


def search_together(searches: Sequence[Search]) -> dict[Search, Matches | RequestError]:
    """Returns what each search found, or its error. All searches of one collection must have the same state of it."""
    groups: dict[tuple[str, str | None], list[Search]] = {}
    for search in searches:
        where = search.request.where
        groups.setdefault((search.request.collection, where.text if where else None), []).append(search)
    found: dict[Search, Matches | RequestError] = {}
    for group in groups.values():
        first = group[0]
        try:
            found.update(_matches(group, first.view, first.request.where))
        except EngineUnavailable as error:
            found.update((search, unavailable(error)) for search in group)
        except Exception:
            logger.exception("the collection %s could not be searched", first.request.collection)
            found.update((search, our_fault()) for search in group)
    return found


def _matches(group: Sequence[Search], view: OpenView, where: Filter | None) -> dict[Search, Matches | RequestError]:
    plain = [search for search in group if len(search.positions) == 1]
    found = view.search([search.queries[0] for search in plain], where)
    in_one = dict(zip(plain, found, strict=True))
    in_any = {search: view.search_any(search.queries, where) for search in group if search not in in_one}
    return {**in_one, **in_any}

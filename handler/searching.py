"""The searches of a batch: those over the same images read the codes once."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from contract.space import Vectors
from handler.cropping import Cropped
from handler.errors import RequestError, bad_request, our_fault, unavailable
from handler.request import SearchRequest
from searcher.errors import EngineUnavailable, TooFewPictures
from searcher.filters import Filter
from searcher.matches import Matches
from searcher.open_collection import OpenView
from searcher.scan.ranking import Query
from searcher.thinning import thinned

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Search:
    """A request, the vectors (one per space) of its subject in each of the ``positions`` that are looked for, and the
    state of the collection to search. ``cropped``: the part of a picture that is looked for, if not all of it is."""

    request: SearchRequest
    view: OpenView
    positions: Sequence[Vectors]
    cropped: Cropped | None = None

    @property
    def vectors(self) -> Vectors:
        """Those of the subject as it was sent."""
        return self.positions[0]

    @property
    def is_thinned(self) -> bool:
        """Whether not all that is found is answered."""
        return self.request.collapse or self.request.diversity > 1

    def queries(self, top_k: int) -> list[Query]:
        """One for each position."""
        asked = self.request
        return [Query(vectors, top_k, asked.max_distance, asked.rank, asked.exact) for vectors in self.positions]


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
    plain = [search for search in group if len(search.positions) == 1 and not search.is_thinned]
    found = view.search([search.queries(search.request.top_k)[0] for search in plain], where)
    in_one = dict(zip(plain, found, strict=True))
    return {**in_one, **{search: _alone(search, view, where) for search in group if search not in in_one}}


def _alone(search: Search, view: OpenView, where: Filter | None) -> Matches | RequestError:
    """Returns what a search found whose answers are thinned, or that looks for several positions."""

    def find(top_k: int) -> Matches:
        queries = search.queries(top_k)
        return view.search_any(queries, where) if len(queries) > 1 else view.search(queries, where)[0]

    asked = search.request
    try:
        return thinned(find, asked.top_k, collapse=asked.collapse, diversity=asked.diversity)
    except TooFewPictures as error:
        return bad_request(f"collapse: {error}")

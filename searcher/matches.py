"""The answer to a query: the images, their distances, and on request their distances in every space."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from contract.space import CODE, Space, Vectors
from searcher.scan.distance import distances


@dataclass(frozen=True)
class Matches:
    """The images at ``paths``, best first; for each its distance (differing bits, or 1 − cos) in the space that the
    rank compares first, ``ordered_by``, so that ``distances`` never fall, and its ``metadata``, JSON text or None.

    ``rows`` are rows of the version, None for images that were added since it was built. ``query`` has one vector for
    each space or, where a picture was looked for in several positions, one for each image. ``read`` returns the images'
    vectors in all ``spaces``; they are read only on demand. ``places``, where there are no rows, rise in the order of
    ties.
    """

    paths: list[str]
    distances: list[int] | list[float]
    metadata: list[str | None]
    rows: list[int | None] = field(default_factory=list)
    query: Vectors = field(default_factory=dict, repr=False, compare=False)
    spaces: Sequence[Space] = field(default=(), repr=False, compare=False)
    read: Callable[[], Vectors] = field(default=dict, repr=False, compare=False)
    ordered_by: str = CODE
    places: Sequence[int | str] = ()

    @cached_property
    def vectors(self) -> Vectors:
        """The images' vectors, in the order of ``paths``."""
        return self.read()

    def chosen(self, places: Sequence[int]) -> "Matches":
        """Those at ``places``, which rise, of these."""
        chosen = list(places)

        def of(values: Sequence[Any]) -> list[Any]:
            return [values[place] for place in chosen] if values else []

        return replace(
            self,
            paths=of(self.paths),
            distances=of(self.distances),
            metadata=of(self.metadata),
            rows=of(self.rows),
            query={name: array[chosen] if array.ndim == 2 else array for name, array in self.query.items()},
            read=lambda: {name: array[chosen] for name, array in self.vectors.items()},
            places=of(self.places),
        )

    def distances_by_space(self) -> dict[str, list[int] | list[float]]:
        """Distances in every space where the query has a vector: differing bits, or 1 − cos. Raises ValueError for a
        query vector of another width."""
        return {
            space.name: distances(space, self.query[space.name], self.vectors[space.name])
            for space in self.spaces
            if space.name in self.query
        }

"""A collection at one moment: a version, and the changes since it was built.

    version, without the rows that were removed or replaced   ┐
    tail: the images that were added since, in memory         ┘─▶ View: search, look up, list

Both parts are searched exactly, and their answers merged as if they were one list: first the version's rows, then the
added images, oldest first.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.image_names import normalised
from contract.model import ModelIdentity
from contract.space import CODE, EMBEDDING, Vectors, row_of
from searcher.entry import Entry
from searcher.filters import Filter
from searcher.live.base_images import BaseImage, BaseImages
from searcher.live.bitmaps import Bitmap, has, number_in, unpacked
from searcher.live.tail import Tail
from searcher.matches import Matches
from searcher.open_collection import Named
from searcher.scan.floats import FloatIndex
from searcher.scan.ranking import Query, Ranked, Ranking, in_positions, nearest_of
from searcher.scan.search import CodeIndex
from searcher.versions.version import IndexVersion

#: Images of the version that are in memory together while all are read.
_PAGE = 2000


@dataclass(frozen=True)
class Edited:
    """An image that was added, or given metadata; ``listed`` if it comes from the datalake's listing."""

    entry: Entry
    listed: bool


@dataclass(frozen=True)
class View:
    """A collection after change number ``seq``: ``count`` images. It stays the same while the collection changes."""

    version: IndexVersion
    seq: int
    count: int
    _hidden: Bitmap | None
    _tail: Tail
    _base: BaseImages

    @property
    def name(self) -> str:
        """The version's."""
        return self.version.name

    @property
    def model(self) -> ModelIdentity:
        return self.version.model

    def can(self, rank: str) -> bool:
        return self.version.can(rank)

    def require_model(self, model: ModelIdentity) -> None:
        self.version.require_model(model)

    def search(self, queries: Sequence[Query], where: Filter | None = None) -> list[Matches]:
        """The images nearest to each of ``queries`` among those that meet ``where``, with the order
        and the ValueErrors of ``Ranking.search``."""
        found = self._ranked(queries, where)
        return [self._matches(query.vectors, ranked) for query, ranked in zip(queries, found, strict=True)]

    def search_any(self, queries: Sequence[Query], where: Filter | None = None) -> Matches:
        """The images nearest to any of ``queries``, which ask for one thing in several positions; otherwise as
        ``search``."""
        found, answers = nearest_of(self._ranked(queries, where), queries[0].top_k)
        return self._matches(in_positions(queries, answers), found)

    def _ranked(self, queries: Sequence[Query], where: Filter | None) -> list[Ranked]:
        """Rows from the version's count on are places in the tail."""
        base_allowed = self._shown
        if where is not None:
            meeting = self._base.bitmap(where)
            base_allowed = meeting if base_allowed is None else meeting & base_allowed
        found = self.version.ranked(queries, base_allowed)
        tail = self._tail
        if tail.count:
            alive = tail.alive
            if where is not None:
                alive = alive & self._base.tail_bitmap(where, tail.metadata, tail.count)
            nearer = [_nearer(query, base) for query, base in zip(queries, found, strict=True)]
            added = self._tail_ranking.search(nearer, alive)
            found = [
                _merged(query, base, more, self.version.manifest.count)
                for query, base, more in zip(queries, found, added, strict=True)
            ]
        return found

    def image(self, path: str) -> Entry | None:
        """The image called ``path``, or None."""
        place = self._tail.find(path)
        if place is not None:
            return self._tail.entry(place)
        found = [image for image in self._base.find(path) if not self._is_hidden(image.row)]
        return self._base_entries(found)[0] if found else None

    def name_of(self, given: str) -> str:
        """The name that an image called ``given`` has, or would get: a URL's normal form, unless the collection keeps
        an image under ``given`` itself, as older ones do."""
        normal = normalised(given)
        return given if normal != given and self.image(given) is not None else normal

    def images(self, after: str = "", limit: int = 50, where: Filter | None = None) -> list[Entry]:
        """The first ``limit`` images after the path ``after``, by path in code point order, that meet ``where``."""
        base = self._base.page(after, where, lambda row: not self._is_hidden(row), limit)
        paths, places = self._added_by_path
        meeting = self._tail.alive
        if where is not None:
            meeting = self._base.tail_bitmap(where, self._tail.metadata, self._tail.count)
        added = (place for place in islice(places, bisect_right(paths, after), None) if has(meeting, place))
        images = self._base_entries(base) + [self._tail.entry(place) for place in islice(added, limit)]
        return sorted(images, key=attrgetter("path"))[:limit]

    def number(self, where: Filter) -> int:
        """How many images meet ``where``."""
        base = self._base.bitmap(where)
        if self._shown is not None:
            base = base & self._shown
        tail = self._tail
        return number_in(base) + number_in(self._base.tail_bitmap(where, tail.metadata, tail.count) & tail.alive)

    def edited(self) -> Iterator[Edited]:
        """All images that are in no listing, or have metadata; in no particular order."""
        base = [(image, added) for image, added in self._base.edited() if not self._is_hidden(image.row)]
        for entry, (_, added) in zip(self._base_entries([image for image, _ in base]), base, strict=True):
            yield Edited(entry, not added)
        paths, places = self._added_by_path
        listed = self._base.listed_of(paths)
        for path, place in zip(paths, places, strict=True):
            yield Edited(self._tail.entry(place), path in listed)

    def entries(self) -> Iterator[Entry]:
        """All images: the version's, by row, then the added ones, oldest first."""
        for start in range(0, self.version.manifest.count, _PAGE):
            rows = range(start, min(start + _PAGE, self.version.manifest.count))
            found = self._base.named([row for row in rows if not self._is_hidden(row)])
            yield from self._base_entries([found[row] for row in sorted(found)])
        for place in self._tail.living().tolist():
            yield self._tail.entry(place)

    def all_of(self, space: str = CODE) -> tuple[NDArray[Any], Callable[[Sequence[int]], list[Named]]]:
        """The vectors of all images in ``space``, (count, columns), and a function from positions in them to
        images."""
        count, tail = self.version.manifest.count, self._tail
        hidden = np.zeros(count, bool) if self._hidden is None else unpacked(self._hidden, count)
        rows, places = np.flatnonzero(~hidden), tail.living()
        vectors = np.concatenate([self.version.vectors[space][rows], tail.vectors[space][places]])

        def named(positions: Sequence[int]) -> list[Named]:
            base = self._base.named([int(rows[each]) for each in positions if each < len(rows)])

            def one(position: int) -> Named:
                if position < len(rows):
                    image = base[int(rows[position])]
                    return Named(image.path, image.digest or None, image.metadata)
                place = int(places[position - len(rows)])
                return Named(tail.paths[place], tail.digests[place], tail.metadata[place])

            return [one(position) for position in positions]

        return vectors, named

    def _matches(self, asked: Vectors, ranked: Ranked) -> Matches:
        """``ranked`` with paths and metadata; rows from the version's count on are places in the tail."""
        count, rows = self.version.manifest.count, ranked.rows.tolist()
        base = self._base.named([row for row in rows if row < count])
        named = [
            (base[row].path, base[row].metadata)
            if row < count
            else (self._tail.paths[row - count], self._tail.metadata[row - count])
            for row in rows
        ]
        return Matches(
            [path for path, _ in named],
            ranked.of_order.tolist(),
            [metadata for _, metadata in named],
            [row if row < count else None for row in rows],
            asked,
            self.version.manifest.model.spaces,
            lambda: self._vectors(ranked.rows),
            ranked.order[0],
        )

    def _vectors(self, rows: NDArray[np.int64]) -> Vectors:
        """The vectors in ``rows``; rows from the version's count on are places in the tail."""
        count = self.version.manifest.count
        in_tail, vectors = rows >= count, {}
        for space in self.version.manifest.model.spaces:
            array = vectors[space.name] = space.empty(len(rows))
            array[~in_tail] = self.version.vectors[space.name][rows[~in_tail]]
            array[in_tail] = self._tail.vectors[space.name][rows[in_tail] - count]
        return vectors

    @cached_property
    def _shown(self) -> Bitmap | None:
        """A bitmap of the version's rows that are in the collection, or None for all."""
        return None if self._hidden is None else ~self._hidden

    @cached_property
    def _tail_ranking(self) -> Ranking:
        tail, manifest = self._tail, self.version.manifest
        vectors = {name: array[: tail.count] for name, array in tail.vectors.items()}
        return Ranking(
            {space.name: CodeIndex(vectors[space.name]) for space in manifest.model.spaces if space.kind == "binary"},
            FloatIndex(vectors[EMBEDDING]) if EMBEDDING in vectors else None,
            # A shortlist that is large enough for the version is so for fewer images of the same kind.
            manifest.shortlists if tail.count <= manifest.count else (),
        )

    @cached_property
    def _added_by_path(self) -> tuple[list[str], list[int]]:
        """The paths of the tail's images, sorted, and the place of each."""
        paths = self._tail.paths
        places = self._tail.living().tolist()
        places.sort(key=paths.__getitem__)
        return [paths[place] for place in places], places

    def _is_hidden(self, row: int) -> bool:
        return self._hidden is not None and has(self._hidden, row)

    def _base_entries(self, found: list[BaseImage]) -> list[Entry]:
        """The version's images ``found``, with their vectors."""
        rows = [image.row for image in found]
        vectors = {name: array[rows] for name, array in self.version.vectors.items()}
        return [
            Entry(image.path, row_of(vectors, place), image.metadata, image.digest or None, image.fetched)
            for place, image in enumerate(found)
        ]


def _nearer(query: Query, base: Ranked) -> Query:
    """``query`` for the tail: if ``base`` has enough answers, nothing farther than all of them is needed."""
    if base.order[0] != CODE or len(base.rows) < query.top_k:
        return query
    return replace(query, max_distance=int(base.of_order[-1]))


def _merged(query: Query, base: Ranked, tail: Ranked, count: int) -> Ranked:
    """The best of both, in the order of the query's rank; the rows of ``tail`` follow the ``count`` rows of the
    version."""
    if not len(tail.rows):
        return base
    rows = np.concatenate([base.rows, tail.rows + count])
    distances = {name: np.concatenate([each, tail.distances[name]]) for name, each in base.distances.items()}
    # lexsort sorts by its last key first.
    best = np.lexsort((rows, *reversed(distances.values())))[: query.top_k]
    return Ranked(rows[best], {name: each[best] for name, each in distances.items()})

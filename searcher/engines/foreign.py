"""A collection that another engine keeps, as readers and writers see any collection.

    index_store/collections/shoes/engine.json ─▶ ForeignCollection ─▶ view() ─▶ the engine, asked anew each time

An engine has no states to hold on to: two calls of one view may see two states, each of them whole.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.image_names import normalised
from contract.model import ModelIdentity
from searcher.engines.configuration import Configuration
from searcher.engines.engine import ForeignEngine
from searcher.engines.registry import engine_of
from searcher.entry import Entry
from searcher.errors import EngineUnavailable, ModelMismatch
from searcher.filters import Filter
from searcher.matches import Matches
from searcher.open_collection import Named
from searcher.scan.ranking import Query, Ranked, can_rank, in_positions, nearest_of, order_of


class ForeignCollection:
    """The collection ``name`` as ``configuration``, in ``folder``, says; a search may use up to ``threads``."""

    def __init__(self, name: str, folder: Path, configuration: Configuration, threads: int = 1) -> None:
        self.name = name
        self.folder = folder
        self.configuration = configuration
        opener = engine_of(configuration)
        self.shown = opener.shown(configuration)
        self.engine: ForeignEngine = opener(configuration, threads)

    def view(self) -> "ForeignView":
        return ForeignView(self.engine, self.configuration)

    def identity(self) -> ModelIdentity:
        return self.engine.identity

    def require_model(self, model: ModelIdentity) -> None:
        self.view().require_model(model)

    def add(self, additions: Sequence[Entry]) -> None:
        """Add ``additions``; of their vectors those in the spaces that the engine keeps."""
        held = {space.name for space in self.engine.identity.spaces}
        self.engine.add(
            [
                dataclasses.replace(each, vectors={name: each.vectors[name] for name in held & each.vectors.keys()})
                for each in additions
            ]
        )

    def remove(self, paths: Sequence[str]) -> int:
        return self.engine.remove(paths)

    def rest(self) -> None:
        self.engine.rest()


class ForeignView:
    """The images in ``engine``, now. Metadata that are no object, which others may have put into what was adopted, are
    left as they are there and not shown: everybody who reads a collection expects an object or nothing."""

    def __init__(self, engine: ForeignEngine, configuration: Configuration) -> None:
        self._engine = engine
        self._configuration = configuration

    @property
    def name(self) -> str:
        return f"{self._configuration.engine}:{self._configuration.place}"

    @property
    def model(self) -> ModelIdentity:
        return self._engine.identity

    @property
    def count(self) -> int:
        return self._engine.count()

    def can(self, rank: str) -> bool:
        return can_rank(rank, {space.name for space in self.model.spaces})

    def require_model(self, model: ModelIdentity) -> None:
        ours = self._configuration.model
        if ours.sha256 != model.sha256:
            raise ModelMismatch(
                f"{self.name} holds vectors of model {ours.name} (sha256 {ours.sha256[:12]}…), "
                f"and this is model {model.name} (sha256 {model.sha256[:12]}…)"
            )
        if (ours.spaces, ours.preprocessing) != (model.spaces, model.preprocessing):
            raise ModelMismatch(f"{self.name} holds vectors of another preparation of pictures than {model.name} makes")

    def search(self, queries: Sequence[Query], where: Filter | None = None) -> list[Matches]:
        return [
            dataclasses.replace(found, metadata=[*map(_object, found.metadata)])
            for found in self._engine.search(queries, where)
        ]

    def search_any(self, queries: Sequence[Query], where: Filter | None = None) -> Matches:
        found = self.search(queries, where)
        # Places among equals become numbers, as rows are.
        numbers = {place: number for number, place in enumerate(sorted({each for one in found for each in one.places}))}
        ranked = [
            Ranked(np.array([numbers[place] for place in one.places], np.int64), self._distances(query, one))
            for query, one in zip(queries, found, strict=True)
        ]
        best, answers = nearest_of(ranked, queries[0].top_k)
        chosen = [
            (found[answer], ranked[answer].rows.tolist().index(row))
            for row, answer in zip(best.rows.tolist(), answers.tolist(), strict=True)
        ]
        spaces = self.model.spaces
        return Matches(
            [one.paths[place] for one, place in chosen],
            best.of_order.tolist(),
            [one.metadata[place] for one, place in chosen],
            [None] * len(chosen),
            in_positions(queries, answers),
            spaces,
            lambda: {
                space.name: space.array([one.vectors[space.name][place].tobytes() for one, place in chosen])
                for space in spaces
            },
            best.order[0],
        )

    def image(self, path: str) -> Entry | None:
        return _shown(self._engine.get([path])[0])

    def name_of(self, given: str) -> str:
        normal = normalised(given)
        return given if normal != given and self.image(given) is not None else normal

    def images(self, after: str = "", limit: int = 50, where: Filter | None = None) -> list[Entry]:
        # No name has a NUL, which databases refuse: those after "a\0b" are those after "a".
        return [*map(_shown, self._engine.list(after.partition("\0")[0], limit, where))]

    def number(self, where: Filter) -> int:
        return self._engine.count(where)

    def entries(self) -> Iterator[Entry]:
        return map(_shown, self._engine.entries())

    def all_of(self, space: str) -> tuple[NDArray[Any], Callable[[Sequence[int]], list[Named]]]:
        kept = self.model.space(space)
        if kept is None:
            raise EngineUnavailable(f"{self.name} keeps no vectors of the kind {space}")
        paths, rows = [], []
        for entry in self._engine.entries():
            paths.append(entry.path)
            rows.append(entry.vectors[space])

        def named(positions: Sequence[int]) -> list[Named]:
            asked = [paths[position] for position in positions]
            found = zip(asked, self._engine.get(asked), strict=True)
            return [  # what was removed since it was read has but a name
                Named(path, None, None) if entry is None else Named(path, entry.digest, _object(entry.metadata))
                for path, entry in found
            ]

        return kept.array(rows), named

    def _distances(self, query: Query, found: Matches) -> dict[str, NDArray[Any]]:
        """Distances in the spaces that put ``found`` in order."""
        order = order_of(query.rank, {space.name for space in self.model.spaces}, query.vectors)
        apart = {found.ordered_by: found.distances} if not order or len(order) == 1 else found.distances_by_space()
        return {name: np.asarray(apart[name]) for name in order or (found.ordered_by,)}


Known = TypeVar("Known", Entry, Entry | None)


def _shown(entry: Known) -> Known:
    if entry is None or entry.metadata is None or _object(entry.metadata) is not None:
        return entry
    return dataclasses.replace(entry, metadata=None)


def _object(metadata: str | None) -> str | None:
    """``metadata``, JSON text, if that is an object."""
    return metadata if metadata is not None and metadata.lstrip().startswith("{") else None

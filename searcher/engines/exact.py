"""Our own engine: an immutable version and a journal of changes, searched exactly (searcher/live/)."""

from collections.abc import Sequence
from pathlib import Path

from contract.model import ModelIdentity
from searcher.entry import Entry
from searcher.filters import Filter
from searcher.live.collection import Collection
from searcher.matches import Matches
from searcher.scan.ranking import Query


class ExactEngine:
    """The collection in ``folder`` as an ``Engine``. Each call sees all changes acknowledged before it."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._collection = Collection(folder.name, folder, threads)

    @property
    def identity(self) -> ModelIdentity:
        return self._collection.identity()

    def search(self, queries: Sequence[Query], where: Filter | None = None) -> list[Matches]:
        return self._collection.view().search(queries, where)

    def get(self, paths: Sequence[str]) -> list[Entry | None]:
        view = self._collection.view()
        return [view.image(path) for path in paths]

    def list(self, after: str = "", limit: int = 50, where: Filter | None = None) -> list[Entry]:
        return self._collection.view().images(after, limit, where)

    def count(self, where: Filter | None = None) -> int:
        view = self._collection.view()
        return view.count if where is None else view.number(where)

    def add(self, entries: Sequence[Entry]) -> None:
        self._collection.add(entries)

    def remove(self, paths: Sequence[str]) -> int:
        return self._collection.remove(paths)

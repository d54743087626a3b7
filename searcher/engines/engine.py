"""The protocol of an engine, which stores the images of a collection and finds the nearest.

    add, remove ─▶ entries ─▶ search: the nearest by a rank, among those that a filter lets pass
                          └─▶ get, list, count

tests/searcher/engines/ says what each call must return; the exact engine (exact.py) is the oracle for the others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from contract.model import ModelIdentity
from searcher.entry import Entry
from searcher.filters import Filter
from searcher.matches import Matches
from searcher.scan.ranking import Query


class Engine(Protocol):
    """One collection of images with vectors of one model. Threads may share it.

    Every call sees all earlier additions and removals. Raises SearcherError for files that cannot be read or written.
    """

    @property
    def identity(self) -> ModelIdentity:
        """The model that made the vectors, and with it their spaces."""

    def search(self, queries: Sequence[Query], where: Filter | None = None) -> list[Matches]:
        """The images nearest to each of ``queries``, by its rank, among those that meet ``where``; ties in the order of
        adding. Raises ValueError for a query that this model cannot answer."""

    def get(self, paths: Sequence[str]) -> list[Entry | None]:
        """The images called ``paths``, in that order; None for each that is missing."""

    def list(self, after: str = "", limit: int = 50, where: Filter | None = None) -> list[Entry]:
        """The first ``limit`` images after the path ``after``, by path in code point order, that meet ``where``."""

    def count(self, where: Filter | None = None) -> int:
        """How many images meet ``where``."""

    def add(self, entries: Sequence[Entry]) -> None:
        """Add ``entries``, replacing images of the same path; of two with one path, the later wins. Adds all or
        none: raises ValueError for vectors of other widths than the model's, and for metadata that is not JSON."""

    def remove(self, paths: Sequence[str]) -> int:
        """Remove ``paths``. Returns how many of them were there."""


class OpenEngine(Protocol):
    """Opens an engine; the registry returns these."""

    def __call__(self, folder: Path, threads: int = 1) -> Engine:
        """The engine of the collection whose index store is ``folder``; a search may use up to ``threads``."""

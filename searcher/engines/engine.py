"""The protocol of an engine, which stores the images of a collection and finds the nearest.

    add, remove ─▶ entries ─▶ search: the nearest by a rank, among those that a filter lets pass
                          └─▶ get, list, count

Our own (exact.py) needs no other program, and is the oracle for the others, which keep a collection in a database:

    create ─▶ Configuration ─▶ open, in every process ─▶ Engine

tests/searcher/engines/ says what each call must return.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from pydantic import JsonValue

from contract.model import ModelIdentity
from searcher.engines.configuration import Configuration
from searcher.entry import Entry
from searcher.filters import Filter
from searcher.matches import Matches
from searcher.scan.ranking import Query


class Engine(Protocol):
    """One collection of images with vectors of one model. Threads may share it.

    Every call sees all earlier additions and removals. Raises SearcherError for files that cannot be read or written,
    EngineUnavailable for a database that cannot be reached.
    """

    @property
    def identity(self) -> ModelIdentity:
        """The model that made the vectors, and with it the spaces of those that are kept."""

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


class ForeignEngine(Engine, Protocol):
    """An engine that keeps a collection elsewhere than in the index store."""

    def entries(self) -> Iterator[Entry]:
        """All images, in the order of adding."""

    def sample(self, count: int) -> Sequence[Entry]:
        """At most ``count`` images, chosen by chance."""

    def properties(self) -> Mapping[str, JsonValue]:
        """What the engine says of itself and of the collection, by names for people to read."""

    def index(self, kind: str | None) -> None:
        """Build the approximate index called ``kind`` in place of any other; None removes it. Searches use it if the
        configuration says so. Raises EngineRefused for a kind that there isn't."""

    def delete(self) -> None:
        """Delete all images and what holds them, unless that was adopted."""

    def rest(self) -> None:
        """Close connections until they are needed again."""


class OpenEngine(Protocol):
    """Opens an engine: a class of engines, which the registry returns. No call prints credentials, nor puts them in
    errors."""

    def __call__(self, configuration: Configuration, threads: int = 1) -> ForeignEngine:
        """The engine of a collection that was made with this configuration; a search may use up to ``threads``. It
        connects when it is first asked."""

    def create(self, configuration: Configuration) -> Configuration:
        """Make room for a collection, or adopt what is there already at this place. Returns the configuration to open
        it with. Raises EngineRefused for what doesn't suit the model, EngineUnavailable, and NotRegistered for an extra
        that is missing."""

    def shown(self, configuration: Configuration) -> str:
        """The address without credentials, for answers and logs."""

"""What a collection is to those who read and change it, wherever it lives: in the index store (searcher/live/), or in
another engine (searcher/engines/).

    OpenCollection ─▶ view() ─▶ OpenView: search, look up, list
                  └─▶ add, remove
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from contract.model import ModelIdentity
from searcher.entry import Entry
from searcher.filters import Filter
from searcher.matches import Matches
from searcher.scan.ranking import Query


class Named(NamedTuple):
    """An image's path, the digest of its file, which of restored images nobody knows, and its metadata, JSON text."""

    path: str
    digest: bytes | None
    metadata: str | None


class OpenView(Protocol):
    """A collection as it is now. Raises SearcherError where it cannot be read."""

    @property
    def name(self) -> str:
        """What answers call the state that they are from: a version, or where the collection lives."""

    @property
    def model(self) -> ModelIdentity:
        """The model that made the vectors, with the spaces of those that are kept."""

    @property
    def count(self) -> int:
        """How many images there are."""

    def can(self, rank: str) -> bool:
        """Whether its images can be ranked by ``rank``."""

    def require_model(self, model: ModelIdentity) -> None:
        """Raise ModelMismatch, naming both sides, unless vectors of ``model`` mean the same as these."""

    def search(self, queries: Sequence[Query], where: Filter | None = None) -> list[Matches]:
        """As ``Engine.search``."""

    def search_any(self, queries: Sequence[Query], where: Filter | None = None) -> Matches:
        """The images nearest to any of ``queries``, which ask for one thing in several positions; otherwise as
        ``search``."""

    def image(self, path: str) -> Entry | None:
        """The image called ``path``, or None."""

    def name_of(self, given: str) -> str:
        """The name that an image called ``given`` has, or would get: a URL's normal form, unless the collection keeps
        an image under ``given`` itself, as older ones do."""

    def images(self, after: str = "", limit: int = 50, where: Filter | None = None) -> list[Entry]:
        """The first ``limit`` images after the path ``after``, by path in code point order, that meet ``where``."""

    def number(self, where: Filter) -> int:
        """How many images meet ``where``."""

    def entries(self) -> Iterator[Entry]:
        """All images, in the order of adding."""

    def all_of(self, space: str) -> tuple[NDArray[Any], Callable[[Sequence[int]], list[Named]]]:
        """The vectors of all images in ``space``, (count, columns), in the order of adding, and a function from
        positions in them to images."""


class OpenCollection(Protocol):
    """The collection ``name``, whose own files are in ``folder``. Threads may share it."""

    name: str
    folder: Path

    def view(self) -> OpenView:
        """The collection with all changes acknowledged before this call."""

    def identity(self) -> ModelIdentity:
        """The model whose vectors the collection holds."""

    def require_model(self, model: ModelIdentity) -> None:
        """Raise ModelMismatch unless images of ``model`` may be added, and SearcherError unless any may."""

    def add(self, additions: Sequence[Entry]) -> None:
        """Add ``additions``, replacing images of the same path, all or none: kept, and part of every view, when this
        returns. Raises ValueError for vectors of other widths, and for what cannot be stored."""

    def remove(self, paths: Sequence[str]) -> int:
        """Remove ``paths``. Returns how many of them were there."""

    def rest(self) -> None:
        """Close files and connections until they are needed again."""

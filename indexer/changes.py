"""What changed since an earlier version, and which of its vectors can be reused.

KnownVectors  an item's vectors, if the base version has the same version of the item, or the same content
FilesState    a digest of all items and their versions: equal if nothing changed
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from contract.space import row_of
from indexer.outcome import Embedded
from searcher.versions.images import ImageFile, Sourced
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion
from sources.folder import FileVersion
from sources.source import Item, Splitter


class KnownVectors:
    """The vectors of ``base``, if there is one. ``checksum``: compare contents instead of versions.

    The image table stores the version of an image: a file's size and time, or what its source calls it, such as an
    ETag. Parts of items are always compared by content.
    """

    def __init__(self, base: IndexVersion | None, *, checksum: bool) -> None:
        self._base = base
        self._checksum = checksum

    def __reduce__(self) -> tuple[Callable[[Path | None, bool], "KnownVectors"], tuple[Path | None, bool]]:
        """Elsewhere the version is opened anew, in the same folder."""
        return _reopened, (self._base.folder.absolute() if self._base else None, self._checksum)

    def by_version(self, items: Sequence[Item]) -> list[Embedded | None]:
        """Returns the vectors of each of ``items``, which haven't been read yet; None for those that must be read."""
        names = [item.name for item in items if item.version is not None and item.parent is None]
        if self._base is None or self._checksum or not names:
            return [None] * len(items)
        known = self._base.images.find_all(names)
        others = [item.name for item in items if item.name in known and FileVersion.parse(item.version) is None]
        sourced = self._base.images.sourced(others) if others else {}
        return [self._unchanged(item, known.get(item.name), sourced.get(item.name)) for item in items]

    def by_content(self, item: Item, file: ImageFile) -> Embedded | None:
        """Returns the vectors of ``file``, the content of ``item``, or None if the base version's content differs."""
        if self._base is None or self._comparable(item) is not None:
            return None
        known = self._base.images.find(file.path)
        return self._kept(known[0], file, item) if known and known[1].digest == file.digest else None

    def _comparable(self, item: Item) -> FileVersion | None:
        """Returns the item's version, if versions decide."""
        return None if self._checksum or item.parent is not None else FileVersion.parse(item.version)

    def _unchanged(self, item: Item, known: tuple[int, ImageFile] | None, sourced: Sourced | None) -> Embedded | None:
        if known is None or item.parent is not None:
            return None
        row, file = known
        version = str(FileVersion(file.size, file.mtime_ns)) if sourced is None else sourced.version
        return self._kept(row, file, item) if version == item.version else None

    def _kept(self, row: int, file: ImageFile, item: Item) -> Embedded:
        assert self._base is not None
        return Embedded(file, row_of(self._base.vectors, row), reused=True, sourced=said_of(item))


def _reopened(folder: Path | None, checksum: bool) -> KnownVectors:
    base = IndexStore(folder.parent).open(folder.name) if folder else None
    return KnownVectors(base, checksum=checksum)


def said_of(item: Item) -> Sourced:
    """Returns what the source of ``item`` says of it, beside a file's size and time, which the table has of all."""
    is_file = item.parent is not None or FileVersion.parse(item.version) is not None
    return Sourced(None if is_file else item.version, item.metadata)


class FilesState:
    """A digest that grows item by item, in order. ``text`` is its whole state, from which a later run continues.

    Items without a version cannot be read and don't count: the state changes when they become readable.
    """

    #: The key under which an index version's build records this state.
    FACT = "files_state"

    def __init__(self, text: str = "") -> None:
        self.text = text

    @classmethod
    def of(cls, splitters: Sequence[Splitter]) -> Self:
        """Returns the state before any item: with other ``splitters`` the same files have other parts."""
        return cls(" ".join(map(str, splitters)))

    def add(self, item: Item) -> None:
        if item.version is not None:
            line = f"{self.text}\0{item.name}\0{item.version}".encode("utf-8", "surrogateescape")
            self.text = hashlib.blake2b(line, digest_size=16).hexdigest()

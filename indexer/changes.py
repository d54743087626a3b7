"""What changed since an earlier version, and which of its vectors can be reused.

KnownVectors  an item's vectors, if the base version has the same version of the item, or the same content
FilesState    a digest of all items and their versions: equal if nothing changed
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from contract.regions import names_of_regions
from contract.space import row_of
from indexer.outcome import Embedded
from searcher.versions.images import ImageFile, Sourced
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion
from sources.folder import FileVersion
from sources.regions import Regions, region_metadata
from sources.source import Item, Splitter

#: The key under which an index version's build records what took its items apart.
SPLITTERS = "splitters"


class KnownVectors:
    """The vectors of ``base``, if there is one. ``checksum``: compare contents instead of versions.

    The image table stores the version of an image: a file's size and time, or what its source calls it, such as an
    ETag. Parts of items are always compared by content. The regions of an unchanged picture are as they were, if
    ``splitters`` are.
    """

    def __init__(self, base: IndexVersion | None, *, checksum: bool, splitters: Sequence[Splitter] = ()) -> None:
        self._base = base
        self._checksum = checksum
        self._splitters = splitters
        self._same_parts = base is not None and base.images.build_facts().get(SPLITTERS) == names_of(splitters)

    def __reduce__(self) -> tuple[Callable[..., "KnownVectors"], tuple[Path | None, bool, Sequence[Splitter]]]:
        """Elsewhere the version is opened anew, in the same folder."""
        return _reopened, (self._base.folder.absolute() if self._base else None, self._checksum, self._splitters)

    def by_version(self, items: Sequence[Item]) -> list[list[Embedded] | None]:
        """Returns the vectors of each of ``items``, which haven't been read yet, with those of its regions; None for
        those that must be read."""
        names = [item.name for item in items if item.version is not None and item.parent is None]
        if self._base is None or self._checksum or not names:
            return [None] * len(items)
        known = self._base.images.find_all(names)
        others = [item.name for item in items if item.name in known and FileVersion.parse(item.version) is None]
        sourced = self._base.images.sourced(others) if others else {}
        return [
            self._all_of(item, self._unchanged(item, known.get(item.name), sourced.get(item.name))) for item in items
        ]

    def with_regions(self, item: Item, file: ImageFile) -> list[Embedded] | None:
        """Returns the vectors of ``file``, the content of ``item``, and those of its regions, or None if the base
        version's content differs, or its regions were made otherwise."""
        if not self._same_parts or (own := self.by_content(item, file)) is None:
            return None
        return [own, *self._regions_of(item)]

    def by_content(self, item: Item, file: ImageFile) -> Embedded | None:
        """Returns the vectors of ``file``, the content of ``item``, or None if the base version's content differs."""
        if self._base is None or self._comparable(item) is not None:
            return None
        known = self._base.images.find(file.path)
        return self._kept(known[0], file, item) if known and known[1].digest == file.digest else None

    def _all_of(self, item: Item, own: Embedded | None) -> list[Embedded] | None:
        """Returns all that the base version has of ``item``, whose ``own`` vectors are unchanged; None if the item must
        be read."""
        splitter = next((each for each in self._splitters if each.splits(item)), None)
        if splitter is None:
            return None if own is None else [own]
        if not self._same_parts:
            return None
        if own is not None:
            return [own, *self._regions_of(item)]
        version = self._comparable(item)
        if version is None or not (isinstance(splitter, Regions) and splitter.alone):
            return None
        regions = self._regions_of(item)
        unchanged = all(FileVersion(each.file.size, each.file.mtime_ns) == version for each in regions)
        return regions if regions and unchanged else None

    def _regions_of(self, item: Item) -> list[Embedded]:
        assert self._base is not None
        found = self._base.images.between(*names_of_regions(item.name))
        said = self._base.images.sourced([file.path for _, file in found]) if found else {}
        return [
            Embedded(
                file,
                row_of(self._base.vectors, row),
                reused=True,
                sourced=Sourced(None, region_metadata(item.metadata, json.loads(said[file.path].metadata or "{}"))),
            )
            for row, file in found
            if file.path in said
        ]

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


def _reopened(folder: Path | None, checksum: bool, splitters: Sequence[Splitter]) -> KnownVectors:
    base = IndexStore(folder.parent).open(folder.name) if folder else None
    return KnownVectors(base, checksum=checksum, splitters=splitters)


def names_of(splitters: Sequence[Splitter]) -> str:
    """Returns the names of ``splitters``, with their options: others make other parts."""
    return " ".join(map(str, splitters))


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
        return cls(names_of(splitters))

    def add(self, item: Item) -> None:
        if item.version is not None:
            line = f"{self.text}\0{item.name}\0{item.version}".encode("utf-8", "surrogateescape")
            self.text = hashlib.blake2b(line, digest_size=16).hexdigest()

"""Reads pictures again by their names, to show them: those of some sources, and of no other place.

    s3://bucket/photos/a.jpg                    below s3://bucket/photos: a GET, or a link for a while
    photos.zip#a.jpg                            in the archive
    /data/photos/a.jpg                          in the folder, once links are resolved
    …/a.pdf#page=3                              the file as above, and its page

Names come from indexes and collections, and those from anybody who may write them. So what is read must lie within a
source that this machine's operators named.
"""

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Protocol

from contract.registry import NotRegistered
from sources.errors import SourceError
from sources.folder import FolderSource
from sources.part_names import file_of
from sources.parts import part_of
from sources.registry import name_of, open_source
from sources.source import Item, Source


class _Bucket(Protocol):
    """``sources.objects.Bucket``, whose library may not be installed."""

    def read(self, item: Item) -> tuple[Item, bytes]: ...

    def link(self, name: str, seconds: int) -> str | None: ...


class Originals:
    """The pictures of the sources at ``addresses``; none of those of other people's addresses (URLs, IIIF). Threads may
    share it."""

    def __init__(self, *addresses: str) -> None:
        self._places = [_Place(address) for address in addresses]

    def admit(self, address: str) -> None:
        """Show the pictures of the source at ``address`` too. Raises SourceError if it names none."""
        if all(place.address != address for place in self._places):
            self._places = [*self._places, _Place(address)]

    def has(self, name: str) -> bool:
        """Whether ``name`` lies within one of the sources, by its spelling."""
        return any(place.has(name) for place in self._places)

    def read(self, name: str) -> bytes:
        """Returns the picture called ``name``, which a source has. Raises Unreadable, and SourceError if the source
        cannot be used."""
        try:
            return part_of(name, self._of(name).read(file_of(name) or name))
        except (NotRegistered, ModuleNotFoundError) as error:
            raise SourceError(f"it cannot be shown here: {error}") from error

    def link(self, name: str, seconds: int) -> str | None:
        """Returns a URL that shows the picture for so long; None where there are no such links."""
        return None if file_of(name) is not None else self._of(name).link(name, seconds)

    def close(self) -> None:
        for place in self._places:
            place.close()

    def _of(self, name: str) -> "_Place":
        return next(place for place in self._places if place.has(name))


class _Place:
    """One of the sources."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._kind = name_of(address)
        self._open = ExitStack()
        self._lock = Lock()
        self._prefix = _prefix(self._kind, address)

    def has(self, name: str) -> bool:
        return bool(self._prefix) and name.startswith(self._prefix)

    def read(self, name: str) -> bytes:
        item = Item(name)
        if self._kind in ("s3", "gs", "az"):
            return self._bucket.read(item)[1]
        if self._kind == "folder":
            folder = Path(self._prefix)
            return FolderSource(Path(), confined_to=folder).read(item)[1]
        with self._lock:
            archive = self._archive
        return archive.read(archive.with_version(item))[1]

    def link(self, name: str, seconds: int) -> str | None:
        return self._bucket.link(name, seconds) if self._kind in ("s3", "gs", "az") else None

    def close(self) -> None:
        self._open.close()

    @cached_property
    def _bucket(self) -> _Bucket:
        from sources.objects import Bucket, parts_of

        scheme, bucket, _ = parts_of(self.address)
        return Bucket(scheme, bucket)

    @cached_property
    def _archive(self) -> Source:
        return self._open.enter_context(open_source(self.address))


def _prefix(kind: str, address: str) -> str:
    """Returns what the names of a source's pictures begin with; nothing if it has none of its own."""
    if kind in ("s3", "gs", "az"):
        scheme, _, rest = address.partition(":")
        bucket, _, prefix = rest.removeprefix("//").partition("/")
        if not bucket:
            from sources.objects import parts_of

            _, bucket, prefix = parts_of(address)
        prefix = prefix.rstrip("/")
        return f"{scheme}://{bucket}/{prefix}{'/' if prefix else ''}"
    if kind in ("zip", "tar"):
        return f"{address.removeprefix(f'{kind}:')}#"
    if kind == "folder":
        return address.removeprefix("folder:").rstrip("/") + "/"
    return ""

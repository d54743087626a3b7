"""A folder's files as a source: those in a listing, or every image below the folder.

database_info.txt ─┐
walk ──────────────┴▶ names, in order ─▶ stat: regular? small enough? size and time ─▶ bytes
"""

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Self

from contract.amounts import bytes_beyond
from pictures.limits import DEFAULT_LIMITS
from sources.errors import Unreadable
from sources.left_out import LeftOut
from sources.listing import Listing
from sources.listing_writer import write_listing
from sources.open_inside import OutsideFolder, open_inside
from sources.selection import PICTURES, Selection
from sources.source import Item
from sources.walk import walk

_log = logging.getLogger(__name__)


class FileVersion(NamedTuple):
    """The state of a file: its size in bytes and modification time. As text: "4096 1600000000123456789"."""

    size: int
    mtime_ns: int

    @classmethod
    def parse(cls, version: str | None) -> Self | None:
        """Parses the text that ``str`` gives; returns None for versions of other sources."""
        size, _, mtime_ns = (version or "").partition(" ")
        return cls(int(size), int(mtime_ns)) if size.isdecimal() and mtime_ns.lstrip("-").isdecimal() else None

    def __str__(self) -> str:
        return f"{self.size} {self.mtime_ns}"


@contextmanager
def open_folder(address: str, selection: Selection = PICTURES) -> Iterator["FolderSource"]:
    """Yields a source of every image below the folder at ``address``, which is ``folder:/data/photos`` or the path
    alone, as ``selection`` says. Names are as in ``extract_datalake.sh``'s listings: the folder as typed, followed by
    the path below it."""
    with TemporaryDirectory() as scratch:
        listing = Path(scratch) / "listing.txt"
        left_out = LeftOut()
        write_listing(address.removeprefix("folder:"), listing, _log.warning, Path(), left_out, selection)
        if left_out.total():
            _log.warning("%s", left_out)
        yield FolderSource(Path(), Listing(listing))


class FolderSource:
    """The files named in ``listing``, relative to ``root``, or, without a listing, every image below ``root``.

    With ``confined_to``, files are read only if they really lie in that folder, once symbolic links are resolved.
    """

    def __init__(self, root: Path, listing: Listing | None = None, *, confined_to: Path | None = None) -> None:
        self._root = root
        self._listing = listing
        self._confined_to = confined_to

    def __reduce__(self) -> tuple[Callable[[Path], "FolderSource"], tuple[Path]]:
        return partial(FolderSource, confined_to=self._confined_to), (self._root.absolute(),)

    def __str__(self) -> str:
        return str(self._listing or self._root)

    @property
    def count(self) -> int:
        return self._listing.count if self._listing else self._walked[0]

    @property
    def state(self) -> str:
        names = self._listing.state if self._listing else self._walked[1]
        return f"{names} {self._root.absolute()}"

    def items(self, start: int = 0) -> Iterator[Item]:
        if self._listing:
            yield from map(Item, self._listing.names(start))
        else:
            for number, name in enumerate(self._walk()):
                if number >= start:
                    yield Item(name)

    def with_version(self, item: Item) -> Item:
        require_utf8(item.name)
        try:
            status = os.stat(self._path(item))
        except (OSError, ValueError) as error:
            raise _unreadable(error) from error
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("not a regular file")
        if status.st_size > DEFAULT_LIMITS.max_bytes:
            raise Unreadable(f"the image has {bytes_beyond(status.st_size, DEFAULT_LIMITS.max_bytes)}")
        version = str(FileVersion(status.st_size, status.st_mtime_ns))
        return Item(item.name, item.kind, version, item.parent, item.metadata)

    def read(self, item: Item) -> tuple[Item, bytes]:
        """As ``Source.read``. Reads at most one byte over the size limit, which is enough to tell that a file that has
        grown is too large."""
        path = Path(self._path(item))
        try:
            with open_inside(self._confined_to, path) if self._confined_to else path.open("rb") as file:
                return item, file.read(DEFAULT_LIMITS.max_bytes + 1)
        except OutsideFolder as error:
            raise Unreadable("no such file or directory") from error
        except (OSError, ValueError) as error:
            raise _unreadable(error) from error

    def _path(self, item: Item) -> str:
        return os.path.join(self._root, item.name)  # noqa: PTH118 (takes a third of pathlib's time, and refreshing does little else)

    @cached_property
    def _walked(self) -> tuple[int, str]:
        """The number of images below the folder, and a digest of their names."""
        count, digest = 0, hashlib.sha256()
        for name in self._walk():
            count += 1
            digest.update(os.fsencode(name) + b"\n")
        return count, digest.hexdigest()

    def _walk(self) -> Iterator[str]:
        return map(os.fsdecode, walk(str(self._root), lambda _problem: None))


def require_utf8(name: str) -> None:
    """Raises Unreadable for a name that isn't UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise Unreadable("the name is not UTF-8, and answers could not spell it") from error


def _unreadable(error: OSError | ValueError) -> Unreadable:  # ValueError: a name with a zero byte
    reason = error.strerror if isinstance(error, OSError) else None
    return Unreadable((reason or str(error)).lower())

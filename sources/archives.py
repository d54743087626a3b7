"""The pictures in a zip or tar archive as a source, without unpacking it.

    photos.zip ─▶ its members, by their names ─▶ photos.zip#2024/a.jpg ─▶ read where it lies

A zip's member has its CRC as version, a tar's its place, size and time. A compressed tar is unpacked once, to a file of
this process's: there is no other way to read its members in any order.
"""

import bz2
import gzip
import logging
import lzma
import shutil
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from contract.amounts import bytes_beyond
from pictures.limits import DEFAULT_LIMITS
from sources.errors import SourceError, Unreadable
from sources.folder import require_utf8
from sources.left_out import LeftOut
from sources.selection import PICTURES, Selection
from sources.source import Item
from sources.spool import Spool, Spooled, spooled

_log = logging.getLogger(__name__)

#: What compressed tars begin with, and what reads them.
_COMPRESSED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
#: The flag of a zip's members that a password opens.
_ENCRYPTED = 0x1
#: What reading a damaged archive raises.
DAMAGED = (OSError, EOFError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


class ArchiveSource(Spooled):
    """The members that ``spool`` lists, whose contents ``read_member`` reads, one at a time."""

    def __init__(self, path: str, spool: Spool, read_member: Callable[[str, str], bytes]) -> None:
        self._path = path
        super().__init__(spool)
        self._read_member = read_member
        self._lock = threading.Lock()

    def with_version(self, item: Item) -> Item:
        require_utf8(item.name)
        if item.version is not None:
            return item
        return next((each for each in self._spool.items() if each.name == item.name), item)

    def read(self, item: Item) -> tuple[Item, bytes]:
        name = item.name.removeprefix(f"{self._path}#")
        if item.version is None:
            raise Unreadable("the archive has no such member")
        try:
            with self._lock:
                data = self._read_member(name, item.version)
        except KeyError as error:
            raise Unreadable("the archive has no such member") from error
        except DAMAGED as error:
            raise Unreadable(f"the archive cannot be read here: {str(error) or type(error).__name__}") from error
        return item, data


@contextmanager
def open_zip(address: str, selection: Selection = PICTURES) -> Iterator[ArchiveSource]:
    """Yields a source of the pictures in the zip file at ``address``: ``zip:photos.zip``, or the path alone. Raises
    SourceError."""
    path = address.removeprefix("zip:")
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise SourceError(f"{path} cannot be read as a zip archive: {_reason(error)}") from error

    def members() -> Iterator[Item]:
        for info in archive.infolist():
            if not info.is_dir():
                yield Item(info.filename, version=f"crc32 {info.CRC:08x}, {info.file_size} bytes")

    def read_member(name: str, version: str) -> bytes:
        info = archive.getinfo(name)
        if info.flag_bits & _ENCRYPTED:
            raise Unreadable("it is encrypted in the archive, and opens with a password only")
        require_small(info.file_size)
        with archive.open(info) as member:
            return member.read(DEFAULT_LIMITS.max_bytes + 1)

    with archive, _source(path, members(), read_member, selection) as source:
        yield source


@contextmanager
def open_tar(address: str, selection: Selection = PICTURES) -> Iterator[ArchiveSource]:
    """Yields a source of the pictures in the tar file at ``address``: ``tar:photos.tar.gz``, or the path alone. Raises
    SourceError."""
    path = address.removeprefix("tar:")
    with ExitStack() as opened:
        try:
            file = opened.enter_context(_uncompressed(Path(path)))
            archive = opened.enter_context(tarfile.open(fileobj=file, mode="r:"))
        except DAMAGED as error:
            raise SourceError(f"{path} cannot be read as a tar archive: {_reason(error)}") from error

        def members() -> Iterator[Item]:
            try:
                for info in archive:
                    if info.isreg() and not info.issparse():
                        version = f"at {info.offset_data}, {info.size} bytes, {info.mtime}"
                        yield Item(info.name.removeprefix("./"), version=version)
                    archive.members = []  # type: ignore[attr-defined]  # else it keeps a million of them
            except DAMAGED as error:
                raise SourceError(f"{path} is damaged: {_reason(error)}") from error

        def read_member(name: str, version: str) -> bytes:
            place, size, _ = version.split(", ")
            require_small(int(size.partition(" ")[0]))
            file.seek(int(place.removeprefix("at ")))
            return file.read(int(size.partition(" ")[0]))

        with _source(path, members(), read_member, selection) as source:
            yield source


def require_small(size: int) -> None:
    """Raises Unreadable for more bytes than a picture may have."""
    if size > DEFAULT_LIMITS.max_bytes:
        raise Unreadable(f"the image has {bytes_beyond(size, DEFAULT_LIMITS.max_bytes)}")


@contextmanager
def _source(
    path: str, members: Iterator[Item], read_member: Callable[[str, str], bytes], selection: Selection
) -> Iterator[ArchiveSource]:
    left_out = LeftOut()
    selected = (replace(each, name=f"{path}#{each.name}") for each in members if selection.has(each.name, left_out))
    with spooled(selected, path) as spool:
        if left_out.total():
            _log.warning("%s", left_out)
        if not spool.count:
            raise SourceError("; ".join(filter(None, [f"no image in {path}", str(left_out)])))
        yield ArchiveSource(path, spool, read_member)


@contextmanager
def _uncompressed(path: Path) -> Iterator[IO[bytes]]:
    """Yields the tar file itself, or, if it is compressed, what it unpacks to."""
    with path.open("rb") as file:
        head = file.read(6)
        file.seek(0)
        opener = next((opener for mark, opener in _COMPRESSED.items() if head.startswith(mark)), None)
        if opener is None:
            yield file
            return
        with TemporaryFile() as unpacked, opener(file) as compressed:
            shutil.copyfileobj(compressed, unpacked, 1 << 20)
            unpacked.seek(0)
            yield unpacked


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()

"""The number of the newest change that was acknowledged, in a small file beside the journal: ``journal.acknowledged``.

SQLite ends a write-ahead log at the first page whose checksum is wrong, and takes a lost one for an empty one. A
journal with fewer changes than were acknowledged has lost some.

    transaction, synced ─▶ number written ─▶ acknowledged           number synced, at most once a second

The number is never ahead of what is on the disk, whenever the process or the power fails; after a power failure it may
be a little behind, which takes nothing from the journal. It is written in place, in turn to one of two slots, each with
a checksum: one of them is always whole. A sync for each change would halve the number of changes a second.
"""

import fcntl
import os
import struct
import time
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from searcher.errors import JournalDamaged

ACKNOWLEDGED_FILE = "journal.acknowledged"

_SLOT = struct.Struct("<QL")
_SYNC_SECONDS = 1.0
#: Apart, so that no sector or page holds both.
_OFFSETS = (0, 4096)
_SIZE = _OFFSETS[-1] + _SLOT.size


class Acknowledged:
    """The file in ``folder``. Processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ACKNOWLEDGED_FILE
        self._synced_at = 0.0

    def read(self) -> int:
        """The number; 0 if there is no file, as beside older journals. Raises JournalDamaged if it cannot be read."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise JournalDamaged(f"{ACKNOWLEDGED_FILE} cannot be read ({error.strerror})") from error
        return max(self._numbers(content))

    def create(self, number: int) -> None:
        """Create the file with ``number``, unless there is one. Raises OSError."""
        if self._path.exists():
            return
        try:
            with TemporaryDirectory(prefix=".acknowledged-", dir=self._path.parent) as folder:
                new = Path(folder) / ACKNOWLEDGED_FILE
                with new.open("wb") as file:
                    file.write(_slot(number).ljust(_SIZE, b"\0"))
                    file.flush()
                    os.fsync(file.fileno())
                os.link(new, self._path)
            sync_folder(self._path.parent)
        except FileExistsError:
            pass  # another process was first

    def write(self, number: int) -> None:
        """Note that the changes up to ``number`` are on the disk. Raises OSError."""
        descriptor = os.open(self._path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # released when it is closed
            numbers = self._numbers(os.pread(descriptor, _SIZE, 0))
            if number > max(numbers):
                older = _OFFSETS[numbers.index(min(numbers))]
                os.pwrite(descriptor, _slot(number), older)
            if time.monotonic() - self._synced_at > _SYNC_SECONDS:
                os.fdatasync(descriptor)
                self._synced_at = time.monotonic()
        finally:
            os.close(descriptor)

    def _numbers(self, content: bytes) -> list[int]:
        """The numbers in the slots, -1 for one that isn't whole. Raises JournalDamaged if none is."""
        numbers = []
        for offset in _OFFSETS:
            slot = content[offset : offset + _SLOT.size]
            number = _SLOT.unpack(slot)[0] if len(slot) == _SLOT.size else 0
            numbers.append(number if slot == _slot(number) else -1)
        if max(numbers) < 0:
            raise JournalDamaged(
                f"{ACKNOWLEDGED_FILE} is damaged, so nobody knows whether the journal is whole: if it is, delete that "
                "file"
            )
        return numbers


def sync_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _slot(number: int) -> bytes:
    text = struct.pack("<Q", number)
    return _SLOT.pack(number, zlib.crc32(text))

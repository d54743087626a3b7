"""A folder of thumbnails, bounded in size.

Sizes and the order of use are kept in memory, and read from the folder once, at the start.
"""

import logging
import os
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

_SUFFIX = ".webp"
_UNFINISHED = ".webp.tmp"
_log = logging.getLogger(__name__)


class ThumbnailCache:
    """Thumbnails by name: files in ``folder``, of at most ``max_bytes`` in total.

    The least recently used is deleted first. Files may vanish, and the disk may be full: thumbnails are then made
    again. Threads may share it; so may processes, but then ``max_bytes`` holds for each by itself.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # by name; least recently used first
        self._total = 0
        self._full = False  # whether the last thumbnail could not be kept
        for name, size in self._found():
            self._add(name, size)

    def get(self, name: str) -> bytes | None:
        """Returns the thumbnail called ``name``, or None."""
        try:
            thumbnail = self._path(name).read_bytes()
        except OSError:
            thumbnail = b""
        if not _is_whole(thumbnail):
            with self._lock:
                self._remove(name)
            return None
        with self._lock:
            if self._path(name).exists():  # no other thread has deleted it meanwhile
                self._add(name, len(thumbnail))
        return thumbnail

    def put(self, name: str, thumbnail: bytes) -> None:
        """Keep ``thumbnail`` if the disk and ``max_bytes`` allow it. ``name`` holds no slash."""
        if len(thumbnail) > self._max_bytes:
            return
        unfinished = self._folder / f"{uuid4().hex}{_UNFINISHED}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(thumbnail)
            with self._lock:
                os.replace(unfinished, self._path(name))
                self._add(name, len(thumbnail))
            self._full = False
        except OSError as error:
            _delete(unfinished)
            if not self._full:  # warn once, not for every picture
                _log.warning("thumbnails cannot be kept: %s", error.strerror)
            self._full = True

    def _add(self, name: str, size: int) -> None:
        """Record that ``name`` was used just now. Needs the lock, except in the constructor."""
        self._total += size - self._sizes.pop(name, 0)
        self._sizes[name] = size
        while self._total > self._max_bytes:
            self._remove(next(iter(self._sizes)))

    def _remove(self, name: str) -> None:
        self._total -= self._sizes.pop(name, 0)
        _delete(self._path(name))

    def _found(self) -> list[tuple[str, int]]:
        """Returns names and sizes, least recently used first. Deletes what a killed process left unfinished."""
        found = []
        for path in self._folder.glob(f"*{_UNFINISHED}"):
            _delete(path)
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(FileNotFoundError):  # another process may delete files too
                status = path.lstat()
                found.append((max(status.st_atime_ns, status.st_mtime_ns), path.stem, status.st_size))
        return [(name, size) for _, name, size in sorted(found)]

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"


def _is_whole(thumbnail: bytes) -> bool:
    """Whether the WebP is as long as its header says: files aren't synced to the disk, and a power cut may shorten
    them."""
    return thumbnail[:4] == b"RIFF" and int.from_bytes(thumbnail[4:8], "little") + 8 == len(thumbnail)


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)

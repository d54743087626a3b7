"""Reads every byte of a version at leisure, in a process of its own; keeps the verdict beside it, and prints it.

    python -m searcher.versions.scrub FOLDER BYTES_PER_SECOND PARENT

A process rather than a thread: a thread of low priority that holds Python's lock, or is about to get it, would keep the
searching one waiting. What isn't in the page cache doesn't stay there for being read here.
"""

import contextlib
import hashlib
import os
import sys
import time
from pathlib import Path

import psutil

from contract.end_with_parent import end_with_parent
from searcher.errors import SearcherError
from searcher.versions.manifest import FileEntry
from searcher.versions.verdict import verdict_on
from searcher.versions.version import verify

_CHUNK = 1 << 18


class Pace:
    """Lets ``bytes_per_second`` pass."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._next = time.monotonic()

    def wait(self, size: int) -> None:
        """Return when ``size`` more bytes may be read."""
        now = time.monotonic()
        self._next = max(self._next, now) + size / self._rate
        time.sleep(self._next - now)


def read_gently(path: Path, pace: Pace) -> FileEntry:
    """Like ``file_entry``, at ``pace``."""
    digest, size, buffer = hashlib.sha256(), 0, bytearray(_CHUNK)
    with path.open("rb", buffering=0) as file:
        while read := _read(file.fileno(), buffer, size):
            digest.update(memoryview(buffer)[:read])
            size += read
            pace.wait(read)
    return FileEntry(size=size, sha256=digest.hexdigest())


def _read(descriptor: int, buffer: bytearray, offset: int) -> int:
    """Read into ``buffer`` from ``offset`` on, and return how many bytes. What was not in the page cache before is not
    there afterwards."""
    with contextlib.suppress(BlockingIOError):
        try:
            return os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            raise
        except OSError:  # this file system cannot tell what is cached
            return os.preadv(descriptor, [buffer], offset)
    read = os.preadv(descriptor, [buffer], offset)
    os.posix_fadvise(descriptor, offset, read, os.POSIX_FADV_DONTNEED)
    return read


def main(arguments: list[str]) -> int:
    """Verify the version in the folder that ``arguments`` name, as long as the process PARENT lives."""
    folder, rate, parent = Path(arguments[0]), float(arguments[1]), int(arguments[2])
    end_with_parent()
    if os.getppid() != parent:
        return 1
    with contextlib.suppress(OSError, psutil.Error):
        psutil.Process().ionice(psutil.IOPRIO_CLASS_IDLE)
    pace = Pace(rate)
    status = 0
    try:
        verify(folder, lambda path: read_gently(path, pace))
    except SearcherError as error:
        print(f"Error: {error}", file=sys.stderr)
        status = 1
    verdict = verdict_on(folder)
    if verdict is not None:
        print(verdict.model_dump_json())
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The codes of an unfinished build, plain bytes, row by row.

    .building/.1.5.0.codes      the codes
    .building/.1.5.0.details    the detail codes, where the model gives them

They lie beside the folder that becomes the version: what is in that folder is published. No version's name starts with
a dot.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from os import fsync
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

#: In the order in which they are removed: as long as there are codes, the build isn't over.
_SUFFIXES = (".details", ".codes")


class RawCodes:
    """The codes, ``bits`` wide, of the build in ``folder``, and its detail codes, ``detail_bits`` wide or None."""

    def __init__(self, folder: Path, *, bits: int, detail_bits: int | None) -> None:
        self._files = [(_path(folder, ".codes"), bits // 8)]
        if detail_bits is not None:
            self._files.append((_path(folder, ".details"), detail_bits // 8))
        self._streams: list[BinaryIO] = []

    def create(self) -> None:
        for path, _ in self._files:
            path.touch()

    def exist(self) -> bool:
        return all(path.exists() for path, _ in self._files)

    def rows(self) -> int:
        """How many rows are on disk whole. OSError where there are no files."""
        return min(path.stat().st_size // width for path, width in self._files)

    @contextmanager
    def open(self, rows: int) -> Iterator[None]:
        """Cut off what is beyond ``rows``; rows can be appended until the end of the context."""
        with ExitStack() as stack:
            self._streams = [stack.enter_context(path.open("r+b")) for path, _ in self._files]
            for stream, (_, width) in zip(self._streams, self._files, strict=True):
                stream.truncate(rows * width)
                stream.seek(0, 2)
            yield

    def append(self, code: NDArray[np.uint8], detail: NDArray[np.uint8] | None) -> None:
        """Write one row: uint8 (bits / 8,), and uint8 (detail_bits / 8,) where the model gives it."""
        given = [code] if detail is None else [code, detail]
        for stream, each in zip(self._streams, given, strict=True):
            stream.write(each.tobytes())

    def sync(self) -> None:
        """Return when all that was appended is on the disk."""
        for stream in self._streams:
            stream.flush()
            fsync(stream.fileno())

    def arrays(self) -> list[NDArray[np.uint8]]:
        """Codes, uint8 (rows, bits / 8), and detail codes if there are any. They are mapped: there may be gigabytes.

        What is written to them stays out of the files (copy on write).
        """
        return [np.asarray(np.memmap(path, np.uint8, "c")).reshape(-1, width) for path, width in self._files]


def exist(folder: Path) -> bool:
    """Whether the build in ``folder`` has left codes, of whatever model."""
    return _path(folder, ".codes").exists()


def remove(folder: Path) -> None:
    """Remove the codes of the build in ``folder``, of whatever model."""
    for suffix in _SUFFIXES:
        _path(folder, suffix).unlink(missing_ok=True)


def remove_orphans(building: Path, keep: str) -> None:
    """Remove codes of builds whose folder is gone, published just before their process was killed; not of ``keep``."""
    for path in building.glob(".*") if building.is_dir() else ():
        name = path.stem[1:]
        if path.suffix in _SUFFIXES and name != keep and not (building / name).exists():
            path.unlink()


def _path(folder: Path, suffix: str) -> Path:
    return folder.parent / f".{folder.name}{suffix}"

"""The vectors of an unfinished build: plain bytes, row by row, one file per space.

    .building/.1.5.0.code         of the space ``code``
    .building/.1.5.0.detail       of the space ``detail``, if the model has it

The files lie beside the folder that becomes the version, because everything inside it is published. No version name
starts with a dot, and no space name contains one. Blocks of outcomes (blocks.py) are named in the same way.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import fsync
from pathlib import Path
from typing import BinaryIO

import numpy as np

from contract.space import Space, VectorBytes, Vectors


class RawVectors:
    """The vectors in ``spaces`` of the build in ``folder``."""

    def __init__(self, folder: Path, spaces: Sequence[Space]) -> None:
        self._files = {space: folder.parent / f".{folder.name}.{space.name}" for space in spaces}
        self._streams: dict[str, BinaryIO] = {}

    def create(self) -> None:
        for path in self._files.values():
            path.touch()

    def exist(self) -> bool:
        return all(path.exists() for path in self._files.values())

    def rows(self) -> int:
        """Returns how many complete rows are on disk. Raises OSError if there are no files."""
        return min(path.stat().st_size // space.row_bytes for space, path in self._files.items())

    @contextmanager
    def open(self, rows: int) -> Iterator[None]:
        """Cut off everything beyond ``rows``; within the context, rows can be appended."""
        with ExitStack() as stack:
            self._streams = {}
            for space, path in self._files.items():
                stream = self._streams[space.name] = stack.enter_context(path.open("r+b"))
                stream.truncate(rows * space.row_bytes)
                stream.seek(0, 2)
            yield

    def append(self, vectors: VectorBytes) -> None:
        """Write one row."""
        for name, stream in self._streams.items():
            stream.write(vectors[name])

    def sync(self) -> None:
        """Return once all appended rows are on disk."""
        for stream in self._streams.values():
            stream.flush()
            fsync(stream.fileno())

    def vectors(self) -> Vectors:
        """Returns the vectors of all rows, memory-mapped: there may be gigabytes.

        Writing to the arrays doesn't change the files (copy on write).
        """
        return {
            space.name: np.asarray(np.memmap(path, space.dtype, "c")).reshape(-1, space.columns)
            for space, path in self._files.items()
        }


def exist(folder: Path) -> bool:
    """Returns whether the build in ``folder`` left anything beside it, of any model."""
    return bool(_files_of(folder.name, folder.parent))


def remove(folder: Path) -> None:
    """Remove what the build in ``folder`` left beside it, of any model."""
    for path in _files_of(folder.name, folder.parent):
        path.unlink(missing_ok=True)


def remove_orphans(building: Path, keep: str) -> None:
    """Remove what is left of builds, except ``keep``, whose folder is gone: published just before the process died."""
    for path in building.glob(".*") if building.is_dir() else ():
        name = path.stem[1:]
        if path.suffix and name != keep and not (building / name).exists():
            path.unlink()


def _files_of(name: str, building: Path) -> list[Path]:
    """Returns the files of the build ``name``: those of 1.5.0 don't belong to 1.5."""
    return [path for path in building.glob(".*") if path.stem == f".{name}" and path.suffix]

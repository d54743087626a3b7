"""A map of a version's pictures, in tiles: from afar one picture stands for many, from near each for itself.

    places in a plane (scan/projection.py) ─▶ a square of its own for each picture, numbered along a Z-order curve
                                           ─▶ one array on the disk, mapped: squares, rows, precedence

At zoom z the map has 2^z × 2^z tiles, each of 4 × 4 cells; a cell is four cells of the next zoom. All squares of a
tile or cell are one run of numbers, so it is found by bisection, and how many pictures it has is a difference. The
picture that takes precedence stands for its cell, and goes on standing for one of its quarters.

The bits of x and y, interleaved, are a square's number: x = 2 = 10₂, y = 1 = 01₂ is 6 = 0110₂.

    0 1 4 5
    2 3 6 7    cells 2 squares wide are the numbers 0 to 3, 4 to 7, 8 to 11, 12 to 15
    8 9 …
"""

import os
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import Vectors
from searcher.errors import VersionDamaged
from searcher.scan.projection import places

#: Cells of a tile, along each side.
CELLS = 4
_CELL_BITS = 2
#: Changes when the same vectors get other places, or the file is another.
EDITION = 1
_MOST_LEVELS = 16


@dataclass(frozen=True)
class Cell:
    """Of a tile: its column ``x`` and row ``y`` there, how many pictures it has, and the one that stands for them."""

    x: int
    y: int
    count: int
    row: int


class PictureMap:
    """The map in ``numbers``, uint32 (3, n): the squares, ascending, and row and precedence of the picture in each."""

    def __init__(self, numbers: NDArray[np.uint32]) -> None:
        self._squares, self._rows, self._precedence = numbers
        self._levels = _levels(len(self._squares))

    @classmethod
    def open(cls, path: Path, count: int) -> "PictureMap":
        """The map of ``count`` pictures that ``draw`` has written to ``path``. Raises VersionDamaged if it isn't one,
        and FileNotFoundError."""
        try:
            numbers: Any = np.load(path, mmap_mode="r" if count else None, allow_pickle=False)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, EOFError) as error:
            raise VersionDamaged(f"the map {path.name} cannot be read") from error
        if not isinstance(numbers, np.ndarray) or numbers.shape != (3, count) or numbers.dtype != np.uint32:
            raise VersionDamaged(f"the map {path.name} is of another version")
        return cls(numbers)

    def __len__(self) -> int:
        return len(self._squares)

    @property
    def deepest(self) -> int:
        """The zoom at which every cell has one picture at most."""
        return max(self._levels - _CELL_BITS, 0)

    def count(self, zoom: int, x: int, y: int) -> int:
        """How many pictures the tile in column ``x`` and row ``y`` has, where 0 ≤ x, y < 2^zoom."""
        start, end = self._starts(zoom, _interleaved(x, y), 1)
        return end - start

    def cells(self, zoom: int, x: int, y: int) -> Iterator[Cell]:
        """Those of the tile's 4 × 4 cells that have pictures, where 0 ≤ zoom ≤ ``deepest``."""
        parts = CELLS * CELLS
        starts = self._starts(zoom + _CELL_BITS, _interleaved(x, y) * parts, parts)
        for (right, down), (start, end) in zip(_CURVE, pairwise(starts), strict=True):
            if start < end:
                first = start + int(self._precedence[start:end].argmin())
                yield Cell(right, down, end - start, int(self._rows[first]))

    def _starts(self, level: int, first: int, parts: int) -> list[int]:
        """Where the pictures begin of ``parts`` of the 2^level × 2^level parts of the map, from number ``first`` on,
        and where the last one's end."""
        shift = 2 * (self._levels - level)
        return [bisect_left(self._squares, number << shift) for number in range(first, first + parts + 1)]


def draw(vectors: Vectors, path: Path) -> None:
    """Write the map of ``vectors`` of all images of a version, row by row, to ``path``. Raises OSError."""
    numbers = _numbers(places(vectors))
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            np.save(file, numbers, allow_pickle=False)
        os.replace(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _numbers(plane: NDArray[np.float32]) -> NDArray[np.uint32]:
    """What PictureMap reads, of the places of all rows."""
    count = len(plane)
    levels = _levels(count)
    side = 1 << levels
    inside = np.minimum((plane * side).astype(np.int64), side - 1)
    wanted = _interleaved(inside[:, 0], inside[:, 1])
    rows = np.argsort(wanted, kind="stable")
    # Where several want one square, the next ones on the curve are taken; at its end, those before.
    turn = np.arange(count)
    squares = np.maximum.accumulate(wanted[rows] - turn) + turn
    squares = np.minimum(squares, side * side - count + turn)
    precedence = np.random.default_rng(count).permutation(count)
    return np.stack([squares, rows, precedence]).astype(np.uint32)


def _levels(count: int) -> int:
    """How many times each side of the map is halved, so that one square in 16 to 64 has a picture."""
    return min(_CELL_BITS + max((count - 1).bit_length() + 1, 2) // 2 + 1, _MOST_LEVELS)


def _interleaved(x: Any, y: Any) -> Any:
    """The number of the square (x, y) along the curve, of numbers or arrays of them."""
    return _spaced(x) | (_spaced(y) << 1)


def _spaced(numbers: Any) -> Any:
    """Numbers below 2^16 with a 0 before each bit: 101₂ → 010001₂."""
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        numbers = (numbers | (numbers << shift)) & mask
    return numbers


#: The cells of a tile, (x, y), along the curve.
_CURVE = sorted(((x, y) for x in range(CELLS) for y in range(CELLS)), key=lambda cell: int(_interleaved(*cell)))

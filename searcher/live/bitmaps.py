"""Bitmaps of rows: row i is bit i % 8 of byte i // 8, as ``CodeIndex.search`` takes them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: uint8 (⌈count / 8⌉,).
Bitmap = NDArray[np.uint8]


def bitmap_of(rows: Sequence[int], count: int) -> Bitmap:
    """The bitmap of ``rows`` among ``count``."""
    mask = np.zeros(count, bool)
    mask[rows] = True
    return packed(mask)


def packed(mask: NDArray[np.bool_]) -> Bitmap:
    return np.packbits(mask, bitorder="little")


def unpacked(bitmap: Bitmap, count: int) -> NDArray[np.bool_]:
    """Whether each of ``count`` rows is in ``bitmap``, bool (count,)."""
    return np.unpackbits(bitmap, count=count, bitorder="little").view(bool)


def with_rows(bitmap: Bitmap, rows: Sequence[int]) -> Bitmap:
    """A copy of ``bitmap`` with ``rows`` added."""
    larger, numbers = bitmap.copy(), np.array(rows, np.int64)
    np.bitwise_or.at(larger, numbers >> 3, np.left_shift(1, numbers & 7).astype(np.uint8))
    return larger


def has(bitmap: Bitmap, row: int) -> bool:
    return bool(bitmap[row >> 3] >> (row & 7) & 1)


def number_in(bitmap: Bitmap) -> int:
    """How many rows are in ``bitmap``."""
    return int(np.bitwise_count(bitmap).sum())

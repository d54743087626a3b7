"""The tables of a multi-index on disk: flat arrays, each a .npy file of the version.

Equal codes are listed once, with all their rows, so a datalake full of duplicates makes small tables.

    multi_index_offsets.npy   uint32 (m, 2^s + 1)          where the bucket of each substring of s bits begins
    multi_index_codes.npy     uint64 (m, words, u + 32)    the u distinct codes in the order of the buckets
    multi_index_ids.npy       uint32 (m − 1, u)            which distinct code each is; table 0 needs no ids
    multi_index_groups.npy    uint32 (u + 1)               where the rows of each distinct code begin
    multi_index_rows.npy      uint32 (n)                   rows, ascending within a group
"""

import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from searcher.errors import ModeRefused, VersionDamaged
from searcher.scan.kernels import needing_numba

#: ``default`` searches by comparing with every code, ``unnecessary fast`` has tables that say where to look.
Mode = Literal["default", "unnecessary fast"]

#: Zeros after each plane of codes: the last codes of a bucket are compared together with those that follow.
PADDING = 32

#: Tables grow with the square of the width: about 50 bytes per code at 64 bits, 150 at 128, 580 at 256.
MAX_BITS = 128


def substrings(bits: int, tables: int) -> list[tuple[int, int]]:
    """First bit and width of each substring: as equal as can be, the wider ones first.

    Bits are counted from the least significant bit of the first byte, as in the words of ``as_words``.
    """
    widths = [bits // tables + (table < bits % tables) for table in range(tables)]
    return [(sum(widths[:table]), widths[table]) for table in range(tables)]


def as_words(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Codes, uint8 (n, bytes), as 64-bit words filled up with zeros, uint64 (words, n)."""
    count, width = codes.shape
    padded = np.zeros((count, -(-width // 8) * 8), np.uint8)
    padded[:, :width] = codes
    return np.ascontiguousarray(padded.view("<u8").T)


def require_suitable(bits: int) -> None:
    """Raise ModeRefused unless codes of ``bits`` bits gain from tables; CompilerMissing if none can be built."""
    if bits > MAX_BITS:
        raise ModeRefused(
            f"mode 'unnecessary fast' is for codes of up to {MAX_BITS} bits: with {bits}, its tables would be "
            "more than ten times as large as the codes; use the mode 'default'"
        )
    with needing_numba():  # before hours of hashing
        import numba  # noqa: F401


@dataclass(frozen=True)
class Tables:
    """The arrays of the module's docstring, and the width of the codes in bits."""

    bits: int
    offsets: NDArray[np.uint32]
    codes: NDArray[np.uint64]
    ids: NDArray[np.uint32]
    groups: NDArray[np.uint32]
    rows: NDArray[np.uint32]

    @property
    def arrays(self) -> list[NDArray[Any]]:
        return [getattr(self, name) for name in _ARRAYS]

    @property
    def cuts(self) -> list[tuple[int, int]]:
        return substrings(self.bits, len(self.offsets))

    @property
    def distinct(self) -> int:
        return len(self.groups) - 1

    @property
    def buckets(self) -> int:
        return int(self.offsets.shape[1]) - 1


_ARRAYS = [field.name for field in fields(Tables) if field.name != "bits"]

#: The files of a version that has tables.
TABLE_FILES = [f"multi_index_{name}.npy" for name in _ARRAYS]


def write_tables(tables: Tables, folder: Path) -> None:
    """Write the tables' files. Raises OSError on a full disk."""
    for file, array in zip(TABLE_FILES, tables.arrays, strict=True):
        np.save(folder / file, array)


def map_tables(folder: Path, *, count: int, bits: int) -> Tables:
    """The tables in ``folder``, mapped. Raises VersionDamaged unless they fit ``count`` codes of ``bits`` bits."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, file in zip(_ARRAYS, TABLE_FILES, strict=True):
        try:
            with warnings.catch_warnings(action="error"):
                array = np.lib.format.open_memmap(folder / file, mode="r")  # unlike numpy.load, no archives
        except Exception as error:  # NumPy parses the header as Python, and may raise anything
            raise VersionDamaged(f"{file} cannot be read ({error})") from error
        if array.ndim == 0:
            raise VersionDamaged(f"{file} holds no array")
        arrays[name] = array
    tables = Tables(bits, **arrays)
    number, distinct, words = len(tables.offsets), len(tables.groups) - 1, -(-bits // 64)
    expected = {
        "offsets": (np.uint32, (number, (1 << tables.cuts[0][1]) + 1)) if 0 < number <= bits else (np.uint32, ()),
        "codes": (np.uint64, (number, words, distinct + PADDING)),
        "ids": (np.uint32, (number - 1, distinct)),
        "groups": (np.uint32, (distinct + 1,)),
        "rows": (np.uint32, (count,)),
    }
    for (name, (dtype, shape)), file in zip(expected.items(), TABLE_FILES, strict=True):
        if arrays[name].dtype != dtype or arrays[name].shape != shape or not arrays[name].flags.c_contiguous:
            raise VersionDamaged(f"{file} is no table for {count} codes of {bits} bits")
    return tables

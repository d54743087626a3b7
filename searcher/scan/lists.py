"""Inverted lists: which codes to look at for the nearest embeddings, instead of at all.

    centres   ── those nearest to the query ──▶ their lists ── codes within the k-th distance ──▶ rows, nearest first

    embedding_lists_centres.npy   float32 (lists, width)   a direction each, of length 1
    embedding_lists_starts.npy    uint32 (lists + 1)       where each centre's rows begin
    embedding_lists_rows.npy      uint32 (n)               rows, ascending within a list
    embedding_lists_codes.npy     uint8 (n, bits / 8)      their codes, in the same order: a list is read at once

How many lists hold the nearest embeddings is measured on the version's own pictures (shortlist.py).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from searcher.errors import VersionDamaged
from searcher.scan.floats import unit
from searcher.scan.kernels import needing_numba


@dataclass(frozen=True)
class Lists:
    """The arrays of the module's docstring."""

    centres: NDArray[np.float32]
    starts: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    codes: NDArray[np.uint8]

    @property
    def arrays(self) -> list[NDArray[Any]]:
        return [getattr(self, name) for name in _ARRAYS]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of rows in each list."""
        starts = self.starts.astype(np.int64)
        return starts[1:] - starts[:-1]

    def apart(self, queries: NDArray[np.float16]) -> NDArray[np.float32]:
        """How much farther each centre is from each of ``queries``, float16 (m, width), than the nearest centre, in
        1 − cos: float32 (m, lists)."""
        cosines: NDArray[np.float32] = unit(queries) @ self.centres.T
        farther: NDArray[np.float32] = cosines.max(axis=1, keepdims=True) - cosines
        return farther

    def nearest_lists(self, query: NDArray[np.float16], margin: float) -> NDArray[np.int64]:
        """The lists whose centres are at most ``margin`` farther from ``query``, float16 (width,), than the nearest."""
        asked = query.astype(np.float32)
        length = np.sqrt(asked @ asked)
        cosines = self.centres @ (asked / length if length > 0 else asked)
        return np.flatnonzero(cosines.max() - cosines <= np.float32(margin))

    def nearest_codes(
        self, code: NDArray[np.uint8], lists: NDArray[np.int64], top_k: int, allowed: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The ``top_k`` codes of ``lists`` nearest to ``code``, uint8 (bits / 8,): their distances in bits, int32 (m,),
        rising, and their rows, int64 (m,). Only rows in the bitmap ``allowed`` (``CodeIndex.search``)."""
        code = np.ascontiguousarray(code)
        held = int((self.starts[lists + 1].astype(np.int64) - self.starts[lists]).sum())
        distances, rows = np.empty(min(top_k, held), np.int32), np.empty(min(top_k, held), np.int64)
        found = self._kernel(
            self.codes.ctypes.data, self.codes.shape[1], code.ctypes.data, self.starts, self.rows, lists,
            0 if allowed is None else allowed.ctypes.data, np.empty(held, np.int64), distances, rows,
        )  # fmt: skip
        return distances[:found], rows[:found]

    @cached_property
    def _kernel(self) -> Callable[..., int]:
        with needing_numba():
            from searcher.scan.list_kernel import kernel
        return kernel()


_ARRAYS = [field.name for field in fields(Lists)]

#: The files of a version that has lists.
LIST_FILES = [f"embedding_lists_{name}.npy" for name in _ARRAYS]


def write_lists(lists: Lists, folder: Path) -> None:
    """Write the lists' files. Raises OSError on a full disk."""
    for file, array in zip(LIST_FILES, lists.arrays, strict=True):
        np.save(folder / file, array, allow_pickle=False)


def map_lists(folder: Path, *, count: int, width: int, bits: int) -> Lists:
    """The lists in ``folder``, mapped. Raises VersionDamaged unless they fit ``count`` embeddings of ``width`` numbers
    and codes of ``bits`` bits."""
    arrays = {name: _mapped(folder / file) for name, file in zip(_ARRAYS, LIST_FILES, strict=True)}
    number = len(arrays["centres"])
    expected = {
        "centres": (np.float32, (number, width)),
        "starts": (np.uint32, (number + 1,)),
        "rows": (np.uint32, (count,)),
        "codes": (np.uint8, (count, bits // 8)),
    }
    for (name, (dtype, shape)), file in zip(expected.items(), LIST_FILES, strict=True):
        if number == 0 or arrays[name].dtype != dtype or arrays[name].shape != shape:
            raise VersionDamaged(f"{file} is no part of lists of {count} embeddings")
    # In memory: what the kernel reads lies between them, whatever becomes of the file.
    starts = arrays["starts"] = np.array(arrays["starts"])
    starts.flags.writeable = False
    if int(starts[0]) != 0 or int(starts[-1]) != count or np.any(starts[1:] < starts[:-1]):
        raise VersionDamaged(f"{LIST_FILES[1]} doesn't divide {count} rows into lists")
    return Lists(**arrays)


def _mapped(path: Path) -> NDArray[Any]:
    try:
        with warnings.catch_warnings(action="error"):
            array = np.lib.format.open_memmap(path, mode="r")  # unlike numpy.load, no archives
    except Exception as error:  # NumPy parses the header as Python, and may raise anything
        raise VersionDamaged(f"{path.name} cannot be read ({error})") from error
    if array.ndim == 0 or not array.flags.c_contiguous:
        raise VersionDamaged(f"{path.name} holds no plain array")
    return np.asarray(array)

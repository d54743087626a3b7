"""The k codes nearest to a query by Hamming distance: always exact, ties in the order of rows.

    default             compares the query with every code (flat.py)
    unnecessary fast    looks where near codes can be (multi_index.py), or scans where that is faster

Without numba, which compiles both, the same answers come from NumPy (plain.py).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from searcher.codes import INDEX_FILE, map_codes
from searcher.manifest import Mode
from searcher.mapping import populate
from searcher.plain import PlainScan
from searcher.tables import MAX_BITS, map_tables

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hits:
    """The answer to one query: ``distances`` (differing bits) int32 (m,) and ``rows`` int64 (m,), nearest first."""

    distances: NDArray[np.int32]
    rows: NDArray[np.int64]


class Engine(Protocol):
    """One way to search."""

    def search(
        self,
        queries: NDArray[np.uint8],
        top_k: NDArray[np.int64],
        limits: NDArray[np.int64],
        allowed: NDArray[np.uint8] | None,
    ) -> list[NDArray[np.int64]]:
        """For each query at most its ``top_k`` answers, nearer than its limit, in order: distance · 2^32 + row."""


class CodeIndex:
    """The codes of the version in ``folder``: ``count`` of them, ``bits`` wide, with the tables that ``mode`` needs.

    One search may run on up to ``threads`` threads. Raises VersionDamaged when a file isn't what it should be.
    """

    def __init__(self, folder: Path, *, count: int, bits: int, mode: Mode = "default", threads: int = 1) -> None:
        self._codes = map_codes(folder / INDEX_FILE, count=count, bits=bits)
        self._tables = map_tables(folder, count=count, bits=bits) if mode == "unnecessary fast" else None
        self._threads = threads
        self.count = count
        self.bits = bits

    def search(
        self,
        queries: NDArray[np.uint8],
        top_k: int | Sequence[int],
        max_distance: int | Sequence[int | None] | None = None,
        allowed: NDArray[np.uint8] | None = None,
    ) -> list[Hits]:
        """The nearest codes of each of ``queries``, uint8 (n, bits / 8), by distance, then by row.

        At most ``top_k`` of them (1 or more), and none farther than ``max_distance`` bits; each is one number, or one
        for each query. ``allowed`` leaves out rows: a bitmap, uint8 (⌈count / 8⌉,), row i being bit i % 8 of byte
        i // 8 (``numpy.packbits(mask, bitorder="little")``). Raises ValueError for arguments that are none of these.
        """
        if queries.dtype != np.uint8 or queries.ndim != 2 or queries.shape[1] * 8 != self.bits:
            raise ValueError(f"queries must be uint8 (n, {self.bits // 8}), and are {queries.dtype} {queries.shape}")
        wanted = np.array([top_k] * len(queries) if isinstance(top_k, int) else top_k, np.int64)
        radii = [max_distance] * len(queries) if max_distance is None or isinstance(max_distance, int) else max_distance
        # One more than the greatest distance that may be answered.
        limits = np.array([self.bits if radius is None else min(radius, self.bits) for radius in radii], np.int64) + 1
        if len(wanted) != len(queries) or min(wanted, default=1) < 1:
            raise ValueError("top_k must be 1 or more, one number or one for each query")
        if len(limits) != len(queries) or min(limits, default=1) < 1:
            raise ValueError("max_distance must be 0 or more, one number or one for each query")
        if allowed is not None:
            if allowed.dtype != np.uint8 or allowed.shape != (-(-self.count // 8),):
                raise ValueError(f"allowed must be a bitmap of {self.count} rows, uint8 ({-(-self.count // 8)},)")
            allowed = np.ascontiguousarray(allowed)
        if len(queries) == 0:
            return []
        found = self._engine.search(queries, np.minimum(wanted, max(1, self.count)), limits, allowed)
        return [Hits((keys >> 32).astype(np.int32), keys & 0xFFFFFFFF) for keys in found]

    def code(self, row: int) -> NDArray[np.uint8]:
        """The code on ``row``, uint8 (bits / 8,)."""
        if not 0 <= row < self.count:
            raise IndexError(f"row {row} of {self.count}")
        code: NDArray[np.uint8] = self._codes[row]
        return code

    def warm_up(self) -> None:
        """Do what the first searches would wait for: load the compiled kernels, and begin to map the files' pages.

        Nothing waits for the disk: where the files aren't in the page cache yet, searches are slower until they are.
        """
        arrays = [self._codes, *(self._tables.arrays if self._tables else ())]
        Thread(target=populate, args=(arrays,), daemon=True).start()
        _ = self._engine

    @cached_property
    def _engine(self) -> Engine:
        try:
            from searcher.flat import FlatScan
            from searcher.multi_index import MultiIndex
        except (ImportError, OSError) as error:  # the second where llvmlite's library doesn't load
            logger.warning("searching with NumPy, which is slower: numba cannot be loaded (%s)", error)
            return PlainScan(self._codes)
        scan = FlatScan(self._codes, self._threads)
        return MultiIndex(self._tables, scan) if self._tables else scan


def compile_kernels(bits: int) -> None:
    """Compile what searches codes of ``bits`` bits, in either mode, or find what an earlier process has compiled."""
    try:
        from searcher import flat, multi_index
    except (ImportError, OSError):
        return
    flat.kernel(bits // 8)
    if bits <= MAX_BITS:
        multi_index.kernel(-(-bits // 64))

"""The k codes nearest to a query by Hamming distance: always exact, with ties ordered by row or by a second code.

default             compares the query with every code (flat.py)
unnecessary fast    looks where near codes can be (multi_index.py), or scans where that is faster
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from pathlib import Path
from threading import Thread
from typing import Any, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from searcher.scan.codes import INDEX_FILE, map_codes
from searcher.scan.kernels import needing_numba
from searcher.scan.mapping import populate
from searcher.scan.question import CodeSearch, Question, Ties
from searcher.scan.tables import Mode, Tables, map_tables


@dataclass(frozen=True)
class Hits:
    """The answer to one query: ``distances`` (differing bits) int32 (m,) and ``rows`` int64 (m,), nearest first.

    ``ties`` are the distances of the second codes, int32 (m,), where the search had some.
    """

    distances: NDArray[np.int32]
    rows: NDArray[np.int64]
    ties: NDArray[np.int32] | None = None


class CodeIndex:
    """Searches ``codes``, uint8 (count, bits / 8), by their ``tables`` if there are any.

    One search may run on up to ``threads`` threads.
    """

    def __init__(self, codes: NDArray[np.uint8], tables: Tables | None = None, threads: int = 1) -> None:
        self.codes = codes
        self._tables = tables
        self._threads = threads
        self.count = len(codes)
        self.bits = 8 * codes.shape[1]

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        count: int,
        bits: int,
        mode: Mode = "default",
        threads: int = 1,
        file: str = INDEX_FILE,
    ) -> Self:
        """Open one file of the version in ``folder``, of ``count`` codes of ``bits`` bits, with the tables that
        ``mode`` needs. Raises VersionDamaged if a file doesn't fit."""
        codes = map_codes(folder / file, count=count, bits=bits)
        tables = map_tables(folder, count=count, bits=bits) if mode == "unnecessary fast" else None
        return cls(codes, tables, threads)

    def search(
        self,
        queries: NDArray[np.uint8],
        top_k: SupportsIndex | Sequence[SupportsIndex],
        max_distance: SupportsIndex | Sequence[SupportsIndex | None] | None = None,
        allowed: NDArray[np.uint8] | None = None,
        ties: Ties | None = None,
    ) -> list[Hits]:
        """The nearest codes of each of ``queries``, uint8 (n, bits / 8), by distance, then by ``ties``, then by row.

        At most ``top_k`` of them (1 or more), and none farther than ``max_distance`` bits; each is one number, or one
        for each query. ``allowed`` restricts the rows: a bitmap, uint8 (⌈count / 8⌉,), row i being bit i % 8 of byte
        i // 8 (``numpy.packbits(mask, bitorder="little")``). Raises ValueError for any other arguments.
        """
        _check("queries", queries, self.bits)
        if ties is not None:
            _check("second codes", ties.queries, 8 * ties.codes.shape[1])
            if (len(ties.codes), len(ties.queries)) != (self.count, len(queries)):
                raise ValueError("every code and every query needs a second code")
        wanted = np.minimum(_numbers("top_k", top_k, 1, len(queries)), max(1, self.count))
        # One more than the greatest distance that may be returned.
        limits = np.minimum(_numbers("max_distance", max_distance, 0, len(queries), missing=self.bits), self.bits)
        limits += 1
        allowed = self._bitmap(allowed)
        if len(queries) == 0:
            return []
        question = Question(queries, wanted, limits, allowed, ties)
        return [_hits(keys, question) for keys in self._search.search(question)]

    def within(
        self, query: NDArray[np.uint8], max_distance: SupportsIndex, allowed: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """The rows, of those ``allowed``, whose codes are no farther than ``max_distance`` bits from ``query``, uint8
        (bits / 8,): a bitmap as in ``search``, with the same ValueErrors."""
        _check("queries", query[None], self.bits)
        (radius,) = _numbers("max_distance", max_distance, 0, 1)
        allowed = self._bitmap(allowed)
        rows = self._search.within(query, int(min(radius, self.bits)))
        return rows if allowed is None else rows & allowed

    def _bitmap(self, allowed: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        if allowed is None:
            return None
        if allowed.dtype != np.uint8 or allowed.shape != (-(-self.count // 8),):
            raise ValueError(f"allowed must be a bitmap of {self.count} rows, uint8 ({-(-self.count // 8)},)")
        return np.ascontiguousarray(allowed)

    def warm_up(self) -> None:
        """Spare the first search a wait: start to map the files' pages. ``ranking.compile_kernels`` does the rest.

        It doesn't wait for the disk: searches are slower until the files are in the page cache.
        """
        arrays = [self.codes, *(self._tables.arrays if self._tables else ())]
        Thread(target=populate, args=(arrays,), daemon=True).start()
        _ = self._search

    @cached_property
    def _search(self) -> CodeSearch:
        with needing_numba():
            from searcher.scan.flat import FlatScan
            from searcher.scan.multi_index import MultiIndex
        scan = FlatScan(self.codes, self._threads)
        return MultiIndex(self._tables, scan) if self._tables else scan


def _check(name: str, codes: NDArray[np.uint8], bits: int) -> None:
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] * 8 != bits:
        raise ValueError(f"{name} must be uint8 (n, {bits // 8}), and are {codes.dtype} {codes.shape}")


def _numbers(name: str, given: Any, least: int, count: int, missing: Any = None) -> NDArray[np.int64]:
    """``given``, one number or one for each of ``count`` queries, int64 (count,)."""
    try:
        if given is None or isinstance(given, int | np.integer):
            numbers = [index(missing if given is None else given)] * count
        else:
            numbers = [index(missing if number is None else number) for number in given]  # no fractions, no strings
    except TypeError:
        numbers = []
    if len(numbers) != count or not all(least <= number < 1 << 63 for number in numbers):
        raise ValueError(f"{name} must be {least} or more, one number or one for each query")
    return np.array(numbers, np.int64)


def _hits(keys: NDArray[np.int64], question: Question) -> Hits:
    distances, rows = (keys >> 32).astype(np.int32), keys & 0xFFFFFFFF
    if question.ties is None:
        return Hits(distances, rows)
    distances, ties = np.divmod(distances, np.int32(question.scale))
    return Hits(distances, rows, ties)

"""The k codes nearest to a query by Hamming distance: always exact, ties in the order of rows, or of a second code.

    default             compares the query with every code (flat.py)
    unnecessary fast    looks where near codes can be (multi_index.py), or scans where that is faster

Without numba, which compiles both, the same answers come from NumPy (plain.py).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from pathlib import Path
from threading import Thread
from typing import Any, Literal, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from searcher.codes import INDEX_FILE, map_codes
from searcher.engine import Engine, Question, Ties
from searcher.gpu import Near, faster
from searcher.manifest import Mode
from searcher.mapping import populate
from searcher.plain import PlainScan
from searcher.tables import MAX_BITS, Tables, map_tables

logger = logging.getLogger(__name__)

#: By which of its two codes an image is near first.
Rank = Literal["distance", "detail"]


@dataclass(frozen=True)
class Query:
    """What is searched for: ``code`` uint8 (bits / 8,), and ``detail`` uint8 (detail_bits / 8,) where it is known.

    At most ``top_k`` images (1 or more) are answered, none whose code differs in more than ``max_distance`` bits.
    """

    code: NDArray[np.uint8]
    detail: NDArray[np.uint8] | None = None
    top_k: int = 10
    max_distance: int | None = None
    rank: Rank = "distance"


@dataclass(frozen=True)
class Hits:
    """The answer to one query: ``distances`` (differing bits) int32 (m,) and ``rows`` int64 (m,), nearest first.

    ``ties`` are the distances of the second codes, int32 (m,), where the search had some.
    """

    distances: NDArray[np.int32]
    rows: NDArray[np.int64]
    ties: NDArray[np.int32] | None = None


class CodeIndex:
    """``codes``, uint8 (count, bits / 8), to be searched, by ``tables`` of them where there are any.

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
        """One file of codes of the version in ``folder``: ``count`` of them, ``bits`` wide, with the tables that
        ``mode`` needs. Raises VersionDamaged when a file isn't what it should be."""
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
        for each query. ``allowed`` leaves out rows: a bitmap, uint8 (⌈count / 8⌉,), row i being bit i % 8 of byte
        i // 8 (``numpy.packbits(mask, bitorder="little")``). Raises ValueError for arguments that are none of these.
        """
        _check("queries", queries, self.bits)
        if ties is not None:
            _check("second codes", ties.queries, 8 * ties.codes.shape[1])
            if (len(ties.codes), len(ties.queries)) != (self.count, len(queries)):
                raise ValueError("every code and every query needs a second code")
        wanted = _numbers("top_k", top_k, 1, len(queries))
        # One more than the greatest distance that may be answered.
        limits = np.minimum(_numbers("max_distance", max_distance, 0, len(queries), missing=self.bits), self.bits) + 1
        allowed = self._bitmap(allowed)
        if len(queries) == 0:
            return []
        question = Question(queries, np.minimum(wanted, max(1, self.count)), limits, allowed, ties)
        return [_hits(keys, question) for keys in self._engine.search(question)]

    def within(
        self, query: NDArray[np.uint8], max_distance: SupportsIndex, allowed: NDArray[np.uint8] | None = None
    ) -> NDArray[np.uint8]:
        """The rows, of those ``allowed``, whose codes are no farther than ``max_distance`` bits from ``query``, uint8
        (bits / 8,): a bitmap as in ``search``, with the same ValueErrors."""
        _check("queries", query[None], self.bits)
        (radius,) = _numbers("max_distance", max_distance, 0, 1)
        allowed = self._bitmap(allowed)
        rows = self._engine.within(query, int(min(radius, self.bits)))
        return rows if allowed is None else rows & allowed

    def code(self, row: int) -> NDArray[np.uint8]:
        """The code on ``row``, uint8 (bits / 8,)."""
        if not 0 <= row < self.count:
            raise IndexError(f"row {row} of {self.count}")
        code: NDArray[np.uint8] = self.codes[row]
        return code

    def _bitmap(self, allowed: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        if allowed is None:
            return None
        if allowed.dtype != np.uint8 or allowed.shape != (-(-self.count // 8),):
            raise ValueError(f"allowed must be a bitmap of {self.count} rows, uint8 ({-(-self.count // 8)},)")
        return np.ascontiguousarray(allowed)

    def warm_up(self) -> None:
        """Do what the first search would wait for, but for ``compile_kernels``: begin to map the files' pages.

        Nothing waits for the disk: where the files aren't in the page cache yet, searches are slower until they are.
        """
        arrays = [self.codes, *(self._tables.arrays if self._tables else ())]
        Thread(target=populate, args=(arrays,), daemon=True).start()
        _ = self._engine

    def offer_gpu(self, offer: Callable[[NDArray[np.uint8]], Near], second: NDArray[np.uint8] | None) -> None:
        """From now on search what ``offer`` makes of the codes, if that is faster (``searcher.gpu.faster``)."""
        self._engine = faster(lambda: offer(self.codes), self._engine, self.codes, second)

    @cached_property
    def _engine(self) -> Engine:
        try:
            from searcher.flat import FlatScan
            from searcher.multi_index import MultiIndex
        except (ImportError, OSError) as error:  # the second where llvmlite's library doesn't load
            logger.warning("searching with NumPy, which is slower: numba cannot be loaded (%s)", error)
            return PlainScan(self.codes)
        scan = FlatScan(self.codes, self._threads)
        return MultiIndex(self._tables, scan) if self._tables else scan


def _check(name: str, codes: NDArray[np.uint8], bits: int) -> None:
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] * 8 != bits:
        raise ValueError(f"{name} must be uint8 (n, {bits // 8}), and are {codes.dtype} {codes.shape}")


def _numbers(name: str, given: Any, least: int, count: int, missing: Any = None) -> NDArray[np.int64]:
    """``given``, one number or one for each of ``count`` queries, int64 (count,)."""
    try:
        each = [given] * count if given is None or isinstance(given, int | np.integer) else given
        numbers = [index(missing if number is None else number) for number in each]  # no fractions, no strings
    except TypeError:
        numbers = []
    if len(numbers) != count or not all(least <= number < 1 << 63 for number in numbers):
        raise ValueError(f"{name} must be {least} or more, one number or one for each query")
    return np.array(numbers, np.int64)


def _hits(keys: NDArray[np.int64], question: Question) -> Hits:
    distances, ties = np.divmod(keys >> 32, question.scale)
    rows = keys & 0xFFFFFFFF
    return Hits(distances.astype(np.int32), rows, ties.astype(np.int32) if question.ties else None)


def compile_kernels(bits: int, detail_bits: int | None = None) -> None:
    """Compile what searches codes of ``bits`` bits, in either mode, and details of ``detail_bits``, or find what an
    earlier process has compiled."""
    try:
        from searcher import flat, multi_index
    except (ImportError, OSError):
        return
    flat.kernel(bits // 8, 0)
    if detail_bits is not None:
        flat.kernel(bits // 8, detail_bits // 8)
        flat.kernel(detail_bits // 8, bits // 8)
        flat.marker(bits // 8)
        multi_index.ranker()
    if bits <= MAX_BITS:
        multi_index.kernel(-(-bits // 64))

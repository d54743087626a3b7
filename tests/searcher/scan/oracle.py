"""The right answers, counted bit by bit; codes that are hard to search; and every engine that must get them right."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from searcher.scan.flat import FlatScan
from searcher.scan.multi_index import MultiIndex
from searcher.scan.question import CodeSearch, Question, Ties
from searcher.scan.table_builder import build_tables
from searcher.scan.tables import MAX_BITS
from tests.searcher.scan.plain import PlainScan

Codes = NDArray[np.uint8]
Keys = list[NDArray[np.int64]]

#: Bytes of the codes that the flat scan is compiled for in tests: every way in which it reads them.
FLAT_WIDTHS = [1, 2, 3, 4, 8, 9, 16, 24, 33, 125, 128]

#: Any others that NumPy searches, and the multi-index (up to 16 bytes), whose kernels serve many widths.
WIDTHS = [*range(1, 18), 24, 32, 33, 64, 125, 128]

_ONES = np.array([value.bit_count() for value in range(256)], np.int16)


def ask(
    queries: Codes, top_k: int, max_distance: int | None = None, allowed: Codes | None = None, ties: Ties | None = None
) -> Question:
    """The same for every query."""
    limit = 8 * queries.shape[1] if max_distance is None else max_distance
    count = len(queries)
    return Question(queries, np.full(count, top_k, np.int64), np.full(count, limit + 1, np.int64), allowed, ties)


def right_answers(codes: Codes, question: Question) -> Keys:
    """Every distance counted, sorted with rows in their order, and cut to size."""
    rows = np.arange(len(codes))
    may = np.ones(len(codes), bool)
    if question.allowed is not None:
        may = (question.allowed[rows >> 3] >> (rows & 7).astype(np.uint8) & 1) == 1
    answers = []
    for query, (k, limit) in enumerate(zip(question.top_k, question.limits, strict=True)):
        distances = bits_apart(codes, question.queries[query])
        seconds, scale = np.zeros(len(codes), np.int64), 1
        if question.ties is not None:
            seconds = bits_apart(question.ties.codes, question.ties.queries[query])
            scale = 8 * question.ties.codes.shape[1] + 1
        nearest = np.lexsort((rows, seconds, distances))
        nearest = nearest[may[nearest] & (distances[nearest] < limit)][:k]
        answers.append((distances[nearest] * scale + seconds[nearest]) << 32 | nearest)
    return answers


def bits_apart(codes: Codes, query: Codes) -> NDArray[np.int64]:
    """Differing bits between each of ``codes`` and ``query``."""
    return _ONES[codes ^ query].sum(axis=1, dtype=np.int64)


def assert_same(found: Keys, expected: Keys, label: object = "") -> None:
    assert len(found) == len(expected), label
    for query, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.dtype == np.int64, label
        assert np.array_equal(one, other), f"{label}, query {query}: {shown(one)} instead of {shown(other)}"


def shown(keys: NDArray[np.int64]) -> str:
    """Distance and row of the first answers."""
    return f"{len(keys)} answers {[(key >> 32, key & 0xFFFFFFFF) for key in keys[:5].tolist()]}"


class Fallback:
    """The scan that a multi-index is given, counting the queries that it is left with."""

    def __init__(self, engine: CodeSearch) -> None:
        self._engine = engine
        self.queries = 0

    def search(self, question: Question) -> Keys:
        self.queries += len(question.queries)
        return self._engine.search(question)


def multi_index(codes: Codes, tables: int | None = None) -> tuple[MultiIndex, Fallback]:
    """A multi-index over ``codes`` with so many tables, and what it falls back on: NumPy, for any width."""
    fallback = Fallback(PlainScan(codes))
    return MultiIndex(build_tables(codes, tables), fallback), fallback  # type: ignore[arg-type]


def engines(codes: Codes, threads: int = 3) -> dict[str, CodeSearch]:
    """All that can search ``codes``."""
    width = codes.shape[1]
    found: dict[str, CodeSearch] = {"plain": PlainScan(codes)}
    if width in FLAT_WIDTHS:
        found |= {"flat": FlatScan(codes), f"flat on {threads} threads": FlatScan(codes, threads)}
    if 8 * width <= MAX_BITS:
        for tables in {None, 8 * width // 4, -(-8 * width // 11)}:
            found[f"multi-index of {tables} tables"] = multi_index(codes, tables)[0]
    return found


def random_codes(random: np.random.Generator, count: int, width: int) -> Codes:
    return random.integers(0, 256, (count, width), np.uint8)


def at_distances(query: Codes, distances: NDArray[np.int64], random: np.random.Generator) -> Codes:
    """A code for each of ``distances``, so many bits away from ``query``: a run of bits that begins anywhere."""
    bits = 8 * len(query)
    starts = random.integers(0, bits, (len(distances), 1))
    flipped = (np.arange(bits) + starts) % bits < distances[:, None]
    return np.packbits(flipped, axis=1) ^ query


def far_from_zero(count: int, distance: int, last: int) -> Codes:
    """Different codes of 64 bits, ``distance`` of them 1: the ``last``, none of the first 16, and others between."""
    flipped = np.zeros((count, 64), np.uint8)
    for code, places in zip(range(count), combinations(range(16, 63), distance - last), strict=False):
        flipped[code, places] = 1
    flipped[:, 63] = last
    return np.packbits(flipped, axis=1, bitorder="little")


def near(random: np.random.Generator, centres: Codes, most: int) -> Codes:
    """The ``centres`` with up to ``most`` bits flipped in each."""
    codes = centres.copy()
    for _ in range(most):
        byte = random.integers(0, codes.shape[1], len(codes))
        codes[np.arange(len(codes)), byte] ^= (1 << random.integers(0, 8, len(codes))).astype(np.uint8)
    return codes


def _few_distinct(random: np.random.Generator, count: int, query: Codes) -> Codes:
    distinct = random_codes(random, int(random.integers(1, 7)), len(query))
    return distinct[random.integers(0, len(distinct), count)]


def _clustered(random: np.random.Generator, count: int, query: Codes) -> Codes:
    centres = np.concatenate([query[None], random_codes(random, 4, len(query))])
    return near(random, centres[random.integers(0, 5, count)], most=4)


def _ordered(random: np.random.Generator, count: int, query: Codes) -> NDArray[np.int64]:
    return np.sort(random.integers(0, 8 * len(query) + 1, count))


#: Codes by the order in which a scan meets them: ``(random, count, query)`` → uint8 (count, bits / 8).
ORDERS: dict[str, Callable[[np.random.Generator, int, Codes], Codes]] = {
    "random": lambda random, count, query: random_codes(random, count, len(query)),
    "few distinct": _few_distinct,
    "clustered": _clustered,
    "nearer and nearer": lambda random, count, query: at_distances(query, _ordered(random, count, query)[::-1], random),
    "farther and farther": lambda random, count, query: at_distances(query, _ordered(random, count, query), random),
    "all equal": lambda random, count, query: np.repeat(near(random, query[None], 3), count, axis=0),
    "at one distance": lambda random, count, query: at_distances(query, np.full(count, 4 * len(query)), random),
}

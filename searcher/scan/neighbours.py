"""All pairs of near codes, compiled: by tables, or by comparing each code with every later one.

    tables    near codes have near substrings: with m tables and radius r, there is a table t in which they differ in at
              most (r − t) // m bits (multi_index.py). So these buckets are searched, table by table; a pair counts in
              the first table that finds it.
    scan      a block of codes stays in the first-level cache for all codes that are compared with it

Which one is faster depends on how full the opened buckets would be, which a sample of the codes tells.

A pair is one number, by which pairs are sorted:

    first code, counted from where this step of the search began · 2^43 + second code · 2^11 + distance
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from math import comb

import numpy as np
from numba import types
from numpy.typing import NDArray

from searcher.scan.compiled import compiled, inlined
from searcher.scan.lanes import (
    VECTOR,
    distance,
    least,
    lesser,
    load,
    load_word,
    lowest_bit,
    not_above,
    plus,
    popcount,
    splat,
)
from searcher.scan.table_builder import tables_for
from searcher.scan.tables import PADDING, as_words, substrings

#: Bits of the distance in a pair's number, and of the distance and the second code together.
DISTANCE_BITS = 11
FIRST_SHIFT = DISTANCE_BITS + 32

#: Codes that get one bit each for whether they are near, and codes that the scan first checks for any near one.
_PART = 32
_PARTS = 128

#: Bytes of a block of the scan, and the most codes that are compared with it together.
_BLOCK = 1 << 14
_TOGETHER = 1 << 10

#: Codes searched for neighbours, or pairs found, after which a search by tables pauses.
_CODES = 1 << 15
_PAIRS = 1 << 20

#: Codes that the scan compares in the time of opening a bucket, and how many codes are sampled.
_BUCKET_COST = 300
_ASKED = 512

#: Tables are for codes of one word: wider ones need too many of them to pay off.
_MAX_BITS = 64


@inlined
def _near(codes, plane, query, words, limit):
    """Which of the ``_PART`` codes at an address are no farther than ``limit`` from the one at the address ``query``:
    bit i stands for code i. The next word of a code is ``plane`` bytes further on."""
    zero = np.uint64(0)
    near = 0
    for vector in range(_PART * 8 // VECTOR):
        total = splat(zero)
        for word in range(words):
            code = load(codes + word * plane + vector * VECTOR, total)
            total = plus(total, distance(code, splat(load_word(query + word * plane, zero))))
        near |= not_above(total, splat(np.uint64(limit))) << (8 * vector)
    return near


@inlined
def _any_near(codes, plane, query, words, limit):
    """Whether any of the ``_PARTS`` codes at an address is near: three instructions for eight words."""
    zero = np.uint64(0)
    nearest = splat(np.uint64(0xFFFFFFFF))
    for vector in range(_PARTS * 8 // VECTOR):
        total = splat(zero)
        for word in range(words):
            code = load(codes + word * plane + vector * VECTOR, total)
            total = plus(total, distance(code, splat(load_word(query + word * plane, zero))))
        nearest = lesser(nearest, total)
    return least(nearest) <= limit


@inlined
def _bits(left, right, plane, words):
    """Differing bits between the codes at two addresses."""
    total, zero = 0, np.uint64(0)
    for word in range(words):
        total += np.int64(popcount(load_word(left + word * plane, zero) ^ load_word(right + word * plane, zero)))
    return total


@inlined
def _met_before(difference, cuts, weights, table):
    """Whether an earlier table has already found a code with this ``difference``."""
    for other in range(table):
        shifted = difference << np.uint64(64 - cuts[other, 0] - cuts[other, 1])
        if np.int64(popcount(shifted >> np.uint64(64 - cuts[other, 1]))) <= weights[other]:
            return True
    return False


@cache
def joiner() -> Callable[..., tuple[int, int]]:
    """The search by tables for codes of one word, compiled."""
    first_shift, distance_bits = FIRST_SHIFT, DISTANCE_BITS
    number, numbers, table_of = types.int64, types.Array(types.int64, 1, "C"), types.Array(types.int64, 2, "C")
    words_type, codes_type, rows_type = (
        types.Array(types.uint64, 1, "C"), types.Array(types.uint64, 2, "C"), types.Array(types.uint32, 2, "C"),
    )  # fmt: skip

    @compiled(
        types.UniTuple(number, 2)(
            *[number] * 3, words_type, table_of, *[numbers] * 3, rows_type, rows_type, codes_type, rows_type, numbers
        )
    )
    def join(first, last, limit, words, cuts, weights, starts, flips, begins, ends, codes, rows, pairs):
        """Write the pairs of the rows from ``first`` on; return the row where it pauses, and the number of pairs.

        Rows are in order in each bucket, and leave it when their turn has come. So only later ones are met.
        """
        used = 0
        for row in range(first, last):
            if used >= _PAIRS:
                return row, used
            query = np.int64(words.ctypes.data) + row * 8
            for table in range(len(cuts)):
                mask = np.uint64((1 << cuts[table, 1]) - 1)
                value = np.int64((words[row] >> np.uint64(cuts[table, 0])) & mask)
                begins[table, value] += np.uint32(1)
                table_codes = np.int64(codes.ctypes.data) + table * codes.shape[1] * 8
                for probe in range(starts[table], starts[table + 1]):
                    bucket = value ^ flips[probe]
                    end = np.int64(ends[table, bucket])
                    for part in range(np.int64(begins[table, bucket]), end, _PART):
                        near = _near(table_codes + part * 8, 0, query, 1, limit)
                        if part + _PART > end:
                            near &= (1 << (end - part)) - 1
                        while near:
                            place = part + lowest_bit(near)
                            near &= near - 1
                            difference = codes[table, place] ^ words[row]
                            if not _met_before(difference, cuts, weights, table):
                                other = np.int64(rows[table, place])
                                bits = np.int64(popcount(difference))
                                pairs[used] = (row - first) << first_shift | other << distance_bits | bits
                                used += 1
        return last, used

    return join


@cache
def scanner(words: int) -> Callable[..., int]:
    """The scan of codes of ``words`` 64-bit words, compiled."""
    first_shift, distance_bits = FIRST_SHIFT, DISTANCE_BITS
    number = types.int64
    block = max(_PARTS, _BLOCK // (8 * words) // _PARTS * _PARTS)

    @compiled(number(*[number] * 4, types.Array(types.uint64, 2, "C"), types.Array(number, 1, "C")))
    def scan(first, last, count, limit, codes, pairs):
        """Write the pairs of the rows from ``first`` to ``last``, and return how many, or −1 where there are more than
        ``pairs`` has room for. After the ``count`` codes there are ``_PARTS`` more, of any value."""
        plane = codes.shape[1] * 8
        start = np.int64(codes.ctypes.data)
        used = 0
        for begin in range(first, count, block):
            end = min(begin + block, count)
            for row in range(first, min(last, end)):
                for parts in range(begin + (max(begin, row) - begin) // _PARTS * _PARTS, end, _PARTS):
                    if not _any_near(start + parts * 8, plane, start + row * 8, words, limit):
                        continue
                    for part in range(parts, min(parts + _PARTS, end), _PART):
                        if part + _PART <= row:
                            continue
                        near = _near(start + part * 8, plane, start + row * 8, words, limit)
                        if part <= row:  # only later codes count
                            near &= -1 << (row + 1 - part)
                        if part + _PART > end:
                            near &= (1 << (end - part)) - 1
                        while near:
                            other = part + lowest_bit(near)
                            near &= near - 1
                            if used == len(pairs):
                                return -1
                            bits = _bits(start + row * 8, start + other * 8, plane, words)
                            pairs[used] = (row - first) << first_shift | other << distance_bits | bits
                            used += 1
        return used

    return scan


@cache
def keeper() -> Callable[..., None]:
    """The choice of what is kept, compiled."""
    first_shift, distance_bits, distance_mask = FIRST_SHIFT, DISTANCE_BITS, (1 << DISTANCE_BITS) - 1
    numbers = types.Array(types.int64, 1, "C")

    @compiled(types.void(numbers, numbers, types.int64, numbers))
    def keep(kept, nearest, first, pairs):
        for pair in pairs:
            one = first + (pair >> first_shift)
            other = (pair >> distance_bits) & 0xFFFFFFFF
            if kept[one] == one and (pair & distance_mask) < nearest[other]:
                kept[other] = one
                nearest[other] = pair & distance_mask

    return keep


def keep(kept: NDArray[np.int64], nearest: NDArray[np.int64], first: int, pairs: NDArray[np.int64]) -> None:
    """Make the second code of each pair a copy of the first one, if that is kept and nearer than what the second is a
    copy of so far.

    ``kept``, int64 (n,), leads from a code to the one that it is a copy of, and from one that is kept to itself;
    ``nearest``, int64 (n,), has their distances. The pairs are sorted, and all of earlier first codes are dealt with.
    """
    keeper()(kept, nearest, first, pairs)


def near_pairs(codes: NDArray[np.uint8], radius: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The pairs of ``codes``, uint8 (n, bytes), that are at most ``radius`` bits apart. Each step yields a first code,
    and all pairs of it and of some codes after it, in any order, int64 (m,). The next step may overwrite them."""
    return by_tables(codes, radius) if tables_pay_off(codes, radius) else by_scan(codes, radius)


def by_tables(codes: NDArray[np.uint8], radius: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The search by tables, for codes of up to 64 bits."""
    (words,) = as_words(codes)
    count = len(words)
    cuts = _cuts(codes)
    flips = [_flips(size, weight) for (_, size), weight in zip(cuts, _weights(cuts, radius), strict=True)]
    starts = np.cumsum([0, *map(len, flips)])
    in_buckets = np.zeros((len(cuts), count + PADDING), np.uint64)
    rows = np.empty((len(cuts), count), np.uint32)
    offsets = np.zeros((len(cuts), (1 << cuts[0][1]) + 1), np.uint32)
    for table, cut in enumerate(cuts):
        values = _substrings(words, cut)
        rows[table] = np.argsort(values, kind="stable")
        in_buckets[table, :count] = words[rows[table]]
        offsets[table, 1:] = np.cumsum(np.bincount(values, minlength=offsets.shape[1] - 1))
    begins, ends = offsets[:, :-1].copy(), offsets[:, 1:].copy()
    found = np.empty(_PAIRS + count, np.int64)
    first = 0
    while first < count:
        last, used = joiner()(
            first, min(first + _CODES, count), radius, words, np.array(cuts), np.array(_weights(cuts, radius)),
            starts, np.concatenate(flips), begins, ends, in_buckets, rows, found,
        )  # fmt: skip
        yield first, found[:used]
        first = last


def by_scan(codes: NDArray[np.uint8], radius: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The scan."""
    words = np.pad(as_words(codes), ((0, 0), (0, _PARTS)))
    found = np.empty(_PAIRS + len(codes), np.int64)
    first, together = 0, _TOGETHER
    while first < len(codes):
        last = min(first + together, len(codes))
        used = scanner(len(words))(first, last, len(codes), radius, words, found)
        if used < 0:  # fewer codes have fewer neighbours, and those of one always fit
            together //= 2
            continue
        yield first, found[:used]
        first = last
        if used < len(found) // 4:
            together = min(2 * together, _TOGETHER)


def tables_pay_off(codes: NDArray[np.uint8], radius: int) -> bool:
    """Whether tables find the pairs of ``codes`` faster than the scan does."""
    count, width = codes.shape
    if count == 0 or 8 * width > _MAX_BITS:
        return False
    scan = count / 2  # codes that one code is compared with
    cuts = _cuts(codes)
    weights = _weights(cuts, radius)
    probes = sum(
        comb(size, ones) for (_, size), weight in zip(cuts, weights, strict=True) for ones in range(weight + 1)
    )
    cost = float(_BUCKET_COST * probes)
    if cost > scan:
        return False
    (words,) = as_words(codes)
    asked = words[np.linspace(0, count - 1, _ASKED).astype(np.int64)]
    for cut, weight in zip(cuts, weights, strict=True):
        filled = np.bincount(_substrings(words, cut), minlength=1 << cut[1])
        opened = _substrings(asked, cut)[:, None] ^ _flips(cut[1], weight)
        cost += float(filled[opened].sum(axis=1).mean()) / 2  # on average, half the codes have left their buckets
    return cost < scan


def _cuts(codes: NDArray[np.uint8]) -> list[tuple[int, int]]:
    bits = 8 * codes.shape[1]
    return substrings(bits, tables_for(len(codes), bits))


def _weights(cuts: list[tuple[int, int]], radius: int) -> list[int]:
    """How many bits of each table's substring may differ; below 0 where the table isn't needed."""
    return [(radius - table) // len(cuts) for table in range(len(cuts))]


def _flips(size: int, weight: int) -> NDArray[np.int64]:
    """All numbers of ``size`` bits, at most ``weight`` of them 1."""
    ones = [sum(1 << bit for bit in bits) for count in range(weight + 1) for bits in combinations(range(size), count)]
    return np.array(ones, np.int64)


def _substrings(words: NDArray[np.uint64], cut: tuple[int, int]) -> NDArray[np.int64]:
    start, size = cut
    return ((words >> np.uint64(start)) & np.uint64((1 << size) - 1)).view(np.int64)

"""Codes → the tables of a multi-index, by sorting: no hashing, no randomness, the same files each time."""

from collections.abc import Callable
from functools import cache
from math import log2

import numpy as np
from numba import types
from numpy.typing import NDArray

from searcher.scan.compiled import compiled
from searcher.scan.tables import PADDING, Tables, as_words, substrings

#: Bits per pass of sorting: its counters fit the first-level cache.
_DIGIT = 11

#: Narrowest and widest substrings: narrower ones make too many tables, wider ones too many buckets.
_NARROWEST, _WIDEST = 12, 24


def tables_for(count: int, bits: int) -> int:
    """How many tables suit ``count`` codes: a bucket then holds about 32 codes, if they are uniform."""
    width = min(max(log2(max(count, 1)) - 5, _NARROWEST), _WIDEST)
    return max(round(bits / width), -(-bits // _WIDEST))


def build_tables(codes: NDArray[np.uint8], tables: int | None = None) -> Tables:
    """The tables over ``codes``, uint8 (n, bits / 8). Needs about 80 bytes of memory per code at 64 bits."""
    count, width = codes.shape
    bits = 8 * width
    cuts = substrings(bits, tables or tables_for(count, bits))
    # Sorted by every bit, those of table 0 last: equal codes lie side by side, and table 0's buckets in order.
    words, rows = as_words(codes), np.arange(count, dtype=np.uint32)
    for start, size in [*cuts[1:], cuts[0]]:
        words, rows = _sort(words, rows, start, size)
    first = np.ones(count, bool)
    np.any(words[:, 1:] != words[:, :-1], axis=0, out=first[1:])
    groups = np.append(np.flatnonzero(first), count).astype(np.uint32)
    words = np.ascontiguousarray(words[:, first])
    distinct = words.shape[1]
    buckets = 1 << cuts[0][1]
    offsets = np.zeros((len(cuts), buckets + 1), np.uint32)
    in_buckets = np.zeros((len(cuts), len(words), distinct + PADDING), np.uint64)
    ids = np.empty((len(cuts) - 1, distinct), np.uint32)
    for table, (start, size) in enumerate(cuts):
        ordered = words
        if table > 0:
            ordered, ids[table - 1] = _sort(words, np.arange(distinct, dtype=np.uint32), start, size)
        in_buckets[table, :, :distinct] = ordered
        offsets[table, 1:] = np.cumsum(np.bincount(_substrings(ordered, start, size), minlength=buckets))
    return Tables(bits, offsets, in_buckets, ids, groups, rows)


def _sort(
    words: NDArray[np.uint64], numbers: NDArray[np.uint32], start: int, size: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Sort codes, and the numbers with them, by ``size`` bits from ``start`` on; equal ones keep their order."""
    passes = -(-size // _DIGIT)
    for part in range(passes):
        first, last = size * part // passes, size * (part + 1) // passes
        unsorted, words = (words, numbers), np.empty_like(words)
        numbers = np.empty_like(numbers)
        _sorter(len(words))(*unsorted, start + first, last - first, words, numbers)
    return words, numbers


def _substrings(words: NDArray[np.uint64], start: int, size: int) -> NDArray[np.int64]:
    """The value of each code's substring."""
    word, shift = start >> 6, start & 63
    value = words[word] >> np.uint64(shift)
    if shift + size > 64:
        value |= words[word + 1] << np.uint64(64 - shift)
    return (value & np.uint64((1 << size) - 1)).view(np.int64)


@cache
def _sorter(words: int) -> Callable[..., None]:
    """One pass of a radix sort over codes of ``words`` words, compiled."""
    planes, numbers = types.Array(types.uint64, 2, "C"), types.Array(types.uint32, 1, "C")

    @compiled(types.void(planes, numbers, types.int64, types.int64, planes, numbers))
    def sort(codes, rows, start, size, sorted_codes, sorted_rows):
        word, shift, mask = start >> 6, np.uint64(start & 63), np.uint64((1 << size) - 1)
        spills = (start & 63) + size > 64
        places = np.zeros((1 << size) + 1, np.int64)
        for index in range(len(rows)):
            digit = codes[word, index] >> shift
            if spills:
                digit |= codes[word + 1, index] << (np.uint64(64) - shift)
            places[np.int64(digit & mask) + 1] += 1
        for value in range(1 << size):
            places[value + 1] += places[value]
        for index in range(len(rows)):
            digit = codes[word, index] >> shift
            if spills:
                digit |= codes[word + 1, index] << (np.uint64(64) - shift)
            place = places[np.int64(digit & mask)]
            places[np.int64(digit & mask)] += 1
            for each in range(words):
                sorted_codes[each, place] = codes[each, index]
            sorted_rows[place] = rows[index]

    return sort

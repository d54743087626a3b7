"""Exact search that compares the query with every code, at the speed of memory.

    for each block of codes (2 KiB of words)            stays in the first-level cache for all queries of a batch
        its nearest distance, four queries a pass       three vector instructions for 8 codes of 64 bits
        not below the k-th best so far? next block      nearly always
        for each part of the block, the same test, then row by row

``limit`` is one more than the greatest distance that may still enter the answer. It falls as answers come in, by a
histogram of their distances. With ``count[d]`` answers at distance d, and ``nearer`` of them below the limit,

    while nearer >= k: limit -= 1; nearer -= count[limit]

so a top-1000 costs as much as a top-10. Rows are met in order and must be strictly nearer than the k-th best, so ties
stay in row order. An answer is one number, distance · 2^32 + row, by which answers are sorted.

Where second codes decide ties, the distance is multiplied by ``scale``, and the distance of the second codes, which is
less than ``scale``, is added. The rest stays the same: a block is skipped if its nearest code is too far with any
second code, and second codes are read only for rows that may enter the answer.

Codes of one, two, four and eight bytes are compared in place in the file. Wider ones, and widths such as 24 bits,
are first rearranged block by block into 64-bit words, so that a vector holds the same word of 8 codes.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
from numba import types
from numpy.typing import NDArray

from searcher.scan.compiled import compiled, inlined
from searcher.scan.lanes import (
    VECTOR,
    differing,
    distance,
    least,
    lesser,
    load,
    load_word,
    lowest_bit,
    plus,
    popcount,
    prefetch,
    splat,
    store_word,
    transpose,
)
from searcher.scan.question import Question

#: Vectors per word of the code in a block, and in the parts in which a block with a hit is searched.
_BLOCK = 32
_PART = 4
_STRIDE = _BLOCK * VECTOR

#: Bytes that are prefetched ahead of the scan: the hardware's own prefetching stops at the end of a page.
_AHEAD = 8192

#: Up to this many allowed rows in a block are compared one by one.
_SPARSE = 16

#: Places in the histograms of all queries that are searched together, 64 MiB.
_PLACES = 1 << 23

#: Rows per thread from which one more thread gains more than it costs.
_ROWS_PER_THREAD = 2_000_000


@inlined
def _nearest(block, queries, query, first, last, words, ahead, zero, most):
    """The least distance between ``query`` and the vectors ``first`` to ``last`` of the block."""
    nearest = splat(most)
    for vector in range(first, last):
        total = splat(zero)
        for word in range(words):
            code = load(block + word * _STRIDE + vector * VECTOR, total)
            total = plus(total, distance(code, splat(queries[query, word])))
        nearest = lesser(nearest, total)
        if ahead > 0:
            prefetch(block + vector * VECTOR + ahead)
    return least(nearest)


@inlined
def _nearest_to_four(block, queries, query, words, zero, most, nearest):
    """The least distances between the block and four queries from ``query`` on, written to ``nearest``."""
    nearest0 = nearest1 = nearest2 = nearest3 = splat(most)
    for vector in range(_BLOCK):
        total0 = total1 = total2 = total3 = splat(zero)
        for word in range(words):
            code = load(block + word * _STRIDE + vector * VECTOR, total0)
            total0 = plus(total0, distance(code, splat(queries[query, word])))
            total1 = plus(total1, distance(code, splat(queries[query + 1, word])))
            total2 = plus(total2, distance(code, splat(queries[query + 2, word])))
            total3 = plus(total3, distance(code, splat(queries[query + 3, word])))
        nearest0 = lesser(nearest0, total0)
        nearest1 = lesser(nearest1, total1)
        nearest2 = lesser(nearest2, total2)
        nearest3 = lesser(nearest3, total3)
    nearest[0] = least(nearest0)
    nearest[1] = least(nearest1)
    nearest[2] = least(nearest2)
    nearest[3] = least(nearest3)


@inlined
def _row_distance(block, row, queries, query, words, zero):
    total = 0
    for word in range(words):
        code = load_word(block + word * _STRIDE + row * queries.itemsize, zero)
        total += np.int64(popcount(code ^ queries[query, word]))
    return total


@inlined
def _accept(row, found, query, second_codes, second_queries, second_width, top_k, limits, nearer, counts, keys, used):
    """Add ``row``, whose scaled distance is ``found``, to the answer of ``query``, unless the distance of its second
    code brings it to the limit."""
    if second_width > 0:
        found += differing(second_codes + row * second_width, second_queries + query * second_width, second_width)
        if found >= limits[query]:
            return
    k = top_k[query]
    if used[query] == keys.shape[1]:  # drop what has fallen out of the answer; fewer than 2k stay
        kept = 0
        ties = k - nearer[query]
        for place in range(used[query]):
            key = keys[query, place]
            if key >> 32 < limits[query]:
                keys[query, kept] = key
                kept += 1
            elif key >> 32 == limits[query] and ties > 0:
                keys[query, kept] = key
                kept += 1
                ties -= 1
        used[query] = kept
    keys[query, used[query]] = found << 32 | row
    used[query] += 1
    counts[query, found] += 1
    nearer[query] += 1
    while nearer[query] >= k:
        limits[query] -= 1
        nearer[query] -= counts[query, limits[query]]


@inlined
def _byte(address):
    return np.int64(load_word(address, np.uint8(0)))


@inlined
def _is_allowed(allowed, row):
    return allowed == 0 or _byte(allowed + (row >> 3)) >> (row & 7) & 1 == 1


@inlined
def _count_allowed(allowed, first, rows):
    """Allowed rows from ``first`` on, a multiple of 8."""
    if allowed == 0:
        return rows
    total = 0
    for byte in range(first >> 3, (first + rows + 7) >> 3):
        total += np.int64(popcount(load_word(allowed + byte, np.uint8(0))))
    return total


@inlined
def _list_allowed(allowed, first, rows, listed):
    """Write the allowed rows of a block, counted from its first, to ``listed``; returns how many."""
    total = 0
    for row in range(0, rows, 8):
        bits = _byte(allowed + ((first + row) >> 3))
        while bits != 0:
            if row + lowest_bit(bits) < rows:  # the last byte may have bits beyond the last row
                listed[total] = row + lowest_bit(bits)
                total += 1
            bits &= bits - 1
    return total


@inlined
def _gather_words(codes, rows, width, words, scratch):
    """Rearrange ``rows`` codes of ``width`` bytes into words of 8, the last filled up with zeros."""
    for row in range(rows):
        for word in range(words):
            at = codes + row * width + word * 8
            value = np.uint64(0)
            if word * 8 + 8 <= width:
                value = load_word(at, value)
            else:
                for byte in range(width - word * 8):
                    value |= np.uint64(_byte(at + byte)) << np.uint64(8 * byte)
            store_word(scratch + word * _STRIDE + row * 8, value)


def _word_bytes(width: int) -> int:
    return width if width in (1, 2, 4) else 8


@cache
def kernel(width: int, second_width: int) -> Callable[..., None]:
    """The scan of codes of ``width`` bytes, with second codes of ``second_width`` bytes (0 for none), compiled."""
    word_bytes = _word_bytes(width)
    word = types.Integer.from_bitwidth(8 * word_bytes, signed=False)
    words = -(-width // word_bytes)
    greatest = 256**word_bytes - 1
    direct = width == word_bytes
    ahead = _AHEAD if direct else 0
    scale = 8 * second_width + 1
    regular = width % 8 == 0 and words & (words - 1) == 0
    block_rows = _STRIDE // word_bytes
    part_rows = _PART * VECTOR // word_bytes
    number, numbers, table = types.int64, types.Array(types.int64, 1, "C"), types.Array(types.int64, 2, "C")
    queries_type = types.Array(word, 2, "C")

    @compiled(types.void(*[number] * 3, queries_type, *[number] * 3, numbers, numbers, table, table, numbers))
    def scan(codes, begin, end, queries, allowed, second_codes, second_queries, top_k, limits, counts, keys, used):
        zero, most = word(0), word(greatest)
        nearer = np.zeros(len(queries), np.int64)
        nearest = np.zeros(4, np.int64)
        few = np.zeros(_SPARSE, np.int64)
        scratch = np.zeros(words * _STRIDE, np.uint8)
        tail = np.zeros(block_rows * width, np.uint8)
        words_at = np.int64(scratch.ctypes.data)
        for first in range(begin, end, block_rows):
            if limits.max() == 0:  # every query has found as many equal codes as it wants
                break
            rows = min(block_rows, end - first)
            allowed_rows = _count_allowed(allowed, first, rows)
            if allowed_rows == 0:
                continue
            sparse = allowed != 0 and allowed_rows <= _SPARSE
            if sparse:
                allowed_rows = _list_allowed(allowed, first, rows, few)
            block = codes + first * width
            if rows < block_rows:  # the last block is filled up with zeros
                for byte in range(rows * width):
                    tail[byte] = load_word(block + byte, np.uint8(0))
                block = np.int64(tail.ctypes.data)
            if not direct:
                if regular:
                    for row in range(0, block_rows, 8):
                        for line in range(words):
                            prefetch(block + row * width + line * VECTOR + _AHEAD)
                        transpose(block + row * width, words_at + row * 8, _STRIDE, words)
                else:
                    _gather_words(block, rows, width, words, words_at)
                block = words_at
            for group in range(0, len(queries), 4):
                members = min(4, len(queries) - group)
                if members == 4 and not sparse:
                    _nearest_to_four(block, queries, group, words, zero, most, nearest)
                for query in range(group, group + members):
                    if sparse:
                        for place in range(allowed_rows):
                            found = _row_distance(block, few[place], queries, query, words, zero) * scale
                            if found < limits[query]:
                                _accept(
                                    first + few[place], found, query, second_codes, second_queries, second_width,
                                    top_k, limits, nearer, counts, keys, used,
                                )  # fmt: skip
                        continue
                    if members < 4:
                        nearest[query - group] = _nearest(block, queries, query, 0, _BLOCK, words, ahead, zero, most)
                    if nearest[query - group] * scale >= limits[query]:
                        continue
                    for part in range(0, _BLOCK, _PART):
                        found = _nearest(block, queries, query, part, part + _PART, words, 0, zero, most) * scale
                        if found >= limits[query]:
                            continue
                        start = part * VECTOR // word_bytes
                        for row in range(start, min(start + part_rows, rows)):
                            found = _row_distance(block, row, queries, query, words, zero) * scale
                            if found < limits[query] and _is_allowed(allowed, first + row):
                                _accept(
                                    first + row, found, query, second_codes, second_queries, second_width,
                                    top_k, limits, nearer, counts, keys, used,
                                )  # fmt: skip

    return scan


@cache
def marker(width: int) -> Callable[..., None]:
    """The scan that marks codes of ``width`` bytes near a query, compiled."""
    number = types.int64

    @compiled(types.void(*[number] * 4, types.Array(types.uint8, 1, "C")))
    def mark(codes, count, query, most, rows):
        for byte in range(len(rows)):
            bits = 0
            for row in range(8 * byte, min(8 * byte + 8, count)):
                if differing(codes + row * width, query, width) <= most:
                    bits |= 1 << (row & 7)
            rows[byte] = bits

    return mark


class FlatScan:
    """Compares queries with every one of ``codes``, uint8 (n, bits / 8), on up to ``threads`` threads."""

    def __init__(self, codes: NDArray[np.uint8], threads: int = 1) -> None:
        self._codes = codes  # must outlive the address
        self._address = codes.ctypes.data
        self._count, self._width = codes.shape
        self._threads = threads

    def within(self, query: NDArray[np.uint8], distance: int) -> NDArray[np.uint8]:
        """As ``CodeSearch.within``."""
        rows = np.empty(-(-self._count // 8), np.uint8)
        query = np.ascontiguousarray(query)
        marker(self._width)(self._address, self._count, query.ctypes.data, distance, rows)
        return rows

    def search(self, question: Question) -> list[NDArray[np.int64]]:
        """As ``CodeSearch.search``."""
        count, together = len(question.queries), max(1, _PLACES // self._places(question))
        if count > together:
            batches = [question.part(slice(first, first + together)) for first in range(0, count, together)]
            return [answer for batch in batches for answer in self.search(batch)]
        threads = max(1, min(self._threads, self._count // _ROWS_PER_THREAD))
        # No thread outlives its query, so a process may fork whenever it likes.
        bounds = [self._count * part // threads // 2048 * 2048 for part in range(threads)] + [self._count]
        parts = list(pairwise(bounds))

        def scan(part: tuple[int, int]) -> list[NDArray[np.int64]]:
            return self._part(*part, question)

        if threads == 1:
            return scan(parts[0])
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(scan, parts))
        return [np.sort(np.concatenate(each))[:k] for *each, k in zip(*found, question.top_k, strict=True)]

    def _places(self, question: Question) -> int:
        """Places of a histogram: one for each distance, and one beyond."""
        return (8 * self._width + 1) * question.scale + 1

    def _part(self, begin: int, end: int, question: Question) -> list[NDArray[np.int64]]:
        """The answers among the rows from ``begin`` to ``end``."""
        count, top_k, ties = len(question.queries), question.top_k, question.ties
        padded = np.zeros((count, -(-self._width // _word_bytes(self._width)) * _word_bytes(self._width)), np.uint8)
        padded[:, : self._width] = question.queries
        second_queries = np.ascontiguousarray(ties.queries) if ties else padded
        keys = np.empty((count, 2 * max(top_k.tolist()) + 1024), np.int64)
        used = np.zeros(count, np.int64)
        counts = np.zeros((count, self._places(question)), np.int64)
        kernel(self._width, question.second_width)(
            self._address, begin, end, padded.view(f"<u{_word_bytes(self._width)}"),
            0 if question.allowed is None else question.allowed.ctypes.data,
            ties.codes.ctypes.data if ties else 0, second_queries.ctypes.data,
            top_k, question.limits * question.scale, counts, keys, used,
        )  # fmt: skip
        return [np.sort(keys[query, : used[query]])[: top_k[query]] for query in range(count)]

"""Exact search without comparing the query with every code: multi-index hashing.

A code is cut into m substrings, and a table for each substring lists the codes by its value. Codes close to the query
are close to it in some substring: if all m differed in more than a bits, the codes would differ in more than m·a bits.
So it is enough to open, table by table, the buckets whose substring differs in 0, then in 1, then in 2 … bits.

    step 0 = weight 0, table 0     before it, an unseen code may be at distance 0
    step 1 = weight 0, table 1     … at distance 1 at least: it differs somewhere in table 0's substring
    step m·a + t = weight a, table t         … at distance m·a + t at least

The search stops before a step greater than the k-th best distance: nothing unseen can enter the answer, not even as a
tie. Where that would take longer than the flat scan, for queries far from everything, it gives up.

A code may be met in several tables, and counts only the first time. Its own substrings tell: it was met before if it
differs in at most a bits in an earlier table, or in fewer than a in a later one.

Norouzi, Punjani, Fleet: Fast Search in Hamming Space with Multi-Index Hashing (2012).
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import types
from numpy.typing import NDArray

from searcher.scan.compiled import compiled, inlined
from searcher.scan.flat import FlatScan
from searcher.scan.lanes import (
    differing,
    distance,
    load,
    load_word,
    lowest_bit,
    not_above,
    plus,
    popcount,
    prefetch,
    splat,
)
from searcher.scan.question import Question
from searcher.scan.tables import PADDING, Tables, as_words

#: Codes that the flat scan compares in the time of opening a bucket, or of accepting a found code, here.
_BUCKET_COST = 160
_FOUND_COST = 300

#: Buckets, and found codes, that are prefetched before the first of them is read.
_BUCKETS = 32
_FOUND = 64

#: How many rows ahead second codes are prefetched.
_ROWS = 16

#: Room for ties, beside the answers that count.
_TIES = 8192

#: Codes of a bucket that are compared together; the last ones may belong to the next bucket.
_PART = 32


@inlined
def _u32(address):
    return np.int64(load_word(address, np.uint32(0)))


@inlined
def _within(codes, plane, place, query, limit):
    """Which of the ``_PART`` codes from ``place`` on are at most ``limit`` away: bit i stands for code i."""
    zero = np.uint64(0)
    found = 0
    for vector in range(_PART // 8):
        total = splat(zero)
        for word in range(len(query)):
            code = load(codes + word * plane + (place + 8 * vector) * 8, total)
            total = plus(total, distance(code, splat(query[word])))
        found |= not_above(total, splat(np.uint64(limit))) << (8 * vector)
    return found


@inlined
def _distance(codes, plane, place, query):
    total = 0
    for word in range(len(query)):
        total += np.int64(popcount(load_word(codes + word * plane + place * 8, np.uint64(0)) ^ query[word]))
    return total


@inlined
def _apart(codes, plane, place, query, start, width):
    """Differing bits in the substring of ``width`` bits from ``start`` on."""
    word, shift = start >> 6, start & 63
    at = codes + word * plane + place * 8
    difference = (load_word(at, np.uint64(0)) ^ query[word]) >> np.uint64(shift)
    if shift + width > 64:
        difference |= (load_word(at + plane, np.uint64(0)) ^ query[word + 1]) << np.uint64(64 - shift)
    return np.int64(popcount(difference << np.uint64(64 - width)))


@inlined
def _met_before(codes, plane, place, query, cuts, table, weight):
    for other in range(len(cuts)):
        if other != table:
            apart = _apart(codes, plane, place, query, cuts[other, 0], cuts[other, 1])
            if apart < weight or (apart == weight and other < table):
                return True
    return False


@inlined
def _substring(query, start, width):
    word, shift = start >> 6, start & 63
    value = query[word] >> np.uint64(shift)
    if shift + width > 64:
        value |= query[word + 1] << np.uint64(64 - shift)
    return np.int64(value & np.uint64((1 << width) - 1))


@inlined
def _next_of_same_weight(flips):
    """The next greater number with as many ones: 0011, 0101, 0110, 1001 …"""
    low = flips & -flips
    carried = flips + low
    return carried | ((flips ^ carried) >> 2) // low


@inlined
def _accept(key, rows, k, limit, nearer, counts, keys, used):
    """Add an answer that stands for ``rows`` rows. Returns the new limit, or −1 if there are more ties than ``keys``
    has room for."""
    if used[0] == len(keys):
        kept = 0
        for place in range(len(keys)):
            if keys[place] >> 32 <= limit:
                keys[kept] = keys[place]
                kept += 1
        used[0] = kept
        if kept == len(keys):
            return -1
    keys[used[0]] = key
    used[0] += 1
    counts[key >> 32] += rows
    if key >> 32 < limit:
        nearer[0] += rows
        while nearer[0] >= k:
            limit -= 1
            nearer[0] -= counts[limit]
    return limit


@inlined
def _allowed(allowed, row):
    return allowed == 0 or np.int64(load_word(allowed + (row >> 3), np.uint8(0))) >> (row & 7) & 1 == 1


@inlined
def _resolve(
    places, found, pending, count, distinct, table_ids, groups, rows, grouped, allowed, k, limit, nearer, counts, keys,
    used,
):  # fmt: skip
    """Accept the rows of the ``pending`` found codes, or, if ``grouped``, the codes. Each lookup is prefetched in one
    round and read in the next."""
    for index in range(pending):
        if table_ids != 0:
            places[index] = min(_u32(table_ids + places[index] * 4), distinct - 1)
        prefetch(groups + places[index] * 4)
    for index in range(pending):
        prefetch(rows + _u32(groups + places[index] * 4) * 4)
    for index in range(pending):
        taken = 0
        for place in range(_u32(groups + places[index] * 4), min(_u32(groups + places[index] * 4 + 4), count)):
            if found[index] > limit or taken == k:
                break
            row = min(_u32(rows + place * 4), count - 1)
            if _allowed(allowed, row):
                taken += 1
                if not grouped:
                    limit = _accept(found[index] << 32 | row, 1, k, limit, nearer, counts, keys, used)
                    if limit < 0:
                        return limit
        if grouped and taken > 0:
            limit = _accept(found[index] << 32 | places[index], taken, k, limit, nearer, counts, keys, used)
            if limit < 0:
                return limit
    return limit


@cache
def kernel(words: int) -> Callable[..., int]:
    """The search for codes of ``words`` 64-bit words, compiled.

    It returns its cost, as the number of codes that the flat scan compares in the same time. More than ``count``, the
    number of rows, means that it gave up. Numbers read from the tables are kept in range, so that a file with flipped
    bits gives wrong answers but doesn't end the process.
    """
    number, numbers = types.int64, types.Array(types.int64, 1, "C")
    cuts_type = types.Array(types.int64, 2, "C")

    @compiled(number(types.UniTuple(types.uint64, words), *[number] * 4, cuts_type, *[number] * 8, *[numbers] * 3))
    def search(
        query, k, limit, count, allowed, cuts, distinct, buckets, offsets, codes, ids, groups, rows, grouped,
        counts, keys, used,
    ):  # fmt: skip
        tables = len(cuts)
        plane = (distinct + PADDING) * 8
        nearer = np.zeros(1, np.int64)
        begins, ends = np.empty(_BUCKETS, np.int64), np.empty(_BUCKETS, np.int64)
        places, found = np.empty(_FOUND, np.int64), np.empty(_FOUND, np.int64)
        cost = 0
        for step in range(tables * (cuts[0, 1] + 1)):
            if step > limit:
                break
            weight, table = step // tables, step % tables
            start, width = cuts[table, 0], cuts[table, 1]
            value = _substring(query, start, width)
            table_offsets = offsets + table * (buckets + 1) * 4
            table_codes = codes + table * len(query) * plane
            table_ids = ids + (table - 1) * distinct * 4 if table > 0 else 0
            flips = (1 << weight) - 1
            while flips < 1 << width:
                opened = 0
                while opened < _BUCKETS and flips < 1 << width:
                    begins[opened] = table_offsets + (value ^ flips) * 4
                    prefetch(begins[opened])
                    opened += 1
                    flips = _next_of_same_weight(flips) if flips > 0 else 1 << width
                for bucket in range(opened):
                    offset = begins[bucket]
                    begins[bucket] = _u32(offset)
                    ends[bucket] = min(_u32(offset + 4), distinct)
                    cost += max(ends[bucket] - begins[bucket], 0) + _BUCKET_COST
                    prefetch(table_codes + begins[bucket] * 8)
                    prefetch(table_codes + begins[bucket] * 8 + 64)
                if cost > count:
                    return cost
                pending = 0
                for bucket in range(opened):
                    for part in range(begins[bucket], ends[bucket], _PART):
                        near = _within(table_codes, plane, part, query, limit)
                        if part + _PART > ends[bucket]:
                            near &= (1 << (ends[bucket] - part)) - 1
                        while near:
                            place = part + lowest_bit(near)
                            near &= near - 1
                            bits = _distance(table_codes, plane, place, query)
                            if bits > limit or _met_before(table_codes, plane, place, query, cuts, table, weight):
                                continue
                            places[pending] = place
                            found[pending] = bits
                            pending += 1
                            cost += _FOUND_COST
                            if table > 0:
                                prefetch(table_ids + place * 4)
                            if pending == _FOUND:
                                limit = _resolve(
                                    places, found, pending, count, distinct, table_ids, groups, rows, grouped,
                                    allowed, k, limit, nearer, counts, keys, used,
                                )  # fmt: skip
                                pending = 0
                                if limit < 0:
                                    return count + 1
                limit = _resolve(
                    places, found, pending, count, distinct, table_ids, groups, rows, grouped,
                    allowed, k, limit, nearer, counts, keys, used,
                )  # fmt: skip
                if limit < 0:
                    return count + 1
        return cost

    return search


@inlined
def _sift_down(heap, used, key):
    """Put ``key`` in the place of the greatest of ``heap``, the first."""
    place = 0
    child = 1
    while child < used:
        if child + 1 < used and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[place] = heap[child]
        place = child
        child = 2 * place + 1
    heap[place] = key


@inlined
def _sift_up(heap, place, key):
    while place > 0 and heap[(place - 1) >> 1] < key:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = key


@cache
def ranker() -> Callable[..., int]:
    """The choice of the best rows of the found codes, by their second codes, compiled."""
    number, numbers = types.int64, types.Array(types.int64, 1, "C")

    @compiled(number(numbers, *[number] * 7, numbers))
    def rank(found, count, groups, rows, allowed, second, query, width, best):
        """Fills ``best``, a heap, from ``found``, distance · 2^32 + code, ascending. Returns how many there are."""
        used = 0
        for index in range(len(found)):
            distance = (found[index] >> 32) * (8 * width + 1)
            group = groups + (found[index] & 0xFFFFFFFF) * 4
            if used == len(best) and distance > best[0] >> 32:
                break
            end = min(_u32(group + 4), count)
            for place in range(_u32(group), end):
                ahead = second + _u32(rows + min(place + _ROWS, end - 1) * 4) * width
                prefetch(ahead)
                prefetch(ahead + width - 1)
                row = min(_u32(rows + place * 4), count - 1)
                if not _allowed(allowed, row):
                    continue
                key = (distance + differing(second + row * width, query, width)) << 32 | row
                if used < len(best):
                    _sift_up(best, used, key)
                    used += 1
                elif key < best[0]:
                    _sift_down(best, used, key)
        return used

    return rank


class MultiIndex:
    """Searches ``tables``, and by ``flat`` where that is faster; the answers are the same to the last tie."""

    def __init__(self, tables: Tables, flat: FlatScan) -> None:
        self._tables = tables  # must outlive the addresses
        self._flat = flat
        self._cuts = np.array(tables.cuts, np.int64)
        self._addresses = [array.ctypes.data for array in tables.arrays]
        self._kernel = kernel(tables.codes.shape[1])
        self._sizes = len(tables.rows), tables.distinct, tables.buckets

    def search(self, question: Question) -> list[NDArray[np.int64]]:
        """As ``CodeSearch.search``."""
        words = as_words(question.queries).T
        answers = [self._nearest(query, tuple(words[query]), question) for query in range(len(words))]
        given_up = [query for query, answer in enumerate(answers) if answer is None]
        if given_up:
            for query, answer in zip(given_up, self._flat.search(question.part(given_up)), strict=True):
                answers[query] = answer
        return [answer for answer in answers if answer is not None]

    def within(self, query: NDArray[np.uint8], distance: int) -> NDArray[np.uint8]:
        """As ``CodeSearch.within``."""
        return self._flat.within(query, distance)

    def _nearest(self, query: int, words: tuple[np.uint64, ...], question: Question) -> NDArray[np.int64] | None:
        """The answer to one query, or None where it gives up."""
        ties = question.ties
        count, distinct, buckets = self._sizes
        k, limit = int(question.top_k[query]), int(question.limits[query])
        mask = 0 if question.allowed is None else question.allowed.ctypes.data
        keys = np.empty(8 * k + _TIES, np.int64)
        used = np.zeros(1, np.int64)
        counts = np.zeros(self._tables.bits + 1, np.int64)
        cost = self._kernel(
            words, k, limit - 1, count, mask, self._cuts, distinct, buckets,
            *self._addresses, int(ties is not None), counts, keys, used,
        )  # fmt: skip
        if cost > count:
            return None
        found = keys[: used[0]]
        found.sort()
        if ties is None:
            return found[:k]
        second = np.ascontiguousarray(ties.queries[query])
        best = np.empty(k, np.int64)
        chosen = ranker()(
            found, count, *self._addresses[3:], mask,
            ties.codes.ctypes.data, second.ctypes.data, question.second_width, best,
        )  # fmt: skip
        best = best[:chosen]
        best.sort()
        return best

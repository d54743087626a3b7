"""The kernel that looks through inverted lists: the codes of some lists, nearest to a query first."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import types

from searcher.scan.compiled import compiled
from searcher.scan.lanes import differing, load_word


@cache
def kernel() -> Callable[..., int]:
    """As ``Lists.nearest_codes``; ``seen`` has room for all rows of the lists. Compiled."""
    number, numbers, bits = types.int64, types.Array(types.int64, 1, "C"), types.Array(types.int32, 1, "C")
    words = types.Array(types.uint32, 1, "C", readonly=True)

    @compiled(number(number, number, number, words, words, numbers, number, numbers, bits, numbers))
    def look(codes, width, query, starts, rows_of, lists, allowed, seen, distances, rows):
        counts = np.zeros(8 * width + 2, np.int64)
        used = 0
        for which in range(len(lists)):
            for place in range(np.int64(starts[lists[which]]), np.int64(starts[lists[which] + 1])):
                row = np.int64(rows_of[place])
                if row >= len(rows_of):  # of a damaged file
                    continue
                if allowed != 0 and np.int64(load_word(allowed + (row >> 3), np.uint8(0))) >> (row & 7) & 1 == 0:
                    continue
                apart = differing(codes + place * width, query, width)
                counts[apart + 1] += 1
                seen[used] = apart << 32 | place
                used += 1
        for distance in range(len(counts) - 1):  # where each distance's rows begin
            counts[distance + 1] += counts[distance]
        for each in range(used):
            apart = seen[each] >> 32
            place = counts[apart]
            if place < len(rows):
                counts[apart] += 1
                distances[place] = apart
                rows[place] = rows_of[seen[each] & 0xFFFFFFFF]
        return min(used, len(rows))

    return look

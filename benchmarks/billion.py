# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
"""A thousand million codes on a machine of 24 GiB: the tables that it would take, tried at a size that fits here.

    python -m benchmarks.billion --count 300000000

Today's tables (searcher/scan/tables.py) have 24 bytes of codes, 8 of ids, 8 of groups and rows for each code of 64
bits. These have 18, and 4 that only found codes touch:

    low, high   each table, in the order of its buckets: the 42 or 43 bits of a code beside its substring, as 32 + 16
    offsets     each table: where the bucket of each substring of 22, 21 and 21 bits begins
    rows        of table 0 alone. A code that another table finds is looked for in table 0's bucket, which tells its row

The search is that of multi_index.py, and exact: some queries are compared with all codes. Codes are uniform, the worst
case, and computed from their rows, so that building holds one table at a time.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from numba import njit
from numpy.typing import NDArray

from searcher.scan.lanes import popcount, prefetch
from searcher.scan.tables import substrings

TABLES = 3
CUTS = np.array(substrings(64, TABLES), np.int64)
BUCKETS = 1 << int(CUTS[0, 1])
_CHUNK = 64
_AHEAD = 32
_ROOM = 1 << 16
TOP_K = 10


@njit(inline="always")
def code_of(row):
    """SplitMix64: uniform, and another for each row."""
    value = (np.uint64(row) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(inline="always")
def bucket_of(code, start, width):
    return np.int64((code >> np.uint64(start)) & np.uint64((1 << width) - 1))


@njit(inline="always")
def rest_of(code, start, width):
    """The code without its substring."""
    below = code & np.uint64((1 << start) - 1)
    above = np.uint64(0) if start + width == 64 else code >> np.uint64(start + width)
    return below | above << np.uint64(start)


@njit(inline="always")
def whole(rest, bucket, start, width):
    """The code of a rest and its bucket."""
    below = rest & np.uint64((1 << start) - 1)
    above = rest >> np.uint64(start)
    code = below | np.uint64(bucket) << np.uint64(start)
    return code if start + width == 64 else code | above << np.uint64(start + width)


@njit(inline="always")
def joined(low, high):
    return np.uint64(low) | np.uint64(high) << np.uint64(32)


@njit(nogil=True)
def fill(count, start, width, offsets, low, high, rows):
    """One table: counted, then put where it belongs; rows ascend within a bucket."""
    for row in range(count):
        offsets[bucket_of(code_of(row), start, width) + 1] += 1
    for bucket in range(len(offsets) - 1):
        offsets[bucket + 1] += offsets[bucket]
    places = offsets[:-1].copy()
    for row in range(count):
        code = code_of(row)
        bucket = bucket_of(code, start, width)
        place = places[bucket]
        places[bucket] += 1
        rest = rest_of(code, start, width)
        low[place] = np.uint32(rest & np.uint64(0xFFFFFFFF))
        high[place] = np.uint16(rest >> np.uint64(32))
        if len(rows):
            rows[place] = row


@njit(nogil=True)
def search(query, k, cuts, offsets, low, high, addresses, found_codes, found_distances, told):
    """Fills the codes found, and their distances; ``told`` gets buckets, codes compared. Returns how many are found."""
    limit, nearer, used, buckets, compared = 64, 0, 0, 0, 0
    counts = np.zeros(66, np.int64)
    apart = np.empty(_CHUNK, np.uint8)
    begins, ends = np.empty(_AHEAD, np.int64), np.empty(_AHEAD, np.int64)
    values = np.empty(_AHEAD, np.int64)
    step = 0
    while step <= limit:
        weight, table = step // 3, step % 3
        start, width = cuts[table, 0], cuts[table, 1]
        value, rest = bucket_of(query, start, width), rest_of(query, start, width)
        flips = (1 << weight) - 1
        table_low, table_high = low[table], high[table]
        while flips < 1 << width:
            opened = 0
            while opened < _AHEAD and flips < 1 << width:
                values[opened] = value ^ flips
                prefetch(addresses[table, 0] + np.int64(values[opened] * 4))
                opened += 1
                if flips == 0:
                    flips = 1 << width
                else:
                    lowest = flips & -flips
                    carried = flips + lowest
                    flips = carried | ((flips ^ carried) >> 2) // lowest
            for each in range(opened):
                begins[each] = offsets[table][values[each]]
                ends[each] = offsets[table][values[each] + 1]
                for line in range(begins[each] * 4, min(ends[each] * 4, begins[each] * 4 + 256), 64):
                    prefetch(addresses[table, 1] + np.int64(line))
                prefetch(addresses[table, 2] + np.int64(begins[each] * 2))
                prefetch(addresses[table, 2] + np.int64(begins[each] * 2 + 64))
            for each in range(opened):
                buckets += 1
                compared += ends[each] - begins[each]
                for first in range(begins[each], ends[each], _CHUNK):
                    size = min(_CHUNK, ends[each] - first)
                    least = np.uint8(255)
                    for place in range(size):
                        other = joined(table_low[first + place], table_high[first + place])
                        apart[place] = np.uint8(popcount(other ^ rest))
                    for place in range(size):
                        least = min(least, apart[place])
                    if np.int64(least) + weight > limit:
                        continue
                    for place in range(size):
                        distance = np.int64(apart[place]) + weight
                        if distance > limit:
                            continue
                        other = joined(table_low[first + place], table_high[first + place])
                        code = whole(other, values[each], start, width)
                        met = False
                        for before in range(3):
                            if before != table:
                                differing = bucket_of(code ^ query, cuts[before, 0], cuts[before, 1])
                                bits = np.int64(popcount(np.uint64(differing)))
                                met = met or bool(bits < weight or (bits == weight and before < table))
                        if met:
                            continue
                        if used == len(found_codes):  # drop what is too far by now
                            kept = 0
                            for old in range(used):
                                if found_distances[old] <= limit:
                                    found_codes[kept], found_distances[kept] = found_codes[old], found_distances[old]
                                    kept += 1
                            used = kept
                        found_codes[used], found_distances[used] = code, distance
                        used += 1
                        counts[distance] += 1
                        if distance < limit:
                            nearer += 1
                            while nearer >= k:
                                limit -= 1
                                nearer -= counts[limit]
        step += 1
    told[0], told[1] = buckets, compared
    kept = 0
    for old in range(used):
        if found_distances[old] <= limit:
            found_codes[kept], found_distances[kept] = found_codes[old], found_distances[old]
            kept += 1
    return kept


@njit(nogil=True)
def row_of(code, cuts, offsets, low, high, rows):
    """The first row of ``code``, which is there, by table 0."""
    bucket, rest = bucket_of(code, cuts[0, 0], cuts[0, 1]), rest_of(code, cuts[0, 0], cuts[0, 1])
    for place in range(offsets[bucket], offsets[bucket + 1]):
        if low[place] == np.uint32(rest & np.uint64(0xFFFFFFFF)) and high[place] == np.uint16(rest >> np.uint64(32)):
            return np.int64(rows[place])
    return -1


@njit(nogil=True)
def all_within(query, limit, count, found):
    """Every row at most ``limit`` away: the oracle."""
    used = 0
    for row in range(count):
        if np.int64(popcount(code_of(row) ^ query)) <= limit and used < len(found):
            found[used] = row
            used += 1
    return used


def build(count: int, folder: Path) -> None:
    """Write the tables of ``count`` codes to ``folder``, one after the other."""
    for table, (start, width) in enumerate(CUTS):
        offsets = np.zeros((1 << width) + 1, np.uint32)
        low, high = np.empty(count, np.uint32), np.empty(count, np.uint16)
        rows = np.empty(count if table == 0 else 0, np.uint32)
        fill(count, start, width, offsets, low, high, rows)
        for name, array in (("offsets", offsets), ("low", low), ("high", high), ("rows", rows)):
            if len(array):
                np.save(folder / f"{name}{table}.npy", array)


class Tables:
    """The tables in ``folder``, mapped."""

    def __init__(self, folder: Path) -> None:
        def mapped(name: str) -> NDArray[Any]:
            return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))

        self._offsets, self._low, self._high = (
            tuple(mapped(f"{name}{table}") for table in range(TABLES)) for name in ("offsets", "low", "high")
        )
        self._rows = mapped("rows0")
        parts = zip(self._offsets, self._low, self._high, strict=True)
        self._addresses = np.array([[each.ctypes.data for each in part] for part in parts], np.int64)
        self._codes, self._distances = np.empty(_ROOM, np.uint64), np.empty(_ROOM, np.int64)
        self.told = np.zeros(2, np.int64)

    def warm(self) -> None:
        """Read what every search reads; the rows stay where they are."""
        for array in (*self._offsets, *self._low, *self._high):
            array.reshape(-1)[:: 4096 // array.itemsize].sum()

    def search(self, query: int, k: int) -> list[tuple[int, int]]:
        """Distance and row of the ``k`` nearest, ties by row."""
        found = search(
            np.uint64(query), k, CUTS, self._offsets, self._low, self._high, self._addresses,
            self._codes, self._distances, self.told,
        )  # fmt: skip
        first = self._offsets[0], self._low[0], self._high[0], self._rows
        best = [
            (int(distance), int(row_of(code, CUTS, *first)))
            for code, distance in zip(self._codes[:found], self._distances[:found], strict=True)
        ]
        return sorted(best)[:k]


@click.command()
@click.option("--count", default=10_000_000, show_default=True, help="Codes.")
@click.option("--queries", default=200, show_default=True)
@click.option("--compared", default=3, show_default=True, help="Queries that are compared with every code, too.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="For the tables.")
def main(count: int, queries: int, compared: int, folder: Path) -> None:
    """Build and search the tables of ``--count`` codes."""
    random = np.random.default_rng(1)
    with TemporaryDirectory(prefix="billion-", dir=folder) as made:
        started = time.perf_counter()
        build(count, Path(made))
        size = sum(path.stat().st_size for path in Path(made).iterdir())
        click.echo(f"{count:,} codes: {size / count:.1f} bytes each, built in {time.perf_counter() - started:.0f} s")
        started = time.perf_counter()
        tables = Tables(Path(made))
        click.echo(f"opened in {1000 * (time.perf_counter() - started):.1f} ms")
        tables.warm()
        asked = [int(each) for each in random.integers(0, 1 << 64, queries, dtype=np.uint64)]
        took, work = [], []
        for query in [asked[0], *asked]:
            started = time.thread_time()  # other work may run on the machine
            tables.search(query, TOP_K)
            took.append(1000 * (time.thread_time() - started))
            work.append(tables.told.copy())
        buckets, codes = np.median(work[1:], axis=0)
        p50, p95, least = np.percentile(took[1:], [50, 95, 5])
        click.echo(
            f"top {TOP_K}, of the processor: p5 {least:.2f} ms, p50 {p50:.2f} ms, p95 {p95:.2f} ms; "
            f"{buckets:,.0f} buckets, {codes:,.0f} codes compared"
        )
        for query in asked[:compared]:
            found = tables.search(query, TOP_K)
            within = np.empty(1000, np.int64)
            started = time.perf_counter()
            number = all_within(np.uint64(query), found[-1][0], count, within)
            took_all = time.perf_counter() - started
            everything = sorted((int(query ^ int(code_of(row))).bit_count(), int(row)) for row in within[:number])
            assert everything[:TOP_K] == found, (everything, found)
            click.echo(f"compared with all in {took_all:.1f} s: the same, from {found[0]} to {found[-1]}")


if __name__ == "__main__":
    main()

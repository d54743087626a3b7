"""Near-duplicates, by tables and by brute force: ``python -m benchmarks.duplicates [--count 471838]``.

For each radius, each in its own process: all pairs, all groups, and the pairs by comparing every code with every later
one, which must find the same number. Times are for one core; memory is the most that was added meanwhile.
"""

import multiprocessing
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.codes import clustered, uniform
from searcher.scan.duplicates import groups, pairs
from searcher.scan.neighbours import by_scan

BITS = 64
RADII = (0, 2, 4, 8)

Codes = NDArray[np.uint8]


def _pairs(codes: Codes, radius: int) -> Iterator[int]:
    for found in pairs(codes, radius):
        yield len(found.first)


def _groups(codes: Codes, radius: int) -> Iterator[int]:
    for _ in groups(codes, radius):
        yield 1


def _brute_force(codes: Codes, radius: int) -> Iterator[int]:
    for _, found in by_scan(codes, radius):
        yield len(np.sort(found))


WAYS: dict[str, Callable[[Codes, int], Iterator[int]]] = {
    "pairs": _pairs,
    "groups": _groups,
    "brute force": _brute_force,
}


def measure(make: Callable[..., tuple[Codes, Codes]], count: int, radius: int, way: str) -> tuple[int, float, float]:
    """Returns how many were found, the seconds, and the MiB of memory."""
    codes, _ = make(count, BITS, 0, 1)
    for few in (codes[:2], codes[:20_000]):  # compile both the scan and the tables
        sum(WAYS[way](few, 0))
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before, started = psutil.Process().memory_info().rss / 2**20, time.process_time()
    found = sum(WAYS[way](codes, radius))
    took = time.process_time() - started
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return found, took, int(peak[1]) / 1024 - before


@click.command()
@click.option("--count", default=471_838, show_default=True, help="Codes.")
def main(count: int) -> None:
    """Find the near-duplicates among codes as a trained model makes them, and among uniform ones."""
    spawn = multiprocessing.get_context("spawn")
    for make in (clustered, uniform):
        click.echo(f"{count:,} {make.__name__} codes of {BITS} bits")
        for radius in RADII:
            measured = {}
            for way in WAYS:
                with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                    measured[way] = pool.submit(measure, make, count, radius, way).result()
            assert measured["pairs"][0] == measured["brute force"][0]
            said = [
                f"{found:,} {way} {took:.2f} s {memory:.0f} MiB" if way != "brute force" else f"{way} {took:.2f} s"
                for way, (found, took, memory) in measured.items()
            ]
            click.echo(f"  radius {radius}: {', '.join(said)}")


if __name__ == "__main__":
    main()

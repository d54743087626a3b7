"""Every width against faiss IndexBinaryFlat, one core: ``python -m benchmarks.widths``.

80 MB of codes of each width, uniform and clustered, top 10; one query and a batch of 64. The tables of the mode
'unnecessary fast' are also built for widths that the mode refuses, to show what they would cost.
"""

import time
from collections.abc import Callable
from typing import Any

import click
import faiss
import numpy as np

from benchmarks.codes import clustered, uniform
from searcher.scan.flat import FlatScan
from searcher.scan.multi_index import MultiIndex
from searcher.scan.question import Question
from searcher.scan.table_builder import build_tables

MEGABYTES = 80
TOP_K = 10
BATCH = 64
WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)
WIDEST_TABLES = 256


def milliseconds(search: Callable[[slice], object], batch: int) -> float:
    """Returns a query's median time in batches of ``batch``."""
    times = []
    for turn in range(8):
        started = time.perf_counter()
        search(slice(turn * batch, (turn + 1) * batch))
        times.append(1000 * (time.perf_counter() - started) / batch)
    return float(np.median(times[1:]))


def measure(bits: int, make: Callable[..., Any]) -> str:
    """Returns one line of the table."""
    count = min(MEGABYTES * 1_000_000 * 8 // bits, 20_000_000)
    codes, queries = make(count, bits, 0)
    peer = faiss.IndexBinaryFlat(bits)
    peer.add(codes)
    flat = FlatScan(codes)

    def ask(engine: FlatScan | MultiIndex) -> Callable[[slice], object]:
        def search(rows: slice) -> object:
            part = queries[rows]
            return engine.search(Question(part, np.full(len(part), TOP_K), np.full(len(part), bits + 1)))

        return search

    theirs = milliseconds(lambda rows: peer.search(queries[rows], TOP_K), 1)
    one, batch = milliseconds(ask(flat), 1), milliseconds(ask(flat), BATCH)
    fast, size = "–", "–"
    if bits <= WIDEST_TABLES:
        tables = build_tables(codes)
        took = milliseconds(ask(MultiIndex(tables, flat)), 1)
        fast = f"{took:.3f} ({theirs / took:.1f}×)"
        size = f"{sum(array.nbytes for array in tables.arrays) / count:.0f}"
    return (
        f"{bits:4} {count:11,} {make.__name__:10}{theirs:9.3f}{one:9.3f} ({theirs / one:.1f}×)"
        f"{batch:9.3f} ({theirs / batch:.1f}×){fast:>20}{size:>8}"
    )


@click.command()
def main() -> None:
    """Measure the search of codes of every width."""
    faiss.omp_set_num_threads(1)
    click.echo(
        "bits, codes; milliseconds a query: faiss, default, default in a batch of 64, fast; bytes of tables a code"
    )
    for bits in WIDTHS:
        for make in (uniform, clustered):
            click.echo(measure(bits, make))


if __name__ == "__main__":
    main()

"""What the order by detail codes costs: ``python -m benchmarks.ranking``.

The same queries, one at a time and in turns: in the order of distances alone, with ties in the order of details, and by
details first; the last two also as multiples of the first. Codes are either all different, or 4,000 different
ones shared by all images, as trained models give them: then hundreds or thousands of images tie at every distance.
"""

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.codes import around, coins, uniform
from searcher.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.manifest import Mode
from searcher.ranking import Ranking
from searcher.search import CodeIndex, Query
from searcher.table_builder import build_tables
from searcher.tables import write_tables

BITS = 64
DETAIL_BITS = 256
CLASSES = 100
DISTINCT = 4000
ROUNDS = 31


def shared(count: int, bits: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """``count`` codes, and queries, of which 4,000 are different, in 100 clusters: shapes as ``uniform``."""
    random = np.random.default_rng(seed)
    distinct = around(coins(random, CLASSES, bits), random, DISTINCT)
    return distinct[random.integers(0, DISTINCT, count)], distinct[random.integers(0, DISTINCT, ROUNDS)]


@click.command()
@click.option("--count", "counts", default=(1_000_000, 10_000_000), show_default=True, multiple=True, help="Codes.")
@click.option("--top_k", default=10, show_default=True, help="Answers to a query.")
def main(counts: tuple[int, ...], top_k: int) -> None:
    """Compare the orders."""
    for count in counts:
        for make in (shared, uniform):
            codes, queries = make(count, BITS, 0)
            details, detail_queries = uniform(count, DETAIL_BITS, 1)
            with TemporaryDirectory(dir=Path.cwd()) as name:
                folder = Path(name)
                write_codes(codes, folder / INDEX_FILE)
                write_codes(details, folder / DETAILS_FILE)
                write_tables(build_tables(codes), folder)
                for mode in get_args(Mode):
                    ranking = Ranking(
                        CodeIndex.open(folder, count=count, bits=BITS, mode=mode),
                        CodeIndex.open(folder, count=count, bits=DETAIL_BITS, file=DETAILS_FILE),
                    )
                    plain, distance, detail = milliseconds(ranking, queries, detail_queries, top_k)
                    click.echo(
                        f"{make.__name__}, {count:,}, {mode}: by distance {plain:.3f} ms, with details {distance:.3f} "
                        f"ms ({distance / plain:.2f}×), by detail {detail:.3f} ms ({detail / plain:.2f}×)"
                    )


def milliseconds(
    ranking: Ranking, queries: NDArray[np.uint8], details: NDArray[np.uint8], top_k: int
) -> NDArray[np.float64]:
    """The median time of a query in each order."""
    times: list[list[float]] = []
    for code, detail in zip(queries[:ROUNDS], details[:ROUNDS], strict=True):
        both = Query(code, detail, top_k)
        times.append([])
        for query in (Query(code, top_k=top_k), both, replace(both, rank="detail")):
            started = time.perf_counter()
            ranking.search([query])
            times[-1].append(1000 * (time.perf_counter() - started))
    medians: NDArray[np.float64] = np.median(times[1:], axis=0)
    return medians


if __name__ == "__main__":
    main()

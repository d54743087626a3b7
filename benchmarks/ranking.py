"""What ordering by detail codes costs: ``python -m benchmarks.ranking``.

The same queries, one at a time, in three orders that take turns: by distance alone, with ties by detail, and by detail
first; the last two also as multiples of the first. Codes are either all different, or all images share 4,000 codes, as
with trained models: then hundreds or thousands of images tie at every distance.
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
from contract.space import CODE, DETAIL
from searcher.scan.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.scan.ranking import Query, Ranking
from searcher.scan.search import CodeIndex
from searcher.scan.table_builder import build_tables
from searcher.scan.tables import Mode, write_tables

BITS = 64
DETAIL_BITS = 256
CLASSES = 100
DISTINCT = 4000
ROUNDS = 31


def shared(count: int, bits: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns ``count`` codes and queries, of which 4,000 are different, in 100 clusters: shapes as ``uniform``."""
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
                        {
                            CODE: CodeIndex.open(folder, count=count, bits=BITS, mode=mode),
                            DETAIL: CodeIndex.open(folder, count=count, bits=DETAIL_BITS, file=DETAILS_FILE),
                        }
                    )
                    plain, distance, detail = milliseconds(ranking, queries, detail_queries, top_k)
                    click.echo(
                        f"{make.__name__}, {count:,}, {mode}: by distance {plain:.3f} ms, with details {distance:.3f} "
                        f"ms ({distance / plain:.2f}×), by detail {detail:.3f} ms ({detail / plain:.2f}×)"
                    )


def milliseconds(
    ranking: Ranking, queries: NDArray[np.uint8], details: NDArray[np.uint8], top_k: int
) -> NDArray[np.float64]:
    """Returns the median time of a query in each order."""
    times: list[list[float]] = []
    for code, detail in zip(queries[:ROUNDS], details[:ROUNDS], strict=True):
        both = Query({CODE: code, DETAIL: detail}, top_k)
        times.append([])
        for query in (Query({CODE: code}, top_k), both, replace(both, rank="detail")):
            started = time.perf_counter()
            ranking.search([query])
            times[-1].append(1000 * (time.perf_counter() - started))
    medians: NDArray[np.float64] = np.median(times[1:], axis=0)
    return medians


if __name__ == "__main__":
    main()

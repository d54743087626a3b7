"""Every way to search ten million codes must give the same answer: ``python -m benchmarks.exactness``.

faiss.IndexBinaryFlat and both modes, one thread and two, batches of 1 and 64, k of 1, 10 and 1000, on uniform and
clustered codes: every distance and every row must be the same. Prints so, or fails.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.codes import clustered, uniform
from searcher.scan.codes import write_codes
from searcher.scan.search import CodeIndex, Hits
from searcher.scan.table_builder import build_tables
from searcher.scan.tables import Mode, write_tables

BITS = 64
QUERIES = 64
MODES: tuple[Mode, ...] = ("default", "unnecessary fast")


def expected(codes: NDArray[np.uint8], queries: NDArray[np.uint8], k: int) -> list[Hits]:
    index = faiss.IndexBinaryFlat(BITS)
    index.add(codes)
    index.use_heap = False  # type: ignore[attr-defined]  # its counting collector keeps ties in row order
    return [Hits(*answer) for answer in zip(*index.search(queries, k), strict=True)]


def same(found: list[Hits], wanted: list[Hits]) -> bool:
    return all(
        np.array_equal(ours.distances, theirs.distances) and np.array_equal(ours.rows, theirs.rows)
        for ours, theirs in zip(found, wanted, strict=True)
    )


@click.command()
@click.option("--count", default=10_000_000, show_default=True, help="Codes.")
def main(count: int) -> None:
    """Compare all answers with those of faiss."""
    for make in (uniform, clustered):
        codes, queries = make(count, BITS, 0, QUERIES)
        with TemporaryDirectory(dir=Path.cwd()) as name:
            folder = Path(name)
            write_codes(codes, folder / "index.faiss")
            write_tables(build_tables(codes), folder)
            for k in (1, 10, 1000):
                wanted = expected(codes, queries, k)
                for mode in MODES:
                    for threads in (1, 2):
                        index = CodeIndex.open(folder, count=count, bits=BITS, mode=mode, threads=threads)
                        alone = [index.search(query[None], k)[0] for query in queries]
                        if not same(alone, wanted) or not same(index.search(queries, k), wanted):
                            raise SystemExit(f"{make.__name__}, k = {k}, {mode}, {threads} threads: another answer")
                click.echo(
                    f"{count:,} {make.__name__} codes, k = {k}: {QUERIES} queries, all answers as faiss gives them"
                )


if __name__ == "__main__":
    main()

"""What a filter of rows costs: ``python -m benchmarks.filters``.

The same queries over ten million codes, without a mask and with random masks, in turns; each time is a multiple of the
time without a mask.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from benchmarks.codes import clustered, uniform
from searcher.scan.codes import write_codes
from searcher.scan.search import CodeIndex

BITS = 64
ALLOWED = (None, 1.0, 0.5, 0.1, 0.01, 0.001, 0.0001)
ROUNDS = 15


@click.command()
@click.option("--count", default=10_000_000, show_default=True, help="Codes.")
def main(count: int) -> None:
    """Compare filtered search with the plain scan."""
    random = np.random.default_rng(0)
    masks = {
        share: None if share is None else np.packbits(random.random(count) < share, bitorder="little")
        for share in ALLOWED
    }
    for make in (uniform, clustered):
        codes, queries = make(count, BITS, 0)
        with TemporaryDirectory(dir=Path.cwd()) as folder:
            write_codes(codes, Path(folder) / "index.faiss")
            index = CodeIndex.open(Path(folder), count=count, bits=BITS)
            for batch in (1, 64):
                index.search(queries[:batch], 10)
                times: dict[float | None, list[float]] = {share: [] for share in masks}
                for start in range(ROUNDS):
                    for share, mask in masks.items():
                        started = time.perf_counter()
                        index.search(queries[start : start + batch], 10, allowed=mask)
                        times[share].append(time.perf_counter() - started)
                plain = float(np.median(times[None]))
                ratios = ", ".join(f"{share:.2%} {np.median(times[share]) / plain:.2f}×" for share in ALLOWED if share)
                click.echo(f"{make.__name__}, batch {batch}: {1000 * plain / batch:.3f} ms a query; allowed {ratios}")


if __name__ == "__main__":
    main()

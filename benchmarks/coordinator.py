"""How many images a second one coordinator takes from workers on many machines: ``python -m benchmarks.coordinator``.

Blocks of outcomes with codes of 64 and 256 bits, as actors send them: written to their files, read again, and given
rows in the image table and the files of vectors. Processor time of one core, each step by itself.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from contract.space import CODE, DETAIL, Space
from indexer.blocks import Blocks
from indexer.outcome import Embedded, Outcome
from indexer.raw_vectors import RawVectors
from indexer.ray_workers import BLOCK
from searcher.versions.images import IMAGES_FILE, ImageFile, ImageTable
from sources.source import Item

SPACES = (Space(name=CODE, width=64), Space(name=DETAIL, width=256))


def outcomes(start: int) -> list[Outcome]:
    found = []
    for row in range(start, start + BLOCK):
        path = f"data/{row // 1000:04d}.example/{row:08d}_product.jpg"
        file = ImageFile(path, 27_000 + row % 1000, 1_700_000_000_000_000_000 + row, os.urandom(16))
        found.append(Outcome(Item(path), [Embedded(file, {CODE: os.urandom(8), DETAIL: os.urandom(32)})]))
    return found


def rate(work: Callable[[int], object], blocks: int) -> float:
    """Returns images a second of processor time, of ``work`` on so many blocks."""
    started = time.process_time()
    for block in range(blocks):
        work(block * BLOCK)
    return blocks * BLOCK / (time.process_time() - started)


@click.command()
@click.option("--blocks", default=100, show_default=True)
def main(blocks: int) -> None:
    made = {start: outcomes(start) for start in range(0, blocks * BLOCK, BLOCK)}
    items = {start: [each.item for each in found] for start, found in made.items()}
    with TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch) / "1.5.0"
        folder.mkdir()
        kept, vectors = Blocks(folder), RawVectors(folder, SPACES)
        vectors.create()

        def give_rows(start: int) -> None:
            table.begin()
            for row, outcome in enumerate(made[start], start):
                for image in outcome.images:
                    assert isinstance(image, Embedded)
                    table.add(row, image.file)
                    vectors.append(image.vectors)
            vectors.sync()
            table.commit()

        written = rate(lambda start: kept.write(start, made[start]), blocks)
        size = sum(path.stat().st_size for path in Path(scratch).glob(".1.5.0.0*")) / (blocks * BLOCK)
        read = rate(lambda start: kept.read(start, items[start]), blocks)
        with ImageTable(folder / IMAGES_FILE, writable=True) as table, vectors.open(0):
            given = rate(give_rows, blocks)
    click.echo(
        f"blocks written {written:,.0f} images/s ({size:.0f} bytes each), read {read:,.0f}/s, rows {given:,.0f}/s"
    )
    click.echo(f"together {1 / (1 / written + 1 / read + 1 / given):,.0f} images/s")


if __name__ == "__main__":
    main()

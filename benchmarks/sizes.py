"""What a million images cost on disk, and the largest picture in memory: the README's table of sizes.

python -m benchmarks.sizes
"""

import io
import multiprocessing
import os
import tempfile
from pathlib import Path

import click
import numpy as np
from PIL import Image

from pictures.decode import decode
from pictures.preparation import Preprocessing
from searcher.scan.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.versions.images import IMAGES_FILE, ImageFile, ImageTable

IMAGES = 1_000_000


def peak() -> int:
    """Returns this process's peak resident MiB (getrusage would include its parent's memory at the fork)."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


def decode_largest(data: bytes) -> int:
    """Returns the MiB that decoding ``data`` adds to a process. Runs in its own process."""
    before = peak()
    decode(data, Preprocessing(image_size=128))
    return peak() - before


@click.command()
def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        table, index, details = (Path(scratch) / name for name in (IMAGES_FILE, INDEX_FILE, DETAILS_FILE))
        with ImageTable(table, writable=True) as images:
            images.begin()
            for row in range(IMAGES):
                path = f"data/{row // 1000:04d}.example/{row:08d}_product.jpg"
                images.add(row, ImageFile(path, 27_000 + row % 1000, 1_700_000_000_000_000_000 + row, os.urandom(16)))
            images.commit()
        for path_of, bits in ((index, 64), (details, 256)):
            write_codes(np.random.default_rng(0).integers(0, 256, (IMAGES, bits // 8), dtype=np.uint8), path_of)
        click.echo(f"a million images, paths of {len(path)} letters: {INDEX_FILE} {index.stat().st_size / 1e6:.0f} MB, "
                   f"{DETAILS_FILE} {details.stat().st_size / 1e6:.0f} MB, "
                   f"{IMAGES_FILE} {table.stat().st_size / 1e6:.0f} MB")  # fmt: skip
    for mode in ("RGB", "RGBA", "I;16"):
        stream = io.BytesIO()
        Image.new(mode, (9400, 9400)).save(stream, "PNG", compress_level=1)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            click.echo(f"decoding 9400 × 9400 {mode}: {pool.apply(decode_largest, (stream.getvalue(),))} MiB")


if __name__ == "__main__":
    main()

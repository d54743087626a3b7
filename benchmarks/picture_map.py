"""How long the map of an index takes to draw, and its tiles to read: ``python -m benchmarks.picture_map``.

The pictures are of 1,000 kinds, whose codes and detail codes differ in half of their bits; those of a kind differ in
one bit in twenty, in details one in seven. Drawn in a child process, as the gateway does, on one core; tiles are read
from the mapped file.
"""

import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from searcher.versions.picture_map import PictureMap, draw

KINDS = 1000


@click.command()
@click.option("--images", default=1_000_000, show_default=True)
@click.option("--tiles", default=500, show_default=True, help="tiles read at each zoom")
@click.option("--draw_in", type=click.Path(path_type=Path), hidden=True, help="draw what lies here, and nothing else")
def main(images: int, tiles: int, draw_in: Path | None) -> None:
    """Draw a map, read tiles, and print what that took."""
    if draw_in is not None:
        _draw(draw_in)
        return
    with tempfile.TemporaryDirectory() as folder:
        _make_vectors(images, Path(folder))
        command = [sys.executable, "-m", "benchmarks.picture_map", "--draw_in", folder]
        print(
            f"{images:,} images: {subprocess.run(command, check=True, capture_output=True, text=True).stdout}", end=""
        )
        path = Path(folder) / "map.npy"
        found = PictureMap.open(path, images)
        print(f"the file has {path.stat().st_size / 1e6:.1f} MB; the deepest zoom is {found.deepest}")
        chance = np.random.default_rng(1)
        for zoom in range(0, found.deepest + 1, 2):
            taken = []
            for x, y in chance.integers(0, 1 << zoom, (tiles, 2)).tolist():
                started = time.perf_counter()
                list(found.cells(zoom, x, y))
                taken.append(1000 * (time.perf_counter() - started))
            taken.sort()
            slowest = taken[int(0.99 * len(taken))]
            print(f"zoom {zoom}: a tile takes {statistics.median(taken):.3f} ms, 99% within {slowest:.3f} ms")


def _make_vectors(images: int, folder: Path) -> None:
    chance = np.random.default_rng(0)
    kinds = chance.integers(0, KINDS, images)
    for name, bits, noise in (("code", 64, 0.05), ("detail", 256, 1 / 7)):
        of_kinds = chance.integers(0, 2, (KINDS, bits), np.uint8)
        rows = np.empty((images, bits // 8), np.uint8)
        for start in range(0, images, 50_000):
            some = of_kinds[kinds[start : start + 50_000]]
            rows[start : start + 50_000] = np.packbits(some ^ (chance.random(some.shape) < noise), axis=1)
        np.save(folder / f"{name}.npy", rows)


def _draw(folder: Path) -> None:
    vectors = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("code", "detail")}
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    draw(vectors, folder / "map.npy")
    taken, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    held = int(most) / 1024
    print(f"drawn in {taken:.1f} s, {seconds:.1f} s of processor, at most {held:.0f} MiB of memory, the codes among it")


if __name__ == "__main__":
    main()

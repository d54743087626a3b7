"""Are duplicates duplicates? ``python -m benchmarks.copies MODEL FOLDER [--within BITS]``.

Of all photographs in FOLDER, 1,448 are taken, by the sha1 of their names; 50 of these get a copy: recompressed, resized
or slightly cropped, in turn. All pairs whose detail codes differ in no more bits than the card calls copies are
compared with the 50 true ones. The false pairs are named: they may be true ones that nobody knew.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.space import DETAIL
from embedding.cores import usable_cores
from embedding.torchscript import TorchScriptEmbedder
from pictures.decode import whole_picture
from training.pictures import pictures_below
from training.signatures import Signatures

PHOTOGRAPHS, COPIES = 1448, 50


def recompressed(picture: Image.Image, random: np.random.Generator) -> tuple[Image.Image, int]:
    return picture, int(random.integers(40, 80))


def resized(picture: Image.Image, random: np.random.Generator) -> tuple[Image.Image, int]:
    """To 40% to 80% of the width and height."""
    share = random.uniform(0.4, 0.8)
    size = (round(share * picture.width), round(share * picture.height))
    return picture.resize(size, Image.Resampling.LANCZOS), 85


def slightly_cropped(picture: Image.Image, random: np.random.Generator) -> tuple[Image.Image, int]:
    """Up to 5% off every side."""
    left, top, right, bottom = random.uniform(0.0, 0.05, 4) * np.tile(picture.size, 2)
    return picture.crop((round(left), round(top), round(picture.width - right), round(picture.height - bottom))), 85


CHANGES: tuple[Callable[[Image.Image, np.random.Generator], tuple[Image.Image, int]], ...] = (
    recompressed,
    resized,
    slightly_cropped,
)


def copy_of(path: Path, number: int) -> bytes:
    """Returns a JPEG file of the photograph at ``path``, changed in the way that ``number`` says."""
    changed, quality = CHANGES[number % len(CHANGES)](whole_picture(path.read_bytes()), np.random.default_rng(number))
    stream = BytesIO()
    changed.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def chosen(folder: Path) -> list[Path]:
    paths = list(pictures_below(folder))
    if len(paths) < PHOTOGRAPHS:
        raise click.ClickException(f"{folder} holds {len(paths)} pictures, and {PHOTOGRAPHS} are needed")
    return sorted(paths, key=lambda path: hashlib.sha1(path.name.encode(), usedforsecurity=False).digest())[
        :PHOTOGRAPHS
    ]


def distances_between(codes: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Returns int16 (n, n), and more than any distance where the column isn't after the row."""
    away = Signatures(codes).distances(Signatures(codes)).astype(np.int16)
    away[np.tri(len(codes), dtype=bool)] = np.iinfo(np.int16).max
    return away


@click.command()
@click.argument("model_path", metavar="MODEL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--within", type=click.IntRange(0), help="Bits within which two are copies.  [default: the card's]")
def main(model_path: Path, folder: Path, within: int | None) -> None:
    """Find 50 copies among 1,448 photographs, and nothing else."""
    model = TorchScriptEmbedder.load(model_path)
    if within is None:
        if model.card.calibration is None or model.card.calibration.copies_within is None:
            raise click.ClickException(f"the card of {model_path} doesn't say what a copy is: give --within")
        within = model.card.calibration.copies_within
    paths = chosen(folder)

    def hashed(data: bytes) -> NDArray[np.uint8]:
        return model.embed(model.prepare(data)[None])[DETAIL]

    with ThreadPoolExecutor(usable_cores()) as pool:
        codes = list(pool.map(lambda path: hashed(path.read_bytes()), paths))
        codes += pool.map(lambda number: hashed(copy_of(paths[number], number)), range(COPIES))
    away = distances_between(np.concatenate(codes))
    true = [(number, PHOTOGRAPHS + number) for number in range(COPIES)]
    for number, change in enumerate(CHANGES):
        own = [int(away[pair]) for pair in true[number :: len(CHANGES)]]
        click.echo(f"{change.__name__:17} {len(own)} copies, {min(own)} to {max(own)} bits from their originals")
    for limit in sorted({within, *range(0, 2 * within + 1, max(1, within // 8))}):
        pairs = {(int(one), int(other)) for one, other in np.argwhere(away <= limit)}
        found, false = len(pairs & {*true}), sorted(pairs - {*true}, key=lambda pair: away[pair])
        click.echo(f"within {limit:3} bits: {found} of {COPIES} copies, {len(false)} other pairs")
        if limit == within:
            for one, other in false:
                names = [
                    paths[row].name if row < PHOTOGRAPHS else f"copy of {paths[row - PHOTOGRAPHS].name}"
                    for row in (one, other)
                ]
                click.echo(f"    {away[one, other]:3} bits: {names[0]} and {names[1]}")


if __name__ == "__main__":
    main()

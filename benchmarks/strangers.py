"""Codes of pictures unlike a model's training pictures: ``python -m benchmarks.strangers MODEL FOLDER``.

A model that knows clothes could give all landscapes the few codes of its classes. This counts how many it gives.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from contract.space import Vectors
from embedding.cores import usable_cores
from embedding.torchscript import TorchScriptEmbedder
from training.codes import code_statistics
from training.pictures import pictures_below
from training.signatures import Signatures


@click.command()
@click.argument("model_path", metavar="MODEL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(model_path: Path, folder: Path) -> None:
    """Count distinct codes of the pictures in FOLDER."""
    model = TorchScriptEmbedder.load(model_path)
    paths = list(pictures_below(folder))
    if not paths:
        raise click.ClickException(f"{folder} holds no pictures")

    def hashed(path: Path) -> Vectors:
        return model.embed(model.prepare(path.read_bytes())[None])

    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(hashed, paths))
    for space in model.identity.spaces:
        _say(f"{space.name}, {space.width} bits", np.concatenate([each[space.name] for each in found]))


def _say(name: str, codes: NDArray[np.uint8]) -> None:
    found = code_statistics(codes)
    away = Signatures(codes).distances(Signatures(codes))[np.triu_indices(len(codes), 1)]
    click.echo(
        f"{name}: {found.pictures} pictures, {found.distinct:.1%} distinct, at most {found.largest_group} share one; "
        f"entropy {found.entropy:.3f} a bit; two pictures differ in {away.mean():.1f} bits, the closest hundredth "
        f"in at most {int(np.quantile(away, 0.01))}"
    )


if __name__ == "__main__":
    main()

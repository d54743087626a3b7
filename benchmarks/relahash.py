"""What β, m and the batch size of the RelaHash loss do: ``python -m benchmarks.relahash LABELS``.

Short trainings at 64 × 64 pixels that differ in nothing else, each over the same number of pictures; mAP@all of the
held-out pictures among the others. One seed each: differences of a few hundredths are chance.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch

from hashing.card import Preprocessing
from training.backbone import make_backbone
from training.checkpoint import Checkpoint
from training.pictures import read_labelled
from training.quality import mean_average_precision
from training.trainer import OVERSIZE, Recipe, Trainer

SIZE = 64
#: β, m, pictures a batch.
SETTINGS = [
    (8.0, 0.5, 128),
    (2.0, 0.5, 128),
    (4.0, 0.5, 128),
    (16.0, 0.5, 128),
    (8.0, 0.0, 128),
    (8.0, 0.25, 128),
    (8.0, 1.0, 128),
    (8.0, 0.5, 32),
    (16.0, 0.5, 32),
    (8.0, 0.5, 512),
    (4.0, 0.5, 512),
]


@click.command()
@click.argument("labels", type=click.Path(exists=True, path_type=Path))
@click.option("--epochs", default=20, show_default=True)
@click.option("--ignore_label", multiple=True, help="Leave out pictures with this label; may be repeated.")
def main(labels: Path, epochs: int, ignore_label: tuple[str, ...]) -> None:
    """Train with each of SETTINGS and compare."""
    preprocessing = Preprocessing(image_size=SIZE, reducing_gap=1.5, jpeg_draft=1.5)
    larger = preprocessing.model_copy(update={"image_size": round(SIZE * OVERSIZE)})
    ignored = frozenset(ignore_label)
    data = read_labelled(labels, larger, ignored)
    pictures = torch.from_numpy(read_labelled(labels, preprocessing, ignored).pictures).permute(0, 3, 1, 2) / 255.0
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    held = data.held_out
    lines = []
    for beta, margin, batch_size in SETTINGS:
        recipe = Recipe(epochs=epochs, beta=beta, margin=margin, batch_size=batch_size)
        with TemporaryDirectory() as folder:
            checkpoint = Checkpoint(Path(folder) / "state", "", click.echo)
            backbone = make_backbone("small", None, SIZE, recipe.seed)
            network = Trainer(data, preprocessing, recipe, backbone, torch.device("cpu"), checkpoint).run()[64]
        with torch.inference_mode():
            outputs = torch.cat([network((some - mean) / std) for some in torch.split(pictures, 128)])
        codes = np.packbits(outputs.numpy() > 0, axis=1)
        figure = mean_average_precision(codes[held], data.labels[held], codes[~held], data.labels[~held])
        distinct = len(np.unique(codes[held], axis=0)) / held.sum()
        lines.append(
            f"β {beta:4g}  m {margin:4g}  batch {batch_size:3d}  mAP@all {figure:.3f}  {distinct:.0%} distinct codes"
        )
        click.echo(lines[-1])
    click.echo("\n" + "\n".join(lines))


if __name__ == "__main__":
    main()

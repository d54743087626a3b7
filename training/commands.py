"""``hashlake train``: labelled pictures → a model file."""

from pathlib import Path

import click
import torch

from hashing.card import ModelCard, Preprocessing
from training.pictures import read_labelled
from training.trainer import OVERSIZE, Recipe, save_and_measure
from training.trainer import train as run_training


@click.command(short_help="Train a hash model from labelled pictures.")
@click.argument("labels_csv", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .pt file to write.")
@click.option("--bits", default=64, show_default=True, type=click.IntRange(8, 1024), help="Length of the codes.")
@click.option(
    "--image_size", default=128, show_default=True, type=click.IntRange(32, 1024), help="Input size in pixels."
)
@click.option("--epochs", default=150, show_default=True, type=click.IntRange(1), help="Passes over the pictures.")
@click.option("--seed", default=0, show_default=True, help="Start of every random choice.")
@click.option("--ignore_label", multiple=True, help="Leave out pictures with this label; may be repeated.")
def train(
    labels_csv: Path, out: Path, bits: int, image_size: int, epochs: int, seed: int, ignore_label: tuple[str, ...]
) -> None:
    """Train a RelaHash model from scratch on the pictures that LABELS_CSV lists (columns path and label, paths
    relative to the file) and write it as TorchScript with its card inside.

    A tenth of the pictures, chosen by file name, is held out and measured: mAP@all of ranking the others by
    Hamming distance. The figure goes into the card.
    """
    if bits % 8:
        raise click.BadParameter(f"{bits} is no multiple of 8", param_hint="--bits")
    if not out.parent.is_dir():
        raise click.BadParameter(f"the folder {out.parent} does not exist", param_hint="--out")
    preprocessing = Preprocessing(image_size=image_size, reducing_gap=1.5, jpeg_draft=2.0)
    larger = preprocessing.model_copy(update={"image_size": round(image_size * OVERSIZE)})
    recipe = Recipe(bits=bits, epochs=epochs, seed=seed)
    data = read_labelled(labels_csv, larger, frozenset(ignore_label))
    trained_on = int((~data.validation).sum())
    click.echo(f"{trained_on} pictures to train on, {int(data.validation.sum())} held out, {len(data.classes)} classes")
    network = run_training(data, preprocessing, recipe, click.echo)
    card = ModelCard(
        name=out.stem,
        bits=bits,
        preprocessing=preprocessing,
        training={
            "data": labels_csv.parent.name,
            "pictures": trained_on,
            "classes": list(data.classes),
            "epochs": epochs,
            "seed": seed,
            "method": "RelaHash, from scratch",
            "torch": torch.__version__,
        },
    )
    originals = read_labelled(labels_csv, preprocessing, frozenset(ignore_label)).pictures
    card = save_and_measure(network, data, card, out, originals)
    click.echo(f"{out}: mAP@all {card.training['mAP@all']} on {card.training['queries']} held-out pictures")

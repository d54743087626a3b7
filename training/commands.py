"""``hashlake train``: labelled pictures → model files."""

import hashlib
from pathlib import Path

import click
import torch
from pydantic import JsonValue

from hashing.card import ModelCard, Preprocessing
from hashing.device import find_device
from training.backbone import make_backbone
from training.checkpoint import Checkpoint
from training.evaluation import label_numbers
from training.export import save_and_measure
from training.network import DETAIL_BITS, SHAPES
from training.pictures import LabelledPictures, read_labelled
from training.split import held_out_split
from training.trainer import FRESH_RATE, OVERSIZE, TRAINED_RATE, Recipe, Trainer

_WIDTHS = "{bits}"


@click.command(short_help="Train a hash model from labelled pictures.")
@click.argument("labels", type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .pt file to write.")
@click.option(
    "--bits", multiple=True, default=[64], show_default=True, type=click.IntRange(8, 1024),
    help="Length of the codes. Given several times, one training makes a model of each; {bits} in --out says which.",
)  # fmt: skip
@click.option("--network", default="small", show_default=True, type=click.Choice(list(SHAPES)), help="Size of network.")
@click.option("--backbone", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Weights to begin with.")
@click.option("--image_size", type=click.IntRange(32, 1024), help="Input size in pixels.  [default: the network's]")
@click.option("--epochs", default=200, show_default=True, type=click.IntRange(1), help="Passes over the pictures.")
@click.option(
    "--patience", type=click.IntRange(1),
    help="Stop after so many epochs that were no better on a validation split, a tenth that is then not trained on.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Start of every random choice.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:0.")
@click.option("--ignore_label", multiple=True, help="Leave out pictures with this label; may be repeated.")
def train(
    labels: Path,
    out: Path,
    bits: tuple[int, ...],
    network: str,
    backbone: Path | None,
    image_size: int | None,
    epochs: int,
    patience: int | None,
    seed: int,
    device: str,
    ignore_label: tuple[str, ...],
) -> None:
    """Train a RelaHash model on labelled pictures: LABELS is a CSV (columns path and label, paths relative to the
    file), or a folder that has a folder of pictures for each label. It is written as TorchScript with its card inside.

    A tenth of the pictures, chosen by file name, is held out and measured as hashlake evaluate does; the figures go
    into the card. Run again after a kill, the same command goes on where it stopped.

    --backbone takes TorchScript (any network from pictures to features), an earlier model, or a state_dict; the latter
    two of the network's size, or of a size with fewer blocks (small for medium).
    """
    bits = tuple(dict.fromkeys(bits))
    outs = _outs(out, bits)
    target = find_device(device)
    size = image_size or SHAPES[network].image_size
    preprocessing = Preprocessing(image_size=size, reducing_gap=1.5, jpeg_draft=1.5)
    larger = preprocessing.model_copy(update={"image_size": round(size * OVERSIZE)})
    fresh = backbone is None
    rate = FRESH_RATE if fresh else TRAINED_RATE
    recipe = Recipe(bits=bits, epochs=epochs, patience=patience, learning_rate=rate, grows=fresh, seed=seed)
    ignored = frozenset(ignore_label)
    data = read_labelled(labels, larger, ignored)
    split = held_out_split(labels, ignored)
    label_numbers(split)  # raises what would otherwise show when the training is over
    purpose = _purpose(data, preprocessing, recipe, network, backbone, target)
    checkpoint = Checkpoint(out.with_name(f".{out.name}.checkpoint"), purpose, click.echo)
    trainer = Trainer(data, preprocessing, recipe, make_backbone(network, backbone, size, seed), target, checkpoint)
    held = int(data.held_out.sum())
    click.echo(f"{trainer.trained_on} pictures to train on, {held} held out, {len(data.classes)} classes")
    notes: dict[str, JsonValue] = {
        "data": (labels.resolve() if labels.is_dir() else labels.resolve().parent).name,
        "pictures": trainer.trained_on,
        "network": network if backbone is None else f"{network}, begun with {backbone.name}",
        "epochs": epochs,
        "patience": patience,
        "batch_size": recipe.batch_size,
        "beta": recipe.beta,
        "margin": recipe.margin,
        "seed": seed,
        "method": "RelaHash",
        "torch": torch.__version__,
    }
    for width, trained in trainer.run().items():
        card = ModelCard(
            name=outs[width].stem,
            bits=width,
            detail_bits=DETAIL_BITS,
            classes=tuple(data.classes),
            preprocessing=preprocessing,
            training=notes,
        )
        evaluation = save_and_measure(trained, card, outs[width], split)
        figure = evaluation.methods[0].figures["mAP@all"]
        click.echo(f"{outs[width]}: mAP@all {figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]")
    checkpoint.remove()


def _outs(out: Path, bits: tuple[int, ...]) -> dict[int, Path]:
    """The file of each width."""
    for width in bits:
        if width % 8:
            raise click.BadParameter(f"{width} is no multiple of 8", param_hint="--bits")
    if len(bits) > 1 and _WIDTHS not in out.name:
        raise click.BadParameter(f"several widths need {_WIDTHS} in the name", param_hint="--out")
    if not out.parent.is_dir():
        raise click.BadParameter(f"the folder {out.parent} does not exist", param_hint="--out")
    return {width: out.with_name(out.name.replace(_WIDTHS, str(width))) for width in bits}


def _purpose(
    data: LabelledPictures,
    preprocessing: Preprocessing,
    recipe: Recipe,
    network: str,
    backbone: Path | None,
    device: torch.device,
) -> str:
    """All that decides the weights: another training must not go on from this one's checkpoint."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    digest.update(repr((preprocessing, recipe, network, device.type, data.classes, torch.__version__)).encode())
    for array in (data.pictures, data.labels, data.held_out, data.validation):
        digest.update(array.tobytes())
    if backbone:
        digest.update(backbone.read_bytes())
    return digest.hexdigest()

"""``hashlake train``: labelled pictures → model files."""

import hashlib
from pathlib import Path

import click
import torch
from pydantic import JsonValue
from torch import nn

from contract.terminal import say
from embedding.card import ModelCard
from embedding.device import find_device
from pictures.preparation import NEWEST_DECODING, Preprocessing
from sources.left_out import LeftOut
from training.backbone import check_fit, make_backbone
from training.checkpoint import Checkpoint
from training.efficientnet import VARIANTS, EfficientNetLite
from training.evaluation import label_numbers
from training.export import save_and_measure
from training.kept import Tune
from training.network import DETAIL_BITS, SHAPES
from training.pictures import LabelledPictures, read_labelled
from training.recipe import FRESH_RATE, OVERSIZE, TOP_BATCH, TOP_RATE, TRAINED_RATE, Recipe
from training.split import held_out_split
from training.trainer import Trainer

_WIDTHS = "{bits}"

#: Pixels per side for an EfficientNet: it was made for more, and then takes twice the time.
_SIZE = 160


@click.command(short_help="Train a hash model from labelled pictures.")
@click.argument("labels", type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .pt file to write.")
@click.option(
    "--bits", multiple=True, default=[64], show_default=True, type=click.IntRange(8, 1024),
    help="Length of the codes. Given several times, one training makes a model of each; {bits} in --out says which.",
)  # fmt: skip
@click.option("--network", default="small", show_default=True, type=click.Choice(list(SHAPES)), help="Size of network.")
@click.option(
    "--backbone",
    metavar="FILE|" + "|".join(VARIANTS),
    help="What to begin with: a file, or a network that knows ImageNet.",
)
@click.option(
    "--tune", type=click.Choice(["frozen", "top", "full"]),
    help="What of the backbone is trained: nothing, its last part or all.  [default: top of EfficientNets, else full]",
)  # fmt: skip
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
    backbone: str | None,
    tune: Tune | None,
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

    --backbone takes the name of an EfficientNet that knows ImageNet, TorchScript (any network from pictures to
    features), an earlier model, or a state_dict; the latter two of the network's size, or of a size with fewer blocks
    (small for medium). An earlier model on an EfficientNet stays one.
    """
    bits = tuple(dict.fromkeys(bits))
    outs = _outs(out, bits)
    target = find_device(device)
    size = image_size or (_SIZE if backbone in VARIANTS else SHAPES[network].image_size)
    made = make_backbone(network, backbone, size, seed)
    tune = tune or ("top" if isinstance(made, EfficientNetLite) else "full")
    check_fit(made, tune, size)
    preprocessing = Preprocessing(
        decoding=NEWEST_DECODING, image_size=size, reducing_gap=1.5, jpeg_draft=1.5, mean=made.mean, std=made.std
    )
    larger = preprocessing.model_copy(update={"image_size": round(size * OVERSIZE)})
    fresh = backbone is None
    recipe = Recipe(
        bits=bits,
        epochs=epochs,
        patience=patience,
        batch_size=Recipe.batch_size if tune == "full" else TOP_BATCH,
        learning_rate=FRESH_RATE if fresh else TRAINED_RATE if tune == "full" else TOP_RATE,
        tune=tune,
        grows=fresh and tune == "full",
        seed=seed,
    )
    ignored = frozenset(ignore_label)
    data = read_labelled(labels, larger, ignored)
    left_out = LeftOut()
    split = held_out_split(labels, ignored, left_out)
    if left_out.total():
        say(left_out.told(), err=True)
    label_numbers(split)  # raises early what would otherwise fail after the training
    purpose = _purpose(data, preprocessing, recipe, network, made, target)
    checkpoint = Checkpoint(out.with_name(f".{out.name}.checkpoint"), purpose, say)
    trainer = Trainer(data, preprocessing, recipe, made, target, checkpoint)
    held = int(data.held_out.sum())
    say(f"{trainer.trained_on} pictures to train on, {held} held out, {len(data.classes)} classes")
    notes: dict[str, JsonValue] = {
        "data": (labels.resolve() if labels.is_dir() else labels.resolve().parent).name,
        "pictures": trainer.trained_on,
        "network": _described(network, made, backbone),
        "tune": tune,
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
        say(f"{outs[width]}: mAP@all {figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]")
    checkpoint.remove()


def _described(network: str, made: nn.Module, backbone: str | None) -> str:
    """Returns the network in words, and what it began with."""
    if backbone is None or backbone in VARIANTS:
        return backbone or network
    kind = next((name for name, each in VARIANTS.items() if getattr(made, "variant", None) == each), network)
    return f"{kind}, begun with {Path(backbone).name}"


def _outs(out: Path, bits: tuple[int, ...]) -> dict[int, Path]:
    """Returns the file of each width."""
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
    backbone: nn.Module,
    device: torch.device,
) -> str:
    """Returns everything that decides the weights: a different training must not resume this one's checkpoint."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    digest.update(repr((preprocessing, recipe, network, device.type, data.classes, torch.__version__)).encode())
    for array in (data.pictures, data.labels, data.held_out, data.validation):
        digest.update(array.tobytes())
    for value in backbone.state_dict().values():
        digest.update(value.float().numpy().tobytes())
    return digest.hexdigest()

"""``hashlake models import``: weights that others trained → a model file."""

import os
from pathlib import Path
from typing import get_args

import click

from contract.terminal import say
from detection.card import Form
from pictures.formats import SUFFIXES
from training.errors import TrainingError
from training.importing.detectors import import_detector
from training.importing.model import read_imported, write_model
from training.importing.networks import Activation
from training.pictures import LabelledFile

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(short_help="Bring models that others trained.")
def models() -> None:
    """Model files."""


@models.command("import", short_help="Turn weights into a model file.")
@click.option(
    "--architecture", metavar="NAME",
    help="ViT-B/32, RN50, resnet34, moco_v2, dino_vitb8, …; torchscript for any TorchScript from pictures to vectors.",
)  # fmt: skip
@click.option("--weights", type=_FILE, help="OpenAI's .pt, .safetensors, or a checkpoint.")
@click.option("--detector", type=_FILE, help="Instead of both: a detector as TorchScript, such as YOLO's exports.")
@click.option("--label", multiple=True, metavar="NAME", help="A detector's labels, in the order of their numbers.")
@click.option("--form", type=click.Choice(get_args(Form)), help="What a detector answers.  [default: by its shape]")
@click.option(
    "--threshold", default=0.25, show_default=True, type=click.FloatRange(0, 1), help="The least score of a detector."
)
@click.option(
    "--overlap", default=0.45, show_default=True, type=click.FloatRange(0, 1),
    help="A detector's boxes that overlap with a better one by more are left out.",
)  # fmt: skip
@click.option(
    "--activation", type=click.Choice(get_args(Activation)),
    help="What CLIP weights that aren't OpenAI's were trained with: their names at open_clip end with -quickgelu.",
)  # fmt: skip
@click.option(
    "--calibrate", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER",
    help="Pictures like those to be searched, to which the codes are fitted. With a folder for each kind of thing, "
    "named as what it shows, answers have closeness, too.",
)  # fmt: skip
@click.option(
    "--bits", default="512", show_default=True, type=click.Choice(["256", "512"]), help="Length of the codes."
)
@click.option("--image_size", type=click.IntRange(8, 2048), help="Input size of a TorchScript in pixels.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: below torchscripts_models]",
)
def import_(
    architecture: str | None,
    weights: Path | None,
    detector: Path | None,
    label: tuple[str, ...],
    form: Form | None,
    threshold: float,
    overlap: float,
    activation: Activation | None,
    calibrate: Path | None,
    bits: str,
    image_size: int | None,
    out: Path | None,
) -> None:
    """Turn weights into one TorchScript file with everything that a server needs: image tower, text tower with its
    tokenizer, preprocessing, and codes for the search. Its vectors are compared with those of the library that the
    architecture comes from. Nothing is downloaded.

    With --detector, a detector's file with a card: what it answers for test pictures is checked first."""
    if detector is not None:
        if architecture or weights or not label or image_size is None:
            raise click.UsageError("--detector needs --label and --image_size, and no --architecture or --weights")
        out = _place(out, detector.stem)
        made = import_detector(detector, out, label, image_size, form, threshold, overlap)
        say(f"{out}: a detector of the form {made.card.form}, of {', '.join(made.labels)}")
        return
    if architecture is None or weights is None:
        raise click.UsageError("give --architecture and --weights, or --detector")
    pictures = _pictures(calibrate) if calibrate else []
    imported = read_imported(architecture, weights, activation, image_size)
    out = _place(out, imported.name)
    model = write_model(imported, out, int(bits), pictures)
    words = f", words up to {imported.context_length} tokens" if imported.tokenizer else ", no words"
    say(
        f"{out}: {model.card.embedding_width} dimensions, codes of {bits} bits{words}, "
        f"{os.stat(out).st_size / 1e6:.0f} MB"
    )
    if not pictures:
        say("its codes are fitted to no pictures: --calibrate FOLDER makes searches faster", err=True)
    elif model.card.calibration is None:
        say(f"{calibrate} has no folders for two kinds of things: answers will have no closeness", err=True)


def _place(out: Path | None, name: str) -> Path:
    """The file to write, in a folder that is there."""
    out = out or Path("torchscripts_models") / f"{name}.pt"
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


def _pictures(folder: Path) -> list[LabelledFile]:
    """Returns the pictures below ``folder``, in a stable order; their labels are the folders in it, and empty in none.
    Raises TrainingError if there are no pictures."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise TrainingError(f"{folder} has no pictures to calibrate with")
    below = [path.relative_to(folder).parts for path in found]
    return [
        LabelledFile(path, parts[0].strip() if len(parts) > 1 else "") for path, parts in zip(found, below, strict=True)
    ]

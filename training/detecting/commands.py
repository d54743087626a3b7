"""``hashlake train-detector``: pictures with boxes → a detector's file."""

import hashlib
import shutil
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from contract.terminal import say
from detection.card import CARD_FILE
from detection.fitting import Floats
from training.checkpoint import Checkpoint
from training.detecting.export import curves, write_detector
from training.detecting.kept import compiled, kept
from training.detecting.labels import LabelledSet, read_labels
from training.detecting.network import Eye, Neck
from training.detecting.trainer import Trainer, told
from training.detecting.views import view
from training.efficientnet import pretrained
from training.errors import TrainingError
from training.pictures import held_out
from training.progress import Epochs


@click.command(short_help="Train a detector from pictures with boxes.")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .pt file to write.")
@click.option(
    "--begin", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A detector that was trained so, such as the shipped one, to begin with.",
)  # fmt: skip
@click.option(
    "--image_size", default=320, show_default=True, type=click.IntRange(64, 1024), help="Input size in pixels."
)
@click.option("--views", default=4, show_default=True, type=click.IntRange(1, 100), help="Views of each picture.")
@click.option("--epochs", default=30, show_default=True, type=click.IntRange(1), help="Passes over all views.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Start of every random choice.")
def train_detector(
    folder: Path, out: Path, begin: Path | None, image_size: int, views: int, epochs: int, seed: int
) -> None:
    """Train a detector on the pictures in FOLDER, with boxes as YOLO, COCO or annotation files give them. A tenth of
    the pictures, chosen by file name, is held out: its recall and precision are in the card and, by epoch, in a page
    beside the file.

    The network is EfficientNet-Lite0, which stays as it is, and a neck that is trained. Run again after a kill, the
    same command goes on where it stopped.
    """
    if image_size % 32:
        raise click.BadParameter(f"{image_size} is no multiple of 32", param_hint="--image_size")
    if not out.parent.is_dir():
        raise click.BadParameter(f"the folder {out.parent} does not exist", param_hint="--out")
    torch.set_num_threads(1)
    data = read_labels(folder)
    held = [each for each in data.pictures if held_out(each.path.name)]
    trained_on = [each for each in data.pictures if not held_out(each.path.name)]
    if not held or not trained_on:
        raise TrainingError(f"{folder} has {len(data.pictures)} pictures: too few to hold a tenth out")
    torch.manual_seed(seed)
    neck = Neck(len(data.labels))
    if begin is not None:
        _begin(neck, begin)
    say(f"{len(trained_on)} pictures to train on, {len(held)} held out, labels: {', '.join(data.labels)}")
    eye = Eye(pretrained("efficientnet-lite0")[0])
    fast, cache = compiled(eye, image_size), out.with_name(f".{out.name}.seen")
    purpose = _purpose(data, image_size, views, seed)

    def of_training(number: int) -> tuple[NDArray[np.uint8], Floats]:
        which, turn = divmod(number, views)
        return view(trained_on[which], turn, seed + which)

    def of_held_out(number: int) -> tuple[NDArray[np.uint8], Floats]:
        return view(held[number], 0, seed)

    unseen = kept(of_held_out, len(held), fast, image_size, cache, f"{purpose}-held", lambda _: None)
    with Epochs("views", 1, 0) as looking:
        seen = kept(of_training, len(trained_on) * views, fast, image_size, cache, purpose, lambda _: None)
        looking.done(f"{len(seen)}")
    started = "" if begin is None else hashlib.sha256(begin.read_bytes()).hexdigest()
    checkpoint = Checkpoint(out.with_name(f".{out.name}.checkpoint"), f"{purpose} {epochs} {started}", say)
    trainer = Trainer(neck, seen, unseen, epochs, seed, checkpoint)
    with Epochs("boxes", epochs, trainer.epoch) as progress:
        trained, history = trainer.run(lambda epoch: progress.done(told(epoch)))
    last = history[-1]
    training: dict[str, JsonValue] = {
        "data": folder.resolve().name,
        "pictures": len(trained_on),
        "held_out": {"pictures": len(held), "recall": round(last.recall, 4), "precision": round(last.precision, 4)},
        "network": "efficientnet-lite0, its ImageNet weights unchanged",
        "begun_with": begin.name if begin else None,
        "views": views,
        "epochs": epochs,
        "seed": seed,
        "torch": torch.__version__,
    }
    write_detector(eye, trained, out, data.labels, image_size, last, training)
    out.with_suffix(".html").write_text(curves(out.stem, history), encoding="utf-8")
    checkpoint.remove()
    shutil.rmtree(cache)
    say(f"{out}: recall {last.recall:.3f}, precision {last.precision:.3f} at the threshold {last.threshold:.2f}")


def _begin(neck: Neck, path: Path) -> None:
    """Give ``neck`` the weights of the detector at ``path``; its scores stay fresh where it has other labels."""
    extra: dict[str, str | bytes] = {CARD_FILE: ""}
    try:
        module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"{path} is not a TorchScript file") from error
    values = {name.removeprefix("neck."): value.float() for name, value in module.state_dict().items()}
    own = neck.state_dict()
    if own["score.weight"].shape != values.get("score.weight", torch.empty(0)).shape:
        values |= {name: own[name] for name in ("score.weight", "score.bias")}
    if not extra[CARD_FILE] or any(name not in values or values[name].shape != own[name].shape for name in own):
        raise TrainingError(f"{path} is no detector that hashlake train-detector made")
    neck.load_state_dict({name: values[name] for name in own})


def _purpose(data: LabelledSet, *more: object) -> str:
    """Returns what decides the views, in short."""
    digest = hashlib.sha256(repr((data.labels, more)).encode())
    for each in data.pictures:
        status = each.path.stat()
        digest.update(f"{each.path} {status.st_size} {status.st_mtime_ns}".encode())
        digest.update(each.boxes.tobytes())
    return digest.hexdigest()[:16]

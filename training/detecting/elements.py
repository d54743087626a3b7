"""``python -m training.detecting.elements``: makes the shipped detector, of figures on pages and of a photograph's main
object.

EfficientNet-Lite0 from its package, which stays as it is
photographs ─▶ figures on composed pages, most of them aged ┐
garments    ─▶ things cut out, pasted on grounds            ┴─▶ what the eye sees, kept in files ─▶ neck ─▶ model, card
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from contract.terminal import say
from detection.fitting import Floats
from training.checkpoint import Checkpoint
from training.detecting.composed import LABELS
from training.detecting.export import curves, write_detector
from training.detecting.kept import Make, compiled, kept
from training.detecting.material import Material
from training.detecting.network import Eye, Neck
from training.detecting.trainer import Trainer, told
from training.efficientnet import pretrained
from training.pictures import held_out_photograph, pictures_below
from training.progress import Epochs

#: Composed pages and photographs that are held out.
_HELD_OUT = (180, 60)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("photographs", type=_FOLDER)
@click.argument("garments", type=_FOLDER)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The .pt file to write.")
@click.option("--cache", required=True, type=_FOLDER, help="Folder for what the eye saw: about 0.3 MB a picture.")
@click.option("--pages", default=2400, show_default=True, type=click.IntRange(1), help="Pages to compose.")
@click.option("--objects", default=800, show_default=True, type=click.IntRange(1), help="Photographs to compose.")
@click.option("--garments_used", default=600, show_default=True, type=click.IntRange(1), help="Garments to cut out.")
@click.option(
    "--image_size", default=320, show_default=True, type=click.IntRange(64, 1024), help="Input size in pixels."
)
@click.option("--epochs", default=10, show_default=True, type=click.IntRange(1), help="Passes over the pictures.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Start of every random choice.")
def main(
    photographs: Path,
    garments: Path,
    out: Path,
    cache: Path,
    pages: int,
    objects: int,
    garments_used: int,
    image_size: int,
    epochs: int,
    seed: int,
) -> None:  # fmt: skip
    """Make the detector of PHOTOGRAPHS and GARMENTS, folders of pictures. Three tenths of each, chosen by file name,
    are held out: of these the pages and photographs are composed that give the figures in the card."""
    torch.set_num_threads(1)
    taken, clothes = _parted(photographs), _parted(garments)
    material = lru_cache(lambda: Material(taken[0], clothes[0][:garments_used]))
    unseen = lru_cache(lambda: Material(taken[1], clothes[1][: garments_used // 4]))
    eye = Eye(pretrained("efficientnet-lite0")[0])
    fast = compiled(eye, image_size)
    purpose = _purpose(photographs.name, garments.name, image_size, pages, objects, garments_used, seed)

    def composed(count: int) -> None:
        if count % 320 == 0:
            say(f"composed {count}")

    held_out = kept(
        _maker(unseen, _HELD_OUT[0], seed + 1), sum(_HELD_OUT), fast, image_size, cache, f"{purpose}-held", composed
    )
    seen = kept(_maker(material, pages, seed), pages + objects, fast, image_size, cache, purpose, composed)
    checkpoint = Checkpoint(out.with_name(f".{out.name}.checkpoint"), f"{purpose} {epochs}", say)
    torch.manual_seed(seed)
    trainer = Trainer(Neck(len(LABELS)), seen, held_out, epochs, seed, checkpoint)
    with Epochs("boxes", epochs, trainer.epoch) as progress:
        neck, history = trainer.run(lambda epoch: progress.done(told(epoch)))
    last = history[-1]
    training: dict[str, JsonValue] = {
        "data": [photographs.resolve().name, garments.resolve().name],
        "composed": {"pages": pages, "objects": objects, "garments": garments_used},
        "held_out": {
            "pages": _HELD_OUT[0], "objects": _HELD_OUT[1], "recall": round(last.recall, 4),
            "precision": round(last.precision, 4),
        },
        "network": "efficientnet-lite0, its ImageNet weights unchanged",
        "epochs": epochs,
        "seed": seed,
        "torch": torch.__version__,
    }  # fmt: skip
    write_detector(eye, neck, out, LABELS, image_size, last, training)
    out.with_suffix(".html").write_text(curves(out.stem, history), encoding="utf-8")
    checkpoint.remove()
    say(f"{out}: recall {last.recall:.3f}, precision {last.precision:.3f} at the threshold {last.threshold:.2f}")


def _parted(folder: Path) -> tuple[Sequence[Path], Sequence[Path]]:
    """The pictures below ``folder`` to train on, and those held out."""
    paths = sorted(pictures_below(folder))
    held = [path for path in paths if held_out_photograph(path.name)]
    return [path for path in paths if not held_out_photograph(path.name)], held


def _maker(material: Callable[[], Material], pages: int, seed: int) -> Make:
    """Composes picture after picture by number: first ``pages`` pages, then photographs."""

    def make(number: int) -> tuple[NDArray[np.uint8], Floats]:
        random = np.random.default_rng([seed, number])
        composed = material().page(random) if number < pages else material().object(random)
        return np.asarray(composed.picture), composed.boxes

    return make


def _purpose(*what: object) -> str:
    """Returns what decides the composed pictures, in short."""
    digest = hashlib.sha256(repr(what).encode())
    for name in ("ageing", "composed", "drawings", "material", "objects", "pages", "writing"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    main()

"""A trained neck → a detector's file with its card, and the curves of its training."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import JsonValue

from detection.card import DetectorCard
from detection.torchscript import save_detector
from training.detecting.kept import FIT
from training.detecting.network import DetectorNetwork, Eye, Neck
from training.detecting.trainer import Epoch
from training.efficientnet import MEAN, STD
from training.general_network import with_half_weights
from training.plots import lines
from training.report import page


def write_detector(
    eye: Eye, neck: Neck, out: Path, labels: Sequence[str], size: int, epoch: Epoch, training: dict[str, JsonValue]
) -> None:
    """Write both, at half precision, to ``out``, whole or not at all. ``epoch``, the last, gives threshold and
    overlap."""
    card = DetectorCard(
        name=out.stem, labels=tuple(labels), width=size, height=size, fit=FIT, form="boxes",
        threshold=epoch.threshold, overlap=epoch.overlap, mean=MEAN, std=STD, training=training,
    )  # fmt: skip
    beside = out.with_name(f".{out.name}.part")
    try:
        save_detector(torch.jit.script(with_half_weights(DetectorNetwork(eye, neck).eval())), card, beside)
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)


def curves(name: str, history: Sequence[Epoch]) -> str:
    """Returns a page that shows how a training went."""
    shares = {"recall": [each.recall for each in history], "precision": [each.precision for each in history]}
    last = history[-1]
    return page(
        f"Training of {name}",
        [
            f"<p>{len(history)} epochs. On what was held out, at an overlap of one half and the threshold "
            f"{last.threshold:.2f}: recall {last.recall:.3f}, precision {last.precision:.3f}.</p>",
            lines("Recall and precision by epoch", "epoch", shares),
            "<h2>Loss</h2>",
            lines("Loss by epoch", "epoch", {"loss": [each.loss for each in history]}),
        ],
    )

"""Labelled pictures to a TorchScript hash model with its card.

    decode once → epochs (augment → network → RelaHash loss → AdamW) → script, save with card → measure the saved file

The first three fifths of the epochs run at three quarters of the resolution: half the arithmetic, and batch
normalisation settles well before the end.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hashing.card import ModelCard, Preprocessing
from hashing.model import HashModel, save_model
from training.network import HashNetwork
from training.pictures import LabelledPictures, augment
from training.quality import TIES, mean_average_precision
from training.relahash import RelaHashLoss, far_apart_centroids

#: Pictures are kept this much larger than the network's input, so that crops still have pixels.
OVERSIZE = 1.25


@dataclass(frozen=True)
class Recipe:
    """What decides a training run, beside the pictures."""

    bits: int = 64
    epochs: int = 150
    batch_size: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    seed: int = 0


def train(
    data: LabelledPictures, preprocessing: Preprocessing, recipe: Recipe, report: Callable[[str], None]
) -> HashNetwork:
    """Train from scratch on the pictures that aren't held out; one line an epoch goes to ``report``."""
    torch.manual_seed(recipe.seed)
    random = torch.Generator().manual_seed(recipe.seed)
    network = HashNetwork(recipe.bits)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of = RelaHashLoss(far_apart_centroids(len(data.classes), recipe.bits, recipe.seed))
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    pictures = torch.from_numpy(data.pictures[~data.validation])
    labels = torch.from_numpy(data.labels[~data.validation])
    mean = torch.tensor(preprocessing.mean).reshape(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).reshape(1, 3, 1, 1)
    batches = max(1, len(pictures) // recipe.batch_size)
    total = recipe.epochs * batches
    bfloat16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    started, step = time.monotonic(), 0
    for epoch in range(recipe.epochs):
        network.train()
        full = preprocessing.image_size
        size = full if epoch >= recipe.epochs * 3 // 5 else max(32, full * 3 // 4 // 16 * 16)
        order = torch.randperm(len(pictures), generator=random)
        sum_of_losses = 0.0
        for rows in order.tensor_split(batches):
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * _schedule(step / total)
            inputs = (augment(pictures[rows], size, random) - mean) / std
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                outputs = network(inputs.contiguous(memory_format=torch.channels_last))
            loss = loss_of(outputs.float(), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            sum_of_losses += loss.item()
            step += 1
        report(
            f"epoch {epoch + 1}/{recipe.epochs}  {size} px  loss {sum_of_losses / batches:.4f}  "
            f"{time.monotonic() - started:.0f} s"
        )
    return network.eval()


def _schedule(progress: float) -> float:
    """Learning rate as a share of its peak: up over the first twentieth, then down along a cosine."""
    warm = 0.05
    if progress < warm:
        return progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


def save_and_measure(
    network: HashNetwork, data: LabelledPictures, card: ModelCard, path: Path, originals: NDArray[np.uint8]
) -> ModelCard:
    """Save ``network`` at ``path`` with ``card``, whose figures are measured on the saved file itself.

    ``originals`` are the pictures of ``data`` as the model will be given them, uint8 (n, image_size, image_size, 3).
    """
    scripted = torch.jit.script(network)
    save_model(scripted, card, path)
    model = HashModel.load(path)
    codes = np.concatenate([model.codes(chunk) for chunk in np.array_split(originals, max(1, len(originals) // 32))])
    held = data.validation
    figure = mean_average_precision(codes[held], data.labels[held], codes[~held], data.labels[~held])
    card = card.model_copy(
        update={"training": card.training | {"mAP@all": round(figure, 4), "queries": int(held.sum()), "ties": TIES}}
    )
    save_model(scripted, card, path)
    return card

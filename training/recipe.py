"""The settings of a training, and how picture size and learning rate change on the way."""

import math
from dataclasses import dataclass

from training.kept import Tune

#: Peak learning rates: of a fresh network, and of one that starts from trained weights.
FRESH_RATE, TRAINED_RATE = 4e-3, 5e-4

#: Of the top of a trained network: it learns from many small steps (docs/quality.md).
TOP_RATE, TOP_BATCH = 1e-3, 48

#: Pictures are kept this much larger than the network's input, so that crops still have enough pixels.
OVERSIZE = 1.25

#: (share of the epochs, size): up to that share, pictures have that size, from the first size (0) to the full one (1).
_SIZES = ((0.6, 0.0), (0.85, 0.5), (1.0, 1.0))
_LEAST_SIZE = 96

#: Share of the epochs in which half of the batches are mixed; afterwards pictures look as they will when served.
MIXED = 0.8

#: Weights are averaged over about this share of the steps: fewer leave noise, more keep what smaller pictures taught.
AVERAGED = 1 / 17


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run, apart from the pictures and the backbone.

    ``patience``: the class training stops after so many epochs without a better validation accuracy; None trains to the
    end, on the validation pictures too. ``tune``: what of the backbone is trained (training/kept.py). ``grows``:
    pictures start small, which suits a fresh network whose every part is trained.
    """

    bits: tuple[int, ...] = (64,)
    epochs: int = 200
    patience: int | None = None
    batch_size: int = 128
    learning_rate: float = FRESH_RATE
    tune: Tune = "full"
    weight_decay: float = 0.05
    beta: float = 8.0
    margin: float = 0.5
    grows: bool = True
    seed: int = 0

    @property
    def detail_epochs(self) -> int:
        return max(4, self.epochs // 10) if self.tune == "full" else max(8, self.epochs // 2)


def size_at(progress: float, full: int) -> int:
    """Returns the pixels per side of the pictures at ``progress`` through the epochs."""
    first = max(min(full, _LEAST_SIZE), full // 2)
    share = next(share for until, share in _SIZES if progress < until)
    size = first + share * (full - first)
    return full if share == 1.0 else max(min(full, 32), int(size) // 16 * 16)


def schedule(progress: float) -> float:
    """Returns the learning rate as a share of its peak: up over the first twentieth, then down along a cosine."""
    warm = 0.05
    if progress < warm:
        return progress / warm
    return 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))

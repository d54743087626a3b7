"""Trains a detector's neck on what its eye saw.

kept maps ─▶ neck ─▶ loss ─▶ AdamW, averaged weights
each epoch ─▶ recall and precision of the averaged neck on what was held out ─▶ curves
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from detection.overlap import distinct
from training.checkpoint import Checkpoint
from training.detecting.kept import Kept
from training.detecting.losses import detection_loss, responsible
from training.detecting.network import STRIDE, Neck, ranked
from training.detecting.quality import counted

_BATCH = 8
_RATE, _DECAY = 1.5e-3, 0.02
#: Of the steps, the share that warms up; and the share that averaging looks back on.
_WARM, _AVERAGED = 0.03, 0.03
_SAVE_SECONDS = 20.0

#: Boxes of one label that overlap by more are one: which of these is best is seen on what is held out; of equal ones
#: the first.
OVERLAPS = (0.5, 0.35, 0.2)
#: The least score that is looked at.
_LEAST = 0.05


@dataclass(frozen=True)
class Epoch:
    """How an epoch went: its mean loss, and the shares of boxes found and of findings right at the best threshold and
    ``overlap`` on what was held out."""

    loss: float
    recall: float
    precision: float
    threshold: float
    overlap: float = OVERLAPS[0]


def told(epoch: Epoch) -> str:
    """Returns how an epoch went, in a line."""
    return f"loss {epoch.loss:.3f}  recall {epoch.recall:.3f}  precision {epoch.precision:.3f}"


class Trainer:
    """Trains ``neck`` on ``seen`` for ``epochs``, from the ``checkpoint`` on, and measures on ``held_out``."""

    def __init__(self, neck: Neck, seen: Kept, held_out: Kept, epochs: int, seed: int, checkpoint: Checkpoint) -> None:
        self._neck, self._seen, self._held_out = neck, seen, held_out
        self._epochs, self._seed = epochs, seed
        self._checkpoint = checkpoint
        self._per_epoch = max(1, len(seen) // _BATCH)
        look_back = max(1.0, _AVERAGED * epochs * self._per_epoch)
        average = get_ema_multi_avg_fn(1 - 1 / look_back)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(neck, multi_avg_fn=average, use_buffers=True)
        self._optimiser = torch.optim.AdamW(neck.parameters(), lr=_RATE, weight_decay=_DECAY)
        side = seen.size // STRIDE
        self._owners = [responsible(torch.from_numpy(boxes), side) for boxes in seen.boxes]
        self._boxes = [torch.from_numpy(boxes) for boxes in seen.boxes]
        self._history: list[Epoch] = []
        state = checkpoint.load()
        if state:
            self._neck.load_state_dict(state["neck"])
            self._average.load_state_dict(state["average"])
            self._optimiser.load_state_dict(state["optimiser"])
            self._history = [Epoch(**each) for each in state["history"]]

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self._history)

    def run(self, done: Callable[[Epoch], None]) -> tuple[Neck, list[Epoch]]:
        """Train; ``done`` hears of each epoch. Returns the averaged neck in eval mode, and how each epoch went."""
        history = self._history
        saved = time.monotonic()
        for epoch in range(len(history), self._epochs):
            loss = self._epoch(epoch)
            history.append(Epoch(loss, *measured(self.averaged, self._held_out)))
            done(history[-1])
            if time.monotonic() - saved > _SAVE_SECONDS or epoch == self._epochs - 1:
                self._checkpoint.save(
                    {
                        "neck": self._neck.state_dict(),
                        "average": self._average.state_dict(),
                        "optimiser": self._optimiser.state_dict(),
                        "history": [asdict(each) for each in history],
                    }
                )
                saved = time.monotonic()
        return self.averaged, history

    @property
    def averaged(self) -> Neck:
        neck = self._average.module.eval()
        assert isinstance(neck, Neck)
        return neck

    def _epoch(self, epoch: int) -> float:
        self._neck.train()
        random = torch.Generator().manual_seed(self._seed * 1000 + epoch)
        order = torch.randperm(len(self._seen), generator=random).tolist()
        total = 0.0
        for step in range(self._per_epoch):
            rows = order[step * _BATCH : (step + 1) * _BATCH]
            for group in self._optimiser.param_groups:
                group["lr"] = _RATE * _schedule((epoch * self._per_epoch + step) / (self._epochs * self._per_epoch))
            cells = self._neck(*self._seen.rows(rows))
            owners = torch.stack([self._owners[row] for row in rows])
            loss = detection_loss(cells, owners, [self._boxes[row] for row in rows])
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._neck.parameters(), 10.0)
            self._optimiser.step()
            self._average.update_parameters(self._neck)
            total += loss.item()
        return total / self._per_epoch


def _schedule(done: float) -> float:
    return done / _WARM if done < _WARM else 0.5 * (1 + math.cos(math.pi * (done - _WARM) / (1 - _WARM)))


def measured(neck: Neck, held_out: Kept) -> tuple[float, float, float, float]:
    """Returns recall, precision, threshold and overlap with the greatest harmonic mean of the first two, of the boxes
    that ``neck`` finds on ``held_out``."""
    found: list[Tensor] = []
    with torch.inference_mode():
        for first in range(0, len(held_out), _BATCH):
            found += list(ranked(neck(*held_out.rows(range(first, min(len(held_out), first + _BATCH))))))
    best = []
    for overlap in OVERLAPS:
        kept = [distinct(each.numpy(), _LEAST, overlap) for each in found]
        best.append((*counted(kept, held_out.boxes).best(), overlap))
    return max(best, key=lambda each: 2 * each[0] * each[1] / max(1e-9, each[0] + each[1]))

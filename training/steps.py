"""Trains a head on what a backbone has already seen: so many steps along a schedule, weights averaged over the last."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from training.progress import Epochs

Head = TypeVar("Head", bound=nn.Module)

_RATE, _WEIGHT_DECAY = 2e-3, 0.02
#: Weights are averaged over about this many steps.
_AVERAGED = 33
_STEPS_AN_EPOCH = 20


def train_head(what: str, head: Head, loss_of: Callable[[], Tensor], steps: int, more: Sequence[Tensor] = ()) -> Head:
    """Returns ``head`` as averaged over the last of ``steps`` steps of AdamW down ``loss_of()``, in eval mode.

    ``more``: further tensors to train. ``what`` is shown with the progress.
    """
    optimiser = torch.optim.AdamW([*head.parameters(), *more], _RATE, weight_decay=_WEIGHT_DECAY)
    average = get_ema_multi_avg_fn(1 - 1 / _AVERAGED)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(head, multi_avg_fn=average, use_buffers=True)
    head.train()
    with Epochs(what, math.ceil(steps / _STEPS_AN_EPOCH), 0) as epochs:
        total = 0.0
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = _RATE * _schedule(step / steps)
            loss = loss_of()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            averaged.update_parameters(head)
            total += loss.item()
            if (step + 1) % _STEPS_AN_EPOCH == 0 or step + 1 == steps:
                epochs.done(f"loss {total / (step % _STEPS_AN_EPOCH + 1):.4f}")
                total = 0.0
    return averaged.module.eval()  # type: ignore[return-value]


def _schedule(progress: float) -> float:
    """Up over the first twentieth, then down along a cosine."""
    return min(1.0, 20 * progress + 0.05) * 0.5 * (1 + math.cos(math.pi * progress))


def mixed_precision() -> AbstractContextManager[Any]:
    """bfloat16 where the processor computes in it."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported())

"""Codes for the classes of a trained classifier, from its directions alone: no picture is needed.

    directions (classes, channels) ─▶ how alike two classes are ─▶ codes whose agreement follows it

Two classes whose directions point nearly the same way get codes with most bits in common; the rest are half the bits
apart, as random codes are. Signs have no gradient, so tanh's is used (training/details.py).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.details import signs

#: Agreement, −1…1, of the most alike pair of a thousand, and the least that is aimed at.
_ALIKE, _UNLIKE = 0.6, -0.1
_STEPS, _RATE = 400, 0.05
#: Alike pairs are few among a million: each counts so much more.
_WEIGHT = 20.0


def class_codes(directions: Tensor, bits: int, seed: int) -> Tensor:
    """Returns float32 (classes, bits) of ±1 for ``directions``, float32 (classes, channels)."""
    random = torch.Generator().manual_seed(seed)
    centred = functional.normalize(directions - directions.mean(0))
    wanted = _agreement(centred @ centred.T)
    left, strength, _ = torch.linalg.svd(centred - centred.mean(0), full_matrices=False)
    rank = min(bits, len(strength))
    turn = torch.linalg.qr(torch.randn(bits, bits, generator=random))[0][:rank]
    start = (left[:, :rank] * strength[:rank]) @ turn
    values = (start / start.std()).requires_grad_()
    optimiser = torch.optim.Adam([values], _RATE)
    weight = 1 + _WEIGHT * (wanted > 0.1)
    for _ in range(_STEPS):
        codes = signs(values)
        found = codes @ codes.T / bits
        loss = (weight * (found - wanted).square()).mean() + codes.mean(0).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return torch.where(values.detach() > 0, 1.0, -1.0)


def _agreement(cosines: Tensor) -> Tensor:
    """Returns the agreement, −1…1, to aim at: 0 for the median pair, _ALIKE for the most alike of a thousand."""
    classes = len(cosines)
    others = cosines[~torch.eye(classes, dtype=torch.bool)].sort().values
    median, alike = others[len(others) // 2], others[math.floor(0.999 * (len(others) - 1))]
    wanted = ((cosines - median) / (alike - median)).clamp(_UNLIKE / _ALIKE, 1.0) * _ALIKE
    return wanted.fill_diagonal_(1.0)

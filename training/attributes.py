"""Trains the head that tells a garment's kind, colour and pattern.

drawn garments          kind, colour, pattern            known
photographs of clothes  kind                             by their labels;  colours as the pixels have them
any photographs         none                             assumed;          colours as the pixels have them
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.colours import COLOURS
from training.steps import train_head
from training.words_network import ATTRIBUTE_INPUTS, Attributes

#: Pictures of each source in a batch.
_BATCH = 96
#: What isn't known of a picture.
NOT_KNOWN = -1
#: How far inputs are disturbed, in standard deviations, for want of more pictures.
_NOISE = 0.1


@dataclass(frozen=True)
class Described:
    """``inputs`` (n, ATTRIBUTE_INPUTS); ``garments``, ``colours`` and ``patterns``, int64 (n,): places in the lists of
    their names, NOT_KNOWN, and for garments one more, for none."""

    inputs: Tensor
    garments: Tensor
    colours: Tensor
    patterns: Tensor


def train_attributes(sources: list[Described], steps: int, seed: int) -> Attributes:
    """Returns the head, in eval mode. It sees as many pictures of each source as of the others."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    head = Attributes()
    scale = torch.cat([each.inputs for each in sources]).std(0)

    def loss() -> Tensor:
        rows = [torch.randint(len(each.inputs), (_BATCH,), generator=random) for each in sources]
        inputs, garments, colours, patterns = (
            torch.cat([getattr(each, name)[some] for each, some in zip(sources, rows, strict=True)])
            for name in ("inputs", "garments", "colours", "patterns")
        )
        disturbed = inputs + _NOISE * scale * torch.randn(inputs.shape, generator=random)
        garment, colour, pattern = head(disturbed)
        return (
            functional.cross_entropy(garment, garments, ignore_index=NOT_KNOWN, label_smoothing=0.05)
            + functional.cross_entropy(colour, _colours(inputs, colours))
            + functional.cross_entropy(pattern, patterns, ignore_index=NOT_KNOWN, label_smoothing=0.05)
        )

    return train_head("attributes", head, loss, steps)


def _colours(inputs: Tensor, known: Tensor) -> Tensor:
    """Shares of colours (n, colours): the one that is known, or the subject's as its pixels have them."""
    count = len(COLOURS)
    measured = inputs[:, ATTRIBUTE_INPUTS - 2 * count : ATTRIBUTE_INPUTS - count]
    told = functional.one_hot(known.clamp_min(0), count).float()
    return torch.where((known == NOT_KNOWN)[:, None], measured, told)

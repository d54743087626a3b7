"""A small convolutional network for 32 × 32 pictures with a RelaHash head for each of several widths.

The backbone follows K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024: a fixed first layer that
whitens 2 × 2 patches, then three pairs of 3 × 3 convolutions, with pooling before the normalisation, so that most of
the work happens at 15 × 15 and below.
"""

import torch
from torch import Tensor, nn

#: Channels of the three pairs of convolutions.
WIDTHS = (64, 256, 256)

_PATCH = 2


def whitening(pictures: Tensor) -> Tensor:
    """Returns filters, float32 (24, 3, 2, 2), that whiten the patches of normalised ``pictures`` (n, 3, h, w).

    They are the eigenvectors of the patches' covariance, each divided by the root of its eigenvalue, and their
    negatives: the next layer clips below zero, and so sees both halves.
    """
    patches = nn.functional.unfold(pictures, _PATCH).transpose(1, 2).reshape(-1, 3 * _PATCH * _PATCH)
    values, vectors = torch.linalg.eigh(patches.T.cov())
    filters = (vectors / (values + 5e-4).sqrt()).T.reshape(-1, 3, _PATCH, _PATCH)
    return torch.cat([filters, -filters])


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    """(n, inputs, h, w) → (n, outputs, h // 2, w // 2)."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class CifarNetwork(nn.Module):
    """Normalised pictures (n, 3, 32, 32) float → outputs (n, sum of ``bits``), head by head; their signs are the codes.
    ``filters``: see ``whitening``."""

    def __init__(self, filters: Tensor, bits: list[int]) -> None:
        super().__init__()
        channels = len(filters)
        self.whiten = nn.Conv2d(3, channels, _PATCH, bias=False)
        self.whiten.weight = nn.Parameter(filters, requires_grad=False)
        pairs: list[nn.Module] = []
        for width in WIDTHS:
            pairs.append(_pair(channels, width))
            channels = width
        self.pairs = nn.Sequential(*pairs)
        for layer in self.pairs.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.dirac_(layer.weight[: layer.in_channels])  # starts as the identity
        self.heads = nn.Sequential(nn.Linear(channels, sum(bits), bias=False), nn.BatchNorm1d(sum(bits)))

    def forward(self, x: Tensor) -> Tensor:
        features = self.pairs(nn.functional.silu(self.whiten(x))).amax((2, 3))
        outputs: Tensor = self.heads(features)
        return outputs

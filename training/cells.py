"""A backbone that tells what fills each part of a picture.

EfficientNet-Lite0 ─▶ levels, each averaged over 4 × 4 cells ─▶ cells (n, 16, CELL_CHANNELS)
                   ─▶ channels' means and root mean squares ──▶ grain (n, GRAIN_CHANNELS)
                   ─▶ features (n, 1280)
"""

import torch
from torch import Tensor, nn

from training.efficientnet import EfficientNetLite

#: Cells along each side: as many as the last level has at 128 pixels.
GRID = 4

#: Channels of the levels of Lite0 that cells have; the last but one also gives its maxima. Those of which the grain is.
_CELL_LEVELS, _GRAIN_LEVELS = (24, 40, 112, 320), (16, 24, 40)
CELL_CHANNELS = 3 + sum(_CELL_LEVELS) + 112
GRAIN_CHANNELS = 2 * sum(_GRAIN_LEVELS)


class CellBackbone(nn.Module):
    """Pictures (n, 3, size, size) float, normalised → ``features`` (n, 1280), ``cells`` (n, 16, CELL_CHANNELS) and
    ``grain`` (n, GRAIN_CHANNELS), by a Lite0 ``network``."""

    def __init__(self, network: EfficientNetLite) -> None:
        super().__init__()
        self.network = network
        self.mean = nn.AdaptiveAvgPool2d(GRID)
        self.maximum = nn.AdaptiveMaxPool2d(GRID)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        turned = x.flip((2, 3))  # as the network sees it
        cells, grain = [self.mean(turned)], []
        y = self.network.stem(turned)
        for place, stretch in enumerate(self.network.stretches):
            y = stretch(y)
            if place < 3:
                grain += [y.mean((2, 3)), (y * y).mean((2, 3)).sqrt()]
            if place > 0:
                cells.append(self.mean(y))
            if place == 3:
                cells.append(self.maximum(y))
        features = self.network.head(y).mean((2, 3))
        return features, torch.cat(cells, 1).flatten(2).transpose(1, 2), torch.cat(grain, 1)

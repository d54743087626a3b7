"""The network that hashlake ships: a small residual backbone and the RelaHash head.

The backbone is a ResNet (He et al., 2016) with BasicBlocks, narrow enough for one CPU core: 2.3 million parameters,
about 0.1 billion multiply-adds at 128 × 128. The head is RelaHash's: a linear layer without bias, then batch
normalisation, which balances every bit (an output is above zero for about half of the pictures).
"""

import torch
from torch import Tensor, nn

STEM = (24, 32)
STAGES = ((32, 1, 1), (64, 1, 2), (128, 2, 2), (224, 2, 2))  # channels, blocks, stride of the first block


def _conv(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut; (n, inputs, h, w) → (n, outputs, h / stride, w / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, 3, stride)
        self.second = _conv(outputs, outputs, 3, 1)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = _conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(torch.relu(self.first(x)))
        return torch.relu(y + self.shortcut(x))


class HashNetwork(nn.Module):
    """Normalised pictures (n, 3, size, size) float → real-valued outputs (n, bits) whose signs are the code."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in STEM:
            layers += [_conv(channels, width, 3, 2), nn.ReLU()]
            channels = width
        for width, blocks, stride in STAGES:
            for block in range(blocks):
                layers.append(BasicBlock(channels, width, stride if block == 0 else 1))
                channels = width
        self.backbone = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Linear(channels, bits, bias=False), nn.BatchNorm1d(bits))

    def forward(self, x: Tensor) -> Tensor:
        features = self.backbone(x).mean((2, 3))
        outputs: Tensor = self.head(features)
        return outputs

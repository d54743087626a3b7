"""What a detector's eye sees in each picture: computed once, kept in files, trained on often.

number ─▶ a picture and its boxes (composed, or a labelled file) ─▶ a square ─▶ eye ─▶ a file of 32 pictures

A file is written whole, so a killed run goes on behind the last.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from detection.fitting import Fit, Floats, fitted
from training.detecting.network import CHANNELS, Eye, Maps
from training.efficientnet import MEAN, STD

_A_FILE, _BATCH = 32, 8

#: Pages and photographs fill the square: more pixels for each.
FIT: Fit = "stretch"

#: Makes the picture of a number, uint8 (h, w, 3), with its boxes, float32 (m, 5) in its pixels.
Make = Callable[[int], tuple[NDArray[np.uint8], Floats]]


@dataclass(frozen=True)
class Kept:
    """``maps``: what ``Eye`` answered, float16 (n, values) in parts, mapped, each row three maps one after the other;
    ``boxes`` float32 (m, 5) of each picture, in the square's pixels; ``size`` of the square."""

    maps: Sequence[NDArray[np.float16]]
    boxes: Sequence[Floats]
    size: int

    def __len__(self) -> int:
        return len(self.boxes)

    def rows(self, rows: Sequence[int]) -> Maps:
        """Returns the maps of ``rows``, float32."""
        found = np.stack([self.maps[row // _A_FILE][row % _A_FILE] for row in rows])
        sides = [self.size // stride for stride in (8, 16, 32)]
        shapes = [(channels, side, side) for channels, side in zip(CHANNELS, sides, strict=True)]
        ends = np.cumsum([channels * high * wide for channels, high, wide in shapes])
        parts = np.split(found.astype(np.float32), ends[:-1], axis=1)
        one, two, three = (
            torch.from_numpy(part.reshape(-1, *shape)) for part, shape in zip(parts, shapes, strict=True)
        )
        return one, two, three


def kept(
    make: Make, count: int, eye: nn.Module, size: int, folder: Path, purpose: str, done: Callable[[int], None]
) -> Kept:
    """Returns what ``eye``, compiled, sees in ``count`` pictures at ``size`` pixels, kept below ``folder`` in files
    named after ``purpose``; ``done`` hears how many there are after each file."""
    folder.mkdir(parents=True, exist_ok=True)
    maps: list[NDArray[np.float16]] = []
    boxes: list[Floats] = []
    for first in range(0, count, _A_FILE):
        path = folder / f"{purpose}-{first:06d}.npz"
        if not path.exists():
            squares, found = [], []
            for number in range(first, min(count, first + _A_FILE)):
                picture, labelled = make(number)
                square = fitted(picture, size, size, FIT)
                squares.append(square.picture)
                found.append(square.forward(labelled))
            _write(path, _seen(eye, np.stack(squares)), found)
        part, ends = _read(path)
        maps.append(part)
        boxes += ends
        done(len(boxes))
    return Kept(maps, boxes, size)


def compiled(eye: Eye, size: int) -> nn.Module:
    """Returns ``eye`` for batches of squares of ``size``, several times as fast."""
    torch.jit.enable_onednn_fusion(True)
    found: nn.Module = torch.jit.freeze(torch.jit.script(eye.eval()))
    with torch.inference_mode():
        for _ in range(3):  # TorchScript compiles in the third run
            found(torch.zeros(_BATCH, 3, size, size))
    return found


def normalised(squares: NDArray[np.uint8]) -> Tensor:
    """Returns ``squares``, uint8 (n, size, size, 3), as the network takes them."""
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    rows = torch.from_numpy(np.ascontiguousarray(squares.transpose(0, 3, 1, 2)))  # as the eye was compiled for
    return (rows.float() / 255 - mean) / std


def _seen(eye: nn.Module, squares: NDArray[np.uint8]) -> NDArray[np.float16]:
    parts = []
    with torch.inference_mode():
        for start in range(0, len(squares), _BATCH):
            batch = normalised(squares[start : start + _BATCH])
            fill = batch.new_zeros(_BATCH - len(batch), *batch.shape[1:])  # kernels depend on the size of the batch
            maps = eye(torch.cat((batch, fill)))
            parts.append(torch.cat([each.flatten(1) for each in maps], 1)[: len(batch)].half().numpy())
    return np.concatenate(parts)


def _write(path: Path, maps: NDArray[np.float16], boxes: list[Floats]) -> None:
    """Two files, the second of which says that both are whole."""
    np.save(path.with_suffix(".maps.npy"), maps)
    beside = path.with_name(f".{path.name}")
    with beside.open("wb") as file:
        np.savez(file, boxes=np.concatenate(boxes), ends=np.cumsum([len(each) for each in boxes]))
    os.replace(beside, path)


def _read(path: Path) -> tuple[NDArray[np.float16], list[Floats]]:
    with np.load(path) as stored:
        boxes = np.split(stored["boxes"], stored["ends"][:-1])
    return np.load(path.with_suffix(".maps.npy"), mmap_mode="r"), boxes

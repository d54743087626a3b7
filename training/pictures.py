"""Labelled pictures: a CSV and a folder in, uint8 arrays out; and the augmentation that training applies to them.

All pictures are decoded once, by hashing's own decoder, and kept in memory a little larger than the network's input,
so that an epoch costs no decoding: 1 GB holds 13,000 pictures of 160 × 160.
"""

import csv
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hashing.card import Preprocessing
from hashing.errors import ImageError
from hashing.picture import decode
from training.errors import TrainingError


@dataclass(frozen=True)
class LabelledFile:
    """One row of a list of labelled pictures; ``path`` can be opened as it stands."""

    path: Path
    label: str


@dataclass(frozen=True)
class LabelledPictures:
    """``pictures`` uint8 (n, size, size, 3); ``labels`` int64 (n,) into ``classes``; ``validation`` bool (n,)."""

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    validation: NDArray[np.bool_]


def held_out(path: str, one_in: int = 10) -> bool:
    """Whether a picture is kept for validation: decided by its file's name, so no shuffle can ever leak it."""
    digest = hashlib.sha1(Path(path).name.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") % one_in == 0


def read_list(csv_path: Path, ignored_labels: frozenset[str]) -> list[LabelledFile]:
    """The rows of ``csv_path`` (columns ``path`` and ``label``, paths relative to it), without the ignored labels."""
    try:
        with csv_path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{csv_path} cannot be read: {error}") from error
    if not rows or not {"path", "label"} <= rows[0].keys():
        raise TrainingError(f"{csv_path} needs a header line with the columns path and label, and rows below it")
    for number, row in enumerate(rows, 2):
        if not row["path"] or not row["label"]:
            raise TrainingError(f"{csv_path} has no path or no label in row {number}")
    return [
        LabelledFile(csv_path.parent / row["path"], row["label"]) for row in rows if row["label"] not in ignored_labels
    ]


def read_labelled(csv_path: Path, preprocessing: Preprocessing, ignored_labels: frozenset[str]) -> LabelledPictures:
    """Decode the pictures that ``csv_path`` lists (see ``read_list``)."""
    files = read_list(csv_path, ignored_labels)
    classes = sorted({file.label for file in files})
    if len(classes) < 2:
        raise TrainingError(f"{csv_path} has {len(classes)} labels; training needs at least 2")

    def picture(file: LabelledFile) -> NDArray[np.uint8]:
        try:
            return decode(file.path.read_bytes(), preprocessing)
        except (OSError, ImageError) as error:
            raise TrainingError(f"{file.path}: {error}") from error

    with ThreadPoolExecutor() as pool:
        pictures = np.stack(list(pool.map(picture, files)))
    validation = np.array([held_out(file.path.name) for file in files])
    if not validation.any() or (~validation).sum() < 2:
        raise TrainingError(f"{csv_path} lists {len(files)} pictures: too few to hold a tenth out for validation")
    index = {name: number for number, name in enumerate(classes)}
    return LabelledPictures(pictures, np.array([index[file.label] for file in files]), classes, validation)


def augment(batch: Tensor, size: int, random: torch.Generator) -> Tensor:
    """Random crop, stretch, rotation, mirror image and colours of ``batch``.

    uint8 (n, s, s, 3) → float32 in 0…1, (n, 3, size, size). One affine map and one resampling a picture.
    """
    n = len(batch)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=random) * (high - low) + low

    scale = uniform(0.4, 1.0).sqrt()
    stretch = uniform(-0.25, 0.25).exp()
    width, height = (scale * stretch).clamp(max=1.0), (scale / stretch).clamp(max=1.0)
    angle = uniform(-0.25, 0.25)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = width * angle.cos() * flip, -height * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = width * angle.sin() * flip, height * angle.cos()
    theta[:, 0, 2] = uniform(-1, 1) * (1 - width)
    theta[:, 1, 2] = uniform(-1, 1) * (1 - height)
    grid = functional.affine_grid(theta, [n, 3, size, size], align_corners=False)
    images = batch.permute(0, 3, 1, 2).float() / 255.0
    images = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    def factor(spread: float) -> Tensor:
        return uniform(1 - spread, 1 + spread).reshape(n, 1, 1, 1)

    images = images * factor(0.3)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * factor(0.3) + mean
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * factor(0.4) + grey
    side = size // 3
    for row in torch.nonzero(uniform(0, 1) < 0.3).flatten().tolist():  # hide a square: parts must do without the rest
        top, left = torch.randint(0, size - side, (2,), generator=random).tolist()
        images[row, :, top : top + side, left : left + side] = mean[row].item()
    return images.clamp(0.0, 1.0)

"""What a fixed backbone sees in many changed copies of many pictures: computed once, kept in files, trained on often.

    a labelled list        each picture                                           ┐
    a folder of any others each picture, its six parts and its four quarters      ┴─▶ views of each ─▶ backbone ─▶ files

A part has a picture's variety at no cost. The first view of each is the picture itself; the others are drawn by
``training.views``. A file holds the views of some pictures and is written whole, so a killed run goes on behind the
last.
"""

import hashlib
import inspect
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import training.views
from contract.terminal import say
from pictures.decode import shrunken
from pictures.preparation import Preprocessing
from training.cells import CELL_CHANNELS, GRAIN_CHANNELS, GRID, CellBackbone
from training.views import view

#: Pictures are reduced to this many times the model's size before they are changed: most of the work is there.
_OVERSIZE = 2.125
#: Whole pictures have so many times the views of their parts.
_WHOLE = 2
_BATCH, _PICTURES_A_FILE = 16, 64


class Seen(NamedTuple):
    """``cells`` (n, 16, CELL_CHANNELS), ``grain`` (n, GRAIN_CHANNELS) and ``features`` (n, 1280): float16 on disk."""

    cells: Tensor
    grain: Tensor
    features: Tensor

    def rows(self, rows: Tensor) -> "Seen":
        """Returns those of ``rows``, int64 (m,), in float32."""
        return Seen(*(part[rows].float() for part in self))


@dataclass(frozen=True)
class Subject:
    """A picture to make views of: the part ``box`` (left, top, right, bottom, as shares of its sides) of a file.

    ``tiling`` names the way that its file was parted: parts of one tiling don't overlap, and those of two may.
    """

    path: Path
    tiling: str
    box: tuple[float, float, float, float]
    views: int

    @property
    def name(self) -> str:
        return f"{self.path.name} {self.tiling} {self.box}"


@dataclass(frozen=True)
class Views:
    """``seen``: of every view. ``subject``: int64 (n,), whose view it is; the first row of each is the picture itself.
    ``file`` and ``tiling``: int64 (subjects,), numbers of the subject's file and of its tiling."""

    seen: Seen
    subject: Tensor
    file: Tensor
    tiling: Tensor

    @property
    def first(self) -> Tensor:
        """int64 (subjects,): the row of each picture itself."""
        return torch.searchsorted(self.subject, torch.arange(len(self.file)))

    @property
    def count(self) -> Tensor:
        """int64 (subjects,): how many views each has."""
        return torch.bincount(self.subject, minlength=len(self.file))


def whole(paths: Sequence[Path], views: int) -> list[Subject]:
    return [Subject(path, "whole", (0.0, 0.0, 1.0, 1.0), views) for path in paths]


def parted(paths: Sequence[Path], views: int) -> list[Subject]:
    """Each picture whole, in 3 × 2 and in 2 × 2 parts."""
    subjects = []
    for path in paths:
        subjects += whole([path], _WHOLE * views)
        for tiling, across, down in (("six", 3, 2), ("four", 2, 2)):
            subjects += [
                Subject(path, tiling, (x / across, y / down, (x + 1) / across, (y + 1) / down), views)
                for y in range(down)
                for x in range(across)
            ]
    return subjects


def see(backbone: CellBackbone, subjects: Sequence[Subject], preprocessing: Preprocessing, cache: Path) -> Views:
    """Returns what ``backbone``, in eval mode, sees in the views of ``subjects``; what ``cache``, a folder, has of them
    isn't computed again."""
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.jit.enable_onednn_fusion(True)  # as embedding/torchscript.py
    compiled = torch.jit.freeze(torch.jit.script(backbone))
    parts = []
    for start in range(0, len(subjects), _PICTURES_A_FILE):
        some = subjects[start : start + _PICTURES_A_FILE]
        path = cache / f"{_purpose(backbone, some, preprocessing)}.npy"
        if not path.exists():
            seen = [_seen(compiled, batch, preprocessing) for batch in _batches(_all_views(some, preprocessing))]
            beside = path.with_suffix(".new")
            with beside.open("wb") as file:
                np.save(file, np.concatenate(seen))
            os.replace(beside, path)
            say(f"views of {min(start + _PICTURES_A_FILE, len(subjects)):,} of {len(subjects):,} pictures")
        parts.append(np.load(path))
    together = torch.from_numpy(np.concatenate(parts))
    grain_from, features_from = GRID**2 * CELL_CHANNELS, GRID**2 * CELL_CHANNELS + GRAIN_CHANNELS
    files, tilings = ([getattr(each, name) for each in subjects] for name in ("path", "tiling"))
    return Views(
        Seen(
            together[:, :grain_from].view(-1, GRID**2, CELL_CHANNELS),
            together[:, grain_from:features_from],
            together[:, features_from:],
        ),
        torch.repeat_interleave(torch.tensor([each.views for each in subjects])),
        *(torch.from_numpy(np.unique(names, return_inverse=True)[1]) for names in ([*map(str, files)], tilings)),
    )


def _seen(backbone: nn.Module, pictures: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float16]:
    """Returns cells, grain and features of ``pictures``, uint8 (n, size, size, 3), side by side."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    batch = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255).sub(mean).div(std)
    with torch.inference_mode():
        features, cells, grain = backbone(batch)
    together: NDArray[np.float16] = torch.cat((cells.flatten(1), grain, features), 1).half().numpy()
    return together


def _all_views(subjects: Sequence[Subject], preprocessing: Preprocessing) -> Iterator[NDArray[np.uint8]]:
    size, gap = preprocessing.image_size, preprocessing.reducing_gap
    for subject in subjects:
        picture = _picture(subject, round(size * _OVERSIZE))
        digest = hashlib.sha1(subject.name.encode(), usedforsecurity=False).digest()
        for number in range(subject.views):
            random = np.random.default_rng([int.from_bytes(digest[:8], "big"), number])
            changed = view(picture, random) if number else picture
            yield np.array(changed.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=gap))


def _picture(subject: Subject, side: int) -> Image.Image:
    left, top, right, bottom = subject.box
    picture = shrunken(subject.path.read_bytes(), round(side / max(right - left, bottom - top)))
    width, height = picture.size
    part = picture.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
    part.thumbnail((side, side))
    return part


def _batches(pictures: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    some = []
    for picture in pictures:
        some.append(picture)
        if len(some) == _BATCH:
            yield np.stack(some)
            some = []
    if some:
        yield np.stack(some)


def _purpose(backbone: CellBackbone, subjects: Sequence[Subject], preprocessing: Preprocessing) -> str:
    """Everything that decides what is seen."""
    digest = hashlib.sha256(repr([(each.name, each.views) for each in subjects]).encode())
    digest.update(preprocessing.model_dump_json().encode())
    for source in (CellBackbone, training.views, _picture, _all_views):
        digest.update(inspect.getsource(source).encode())
    for value in backbone.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()[:32]

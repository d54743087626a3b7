"""Labelled pictures: a CSV, or a folder with a subfolder per class → uint8 arrays.

A folder's pictures are those that an index would list (``sources.walk``). All are decoded once, by the models' own
decoder (``pictures.decode``), and kept in memory a little larger than the network's input, so an epoch costs no
decoding: 1 GB holds 13,000 pictures of 160 × 160.
"""

import csv
import hashlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embedding.card import plain_name
from pictures.decode import decode
from pictures.errors import ImageError
from pictures.formats import SUFFIXES
from pictures.preparation import Preprocessing
from sources.left_out import LeftOut
from sources.walk import has_own_pictures, walk
from training.errors import TrainingError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledFile:
    """One row of a list of labelled pictures; ``path`` can be opened as it stands."""

    path: Path
    label: str


@dataclass(frozen=True)
class LabelledPictures:
    """``pictures`` uint8 (n, size, size, 3); ``labels`` int64 (n,) into ``classes``.

    ``held_out`` and ``validation``, bool (n,): each a tenth of the pictures, kept out of training; the first gives the
    reported figures, the second decides when to stop.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: list[str]
    held_out: NDArray[np.bool_]
    validation: NDArray[np.bool_]


def held_out(path: str) -> bool:
    """Returns whether a picture is kept for measuring. Its file name decides, so no shuffle can leak it."""
    return _tenth(path) == 0


def held_out_photograph(path: str) -> bool:
    """Returns whether an unlabelled photograph is kept for measuring: three tenths are, as there are fewer of them."""
    return _tenth(path) < 3


def for_validation(path: str) -> bool:
    """Returns whether a picture belongs to the tenth for early stopping."""
    return _tenth(path) == 1


def _tenth(path: str) -> int:
    digest = hashlib.sha1(os.fsencode(Path(path).name), usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "big") % 10


def pictures_below(folder: Path, left_out: LeftOut | None = None) -> Iterator[Path]:
    """Yields the pictures at any depth below ``folder``, as ``sources.walk`` does. Whoever counts what is ``left_out``
    also gets warnings of folders that cannot be read."""
    problem = _log.debug if left_out is None else _log.warning
    for name in walk(str(folder), problem, left_out):
        yield folder / os.fsdecode(name)


def read_list(source: Path, ignored_labels: frozenset[str], left_out: LeftOut | None = None) -> list[LabelledFile]:
    """Returns the labelled pictures of ``source``, without the ignored labels.

    A CSV has the columns ``path`` and ``label``; paths are relative to it, and space around a label is ignored. A
    folder has a subfolder per label, with pictures at any depth; ``left_out`` counts what looks like pictures in it
    and isn't listed.
    """
    files = _read_folder(source, left_out) if source.is_dir() else _read_csv(source)
    return [file for file in files if file.label not in ignored_labels]


def _read_folder(folder: Path, left_out: LeftOut | None) -> list[LabelledFile]:
    paths = [path.relative_to(folder) for path in pictures_below(folder, left_out)]
    files = [LabelledFile(folder / path, path.parts[0].strip()) for path in paths if len(path.parts) > 1]
    if not files:
        raise TrainingError(f"{folder} needs a folder for each label, with pictures in it ({', '.join(SUFFIXES)})")
    return files


def has_labels(source: Path) -> bool:
    """Whether ``source`` may be read as labelled pictures: a file, or a folder without pictures of its own."""
    return not source.is_dir() or not has_own_pictures(str(source))


def _read_csv(csv_path: Path) -> list[LabelledFile]:
    try:
        with csv_path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{csv_path} cannot be read: {error}") from error
    if not rows or not {"path", "label"} <= rows[0].keys():
        raise TrainingError(f"{csv_path} needs a header line with the columns path and label, and rows below it")
    for number, row in enumerate(rows, 2):
        if not row["path"] or not (row["label"] or "").strip():
            raise TrainingError(f"{csv_path} has no path or no label in row {number}")
    return [LabelledFile(csv_path.parent / row["path"], row["label"].strip()) for row in rows]


def read_labelled(source: Path, preprocessing: Preprocessing, ignored_labels: frozenset[str]) -> LabelledPictures:
    """Returns the decoded pictures of ``source`` (see ``read_list``)."""
    files = read_list(source, ignored_labels)
    classes = sorted({file.label for file in files})
    if len(classes) < 2:
        raise TrainingError(f"{source} has {len(classes)} labels; training needs at least 2")
    alike = [
        f"{one!r} and {other!r}"
        for one, other in pairwise(sorted(classes, key=plain_name))
        if plain_name(one) == plain_name(other)
    ]
    if alike:
        raise TrainingError(f"{source} has labels that people can't tell apart: {', '.join(alike)}")

    def picture(file: LabelledFile) -> NDArray[np.uint8]:
        try:
            return decode(file.path.read_bytes(), preprocessing)
        except (OSError, ImageError) as error:
            raise TrainingError(f"{file.path}: {error}") from error

    with ThreadPoolExecutor() as pool:
        pictures = np.stack(list(pool.map(picture, files)))
    held, validation = (np.array([chosen(file.path.name) for file in files]) for chosen in (held_out, for_validation))
    if not held.any() or (~held).sum() < 2:
        raise TrainingError(f"{source} lists {len(files)} pictures: too few to hold a tenth out for validation")
    index = {name: number for number, name in enumerate(classes)}
    return LabelledPictures(pictures, np.array([index[file.label] for file in files]), classes, held, validation)

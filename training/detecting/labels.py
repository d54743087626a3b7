"""Pictures with boxes, as tools for labelling write them.

    COCO               FOLDER/….json: images, annotations with bbox [x, y, width, height], categories
    annotation files   FOLDER/….txt: a line "{canvas} {file}", then a line "{x} {y} {width} {height}" a box
    YOLO               FOLDER/data.yaml or classes.txt with names; beside each picture, or in labels/ for images/,
                       a .txt: a line "{class} {middle x} {middle y} {width} {height}" a box, in shares of the picture

Pictures lie in FOLDER or in FOLDER/images. A picture without boxes is an example, too: there is nothing to find.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import BaseModel, Field, ValidationError

from detection.card import DetectorCard
from detection.fitting import Floats
from training.errors import TrainingError
from training.pictures import pictures_below

#: What boxes of annotation files, which name none, are labelled with.
FIGURE = "figure"

_CANVAS = re.compile(r"\d+\s+(\S.*\.[A-Za-z]\w*)")


@dataclass(frozen=True)
class Labelled:
    """A picture's ``path``, and its ``boxes``, float32 (n, 5): left, top, right, bottom and the label's number; in
    pixels of the upright picture or, if ``shares``, in shares of its width and height."""

    path: Path
    boxes: Floats
    shares: bool


@dataclass(frozen=True)
class LabelledSet:
    """``labels`` by number, and the pictures, by path."""

    labels: tuple[str, ...]
    pictures: tuple[Labelled, ...]


def read_labels(folder: Path) -> LabelledSet:
    """Returns the labelled pictures of ``folder``. Raises TrainingError, which names file and line of a bad label."""
    coco = [path for path in _files(folder, "*.json") if b'"annotations"' in path.read_bytes()]
    listed = [path for path in _files(folder, "*.txt") if _CANVAS.fullmatch(_first_line(path))]
    if (coco and listed) or len(coco) > 1:
        raise TrainingError(f"{folder} has labels twice: {', '.join(path.name for path in [*coco, *listed])}")
    found = _coco(folder, coco[0]) if coco else _listed(folder, listed) if listed else _yolo(folder)
    try:
        DetectorCard(name=folder.name or "labels", labels=found.labels, width=64, height=64)
    except ValidationError as error:  # better said now than after the training
        raise TrainingError(f"{folder} has labels that no detector can have: {error.errors()[0]['msg']}") from error
    if not any(len(each.boxes) for each in found.pictures):
        raise TrainingError(
            f"{folder} has no boxes: it needs COCO's .json, annotation files, or YOLO's .txt beside its pictures"
        )
    return found


# --- COCO


class _Image(BaseModel):
    id: int | str
    file_name: str


class _Category(BaseModel):
    id: int
    name: str = Field(min_length=1)


class _Annotation(BaseModel):
    image_id: int | str
    category_id: int
    bbox: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=4, max_length=4)]


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def _coco(folder: Path, path: Path) -> LabelledSet:
    try:
        read = _Coco.model_validate(json.loads(path.read_bytes()))
    except ValueError as error:
        told = error.errors()[0] if isinstance(error, ValidationError) else None
        why = f"{'.'.join(map(str, told['loc']))}: {told['msg']}" if told else str(error)
        raise TrainingError(f"{path} is not COCO's: {why}") from error
    numbers = {category.id: number for number, category in enumerate(read.categories)}
    boxes: dict[int | str, list[list[float]]] = {image.id: [] for image in read.images}
    for place, each in enumerate(read.annotations):
        x, y, width, height = each.bbox
        where = f"{path}: annotations.{place}"
        if each.image_id not in boxes:
            raise TrainingError(f"{where} is of the image {each.image_id}, which images doesn't list")
        if each.category_id not in numbers:
            raise TrainingError(f"{where} has the category {each.category_id}, which categories doesn't list")
        boxes[each.image_id].append(_box(x, y, x + width, y + height, numbers[each.category_id], where))
    pictures = [
        Labelled(_picture(folder, image.file_name, str(path)), _array(boxes[image.id]), False) for image in read.images
    ]
    return LabelledSet(tuple(category.name for category in read.categories), _by_path(pictures))


# --- Annotation files


def _listed(folder: Path, paths: list[Path]) -> LabelledSet:
    found: dict[Path, list[list[float]]] = {}
    for path in paths:
        boxes: list[list[float]] = []
        for where, line in _lines(path):
            canvas = _CANVAS.fullmatch(line)
            if canvas:
                boxes = found.setdefault(_picture(folder, canvas[1], where), [])
                continue
            x, y, width, height = _numbers(line, 4, where)
            boxes.append(_box(x, y, x + width, y + height, 0, where))
    return LabelledSet((FIGURE,), _by_path([Labelled(path, _array(boxes), False) for path, boxes in found.items()]))


# --- YOLO


def _yolo(folder: Path) -> LabelledSet:
    labels = _names(folder)
    pictures = []
    for path in pictures_below(folder):
        beside = path.with_suffix(".txt")
        parts = path.relative_to(folder).parts
        apart = folder.joinpath("labels", *parts[1:]).with_suffix(".txt") if parts[0] == "images" else beside
        file = apart if apart.is_file() else beside
        rows = []
        for where, line in _lines(file) if file.is_file() else ():
            number, x, y, width, height = _numbers(line, 5, where)
            if number != int(number) or not 0 <= number < len(labels):
                raise TrainingError(f"{where} has the class {number:g}, and there are {len(labels)}, from 0 on")
            if not (0 <= x <= 1 and 0 <= y <= 1 and width <= 1.0001 and height <= 1.0001):
                raise TrainingError(f"{where} has numbers over 1, and YOLO's are shares of the picture's sides")
            rows.append(_box(x - width / 2, y - height / 2, x + width / 2, y + height / 2, number, where))
        pictures.append(Labelled(path, _array(rows), True))
    return LabelledSet(labels, _by_path(pictures))


def _names(folder: Path) -> tuple[str, ...]:
    for path in (folder / "data.yaml", folder / "data.yml"):
        if path.is_file():
            try:
                names = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("names")
            except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
                raise TrainingError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
            if isinstance(names, dict) and set(names) == set(range(len(names))):
                names = [names[number] for number in range(len(names))]
            if not isinstance(names, list) or not names:
                raise TrainingError(f"{path} needs names: the classes, a list or numbered from 0")
            return tuple(str(name) for name in names)
    path = folder / "classes.txt"
    if not path.is_file():
        raise TrainingError(
            f"{folder} has neither COCO's .json, nor annotation files, nor YOLO's data.yaml or classes.txt"
        )
    return tuple(line for _, line in _lines(path))


# --- Lines and boxes


def _files(folder: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(folder.glob(pattern)) if path.is_file()]


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as lines:
        return next((line.strip() for line in lines if line.strip()), "")


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yields where each line stands, and the line, without empty ones."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{path}: line {number}", line.strip()


def _numbers(line: str, count: int, where: str) -> list[float]:
    try:
        numbers = [float(word) for word in line.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise TrainingError(f"{where} is no {count} numbers: {line[:60]}")
    return numbers


def _box(left: float, top: float, right: float, bottom: float, number: float, where: str) -> list[float]:
    if right <= left or bottom <= top:
        raise TrainingError(f"{where} has a box without width or height")
    return [left, top, right, bottom, number]


def _array(rows: list[list[float]]) -> Floats:
    return np.array(rows, np.float32).reshape(-1, 5)


def _picture(folder: Path, name: str, where: str) -> Path:
    for path in (folder / name, folder / "images" / name):
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return path
    raise TrainingError(f"{where} names the picture {name[:200]}, which is not in {folder}")


def _by_path(pictures: list[Labelled]) -> tuple[Labelled, ...]:
    return tuple(sorted(pictures, key=lambda each: each.path))

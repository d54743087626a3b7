"""Views of a labelled picture: itself, then mirrored, cut and relit, with the boxes that remain."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from detection.fitting import Floats
from pictures.decode import sight
from pictures.errors import ImageError
from training.detecting.labels import Labelled
from training.errors import TrainingError

#: Pixels of the longer side, at least, at which pictures are looked at.
_SIDE = 900
#: The least part of a box that a cut leaves, for the box to remain.
_REMAINS = 0.5


def view(labelled: Labelled, number: int, seed: int) -> tuple[NDArray[np.uint8], Floats]:
    """Returns view ``number`` of a picture, uint8 (h, w, 3), and its boxes in pixels of it; 0 is the picture itself.
    Raises TrainingError for a picture that cannot be read, and for a box that lies outside of it."""
    try:
        picture, full = sight(labelled.path.read_bytes(), _SIDE)
    except (OSError, ImageError) as error:
        raise TrainingError(f"{labelled.path}: {error}") from error
    boxes = labelled.boxes.copy()
    size = np.array([picture.width, picture.height] * 2, np.float32)
    unit = np.ones(4, np.float32) if labelled.shares else np.array(full * 2, np.float32)
    boxes[:, :4] = boxes[:, :4] * size / unit
    inside = np.clip(boxes[:, :4], 0, size)
    if (np.minimum(inside[:, 2] - inside[:, 0], inside[:, 3] - inside[:, 1]) <= 0).any():
        raise TrainingError(f"{labelled.path} is {full[0]}×{full[1]}, and one of its boxes lies outside")
    boxes[:, :4] = inside
    if number:
        picture, boxes = _changed(picture, boxes, np.random.default_rng([seed, number]))
    return np.asarray(picture), boxes


def _changed(picture: Image.Image, boxes: Floats, random: np.random.Generator) -> tuple[Image.Image, Floats]:
    if random.random() < 0.5:
        picture = ImageOps.mirror(picture)
        boxes[:, [0, 2]] = picture.width - boxes[:, [2, 0]]
    kept = random.uniform(0.7, 1.0, 2)
    wide, high = max(1, int(picture.width * kept[0])), max(1, int(picture.height * kept[1]))
    left = int(random.integers(picture.width - wide + 1))
    top = int(random.integers(picture.height - high + 1))
    cut = np.clip(boxes[:, :4] - np.array([left, top] * 2, np.float32), 0, np.array([wide, high] * 2, np.float32))
    share = _areas(cut) / _areas(boxes)
    boxes[:, :4] = cut
    picture = picture.crop((left, top, left + wide, top + high))
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhancer(picture).enhance(random.uniform(0.75, 1.25))
    return picture, boxes[share >= _REMAINS]


def _areas(boxes: Floats) -> Floats:
    areas: Floats = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas

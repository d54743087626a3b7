"""A composed picture: its pixels, and where what it was composed of lies."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

#: What the shipped detector finds: figures on pages, and the main object of a photograph.
LABELS = ("figure", "object")
FIGURE, OBJECT = range(2)


def no_boxes() -> Floats:
    return np.empty((0, 5), np.float32)


@dataclass
class Composed:
    """``picture`` in RGB; ``boxes`` float32 (n, 5): left, top, right and bottom in its pixels, and the label's
    number."""

    picture: Image.Image
    boxes: Floats = field(default_factory=no_boxes)


def turned(composed: Composed, degrees: float, ground: tuple[int, int, int]) -> Composed:
    """Returns ``composed`` turned about its middle, at the same size; ``ground`` is seen in the corners. Each box is
    the one around the turned box."""
    picture = composed.picture.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=ground)
    if not len(composed.boxes):
        return Composed(picture)
    middle = np.array(picture.size, np.float32) / 2
    corners = composed.boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) - middle
    angle = -np.deg2rad(degrees)  # pictures count rows downwards
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    corners = corners @ turn + middle
    size = np.array(picture.size, np.float32)
    low, high = np.clip(corners.min(axis=1), 0, size), np.clip(corners.max(axis=1), 0, size)
    return Composed(picture, np.concatenate((low, high, composed.boxes[:, 4:]), axis=1).astype(np.float32))


def within(composed: Composed, ground: Image.Image, left: int, top: int) -> Composed:
    """Returns ``composed`` laid on ``ground``, which is larger, at ``left`` and ``top``."""
    picture = ground.copy()
    picture.paste(composed.picture, (left, top))
    shift = np.array([left, top, left, top, 0], np.float32)
    return Composed(picture, composed.boxes + shift)

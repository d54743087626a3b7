"""A picture of any size as the square that a network takes, and boxes back in the picture's pixels.

letterbox   (300 × 400) ─▶ scaled by one factor, in the middle of a grey square    what YOLO and our own models take
stretch     (300 × 400) ─▶ each side scaled to the network's
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detection.errors import DetectorError

#: The grey around letterboxed pictures, as YOLO's trainers have it.
GREY = 114

Fit = Literal["letterbox", "stretch"]
Floats = NDArray[np.float32]


class Fitted(NamedTuple):
    """``picture`` uint8 (height, width, 3); a point of the original at (x, y) is at (x · scale + shift) in it, each by
    axis."""

    picture: NDArray[np.uint8]
    scale: tuple[float, float]
    shift: tuple[float, float]

    def forward(self, boxes: Floats) -> Floats:
        """Returns ``boxes``, float32 (n, ≥ 4) with left, top, right and bottom first, in this picture's pixels."""
        moved = boxes.copy()
        moved[:, :4] = boxes[:, :4] * np.array(self.scale * 2, np.float32) + np.array(self.shift * 2, np.float32)
        return moved

    def back(self, boxes: Floats) -> Floats:
        """Returns ``boxes`` of this picture in the original's pixels."""
        moved = boxes.copy()
        moved[:, :4] = (boxes[:, :4] - np.array(self.shift * 2, np.float32)) / np.array(self.scale * 2, np.float32)
        return moved


def require_picture(picture: NDArray[np.uint8]) -> None:
    """Raises DetectorError for what is no uint8 (height, width, 3) with a pixel."""
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise DetectorError(f"a picture must be uint8 (height, width, 3), and this is {picture.dtype} {picture.shape}")


def fitted(picture: NDArray[np.uint8], width: int, height: int, fit: Fit) -> Fitted:
    """Returns ``picture``, uint8 (h, w, 3), at ``width`` × ``height``."""
    rows, columns = picture.shape[:2]
    image = Image.fromarray(picture)
    if fit == "stretch":
        resized = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3)
        return Fitted(np.asarray(resized), (width / columns, height / rows), (0.0, 0.0))
    scale = min(width / columns, height / rows)
    inner = (min(width, max(1, round(columns * scale))), min(height, max(1, round(rows * scale))))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    square = Image.new("RGB", (width, height), (GREY, GREY, GREY))
    square.paste(image.resize(inner, Image.Resampling.BILINEAR, reducing_gap=3), (left, top))
    return Fitted(np.asarray(square), (inner[0] / columns, inner[1] / rows), (float(left), float(top)))

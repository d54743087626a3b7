"""What a detector finds on one picture, checked: it may be anybody's, and fail, or answer nonsense."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contract.boxes import Box
from detection.detector import Detector
from detection.errors import DetectorError
from detection.overlap import MOST_BOXES


def boxes_on(picture: NDArray[np.uint8], detector: Detector) -> list[Box]:
    """Returns the boxes that ``detector`` finds on ``picture``, uint8 (height, width, 3) RGB, the best score first, at
    most MOST_BOXES. Raises DetectorError if it fails, or answers what is no box of the picture."""
    height, width = picture.shape[:2]
    try:
        (boxes,) = detector.detect([picture])
        if not all(_is_box(each, width, height) for each in boxes):
            raise DetectorError("the detector answers with what is no box of the picture")
        return sorted(boxes, key=lambda box: -box.score)[:MOST_BOXES]
    except DetectorError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise DetectorError(f"the detector failed: {type(error).__name__}: {said}") from error


def _is_box(box: object, width: int, height: int) -> bool:
    if not isinstance(box, Box) or not isinstance(box.label, str):
        return False
    numbers: Sequence[object] = (box.x, box.y, box.width, box.height)
    return (
        all(isinstance(each, int) for each in numbers)
        and isinstance(box.score, float | int)
        and math.isfinite(box.score)
        and box.x >= 0 and box.y >= 0 and box.width >= 1 and box.height >= 1
        and box.x + box.width <= width and box.y + box.height <= height
    )  # fmt: skip

"""The protocol of a detector, which finds parts of pictures: figures on pages, the main object of a photograph."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.boxes import Box


class Detector(Protocol):
    """A loaded detector. Threads may share it. A picture's boxes don't depend on the pictures beside it.

    ``stem`` is its file's name without ending, or the name of a built-in one.
    """

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def stem(self) -> str:
        """What results are filed under."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What boxes are labelled with."""

    def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Box]]:
        """Returns the boxes found in each of ``pictures``, uint8 (height, width, 3) RGB of any size: in pixels of that
        picture, inside of it, the best score first, at most 1,000. Raises DetectorError if the detector's answer is no
        boxes."""

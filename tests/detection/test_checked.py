"""Detectors that fail, or answer what is no box: one check before boxes are used anywhere."""

from typing import Any

import numpy as np
import pytest

from contract.boxes import Box
from detection.checked import boxes_on
from detection.errors import DetectorError
from tests.elements.squares import Squares


@pytest.mark.parametrize(
    "answer",
    [
        None, [], [[], []], [["box"]], [[Box(0, 0, 81, 1, 0.5, "")]], [[Box(0, 0, 1, 0, 0.5, "")]],
        [[Box(0, 0, 1, 1, float("nan"), "")]], [[Box(0.5, 0, 1, 1, 0.5, "")]],  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_is_no_box(answer: Any) -> None:
    class Odd(Squares):
        def detect(self, pictures: Any) -> Any:
            return answer

    with pytest.raises(DetectorError, match="the detector"):
        boxes_on(np.zeros((100, 80, 3), np.uint8), Odd())


def test_the_best_come_first() -> None:
    class Unsorted(Squares):
        def detect(self, pictures: Any) -> Any:
            return [[Box(0, 0, 1, 1, score, "red") for score in (0.2, 0.9, 0.5)]]

    found = boxes_on(np.zeros((100, 80, 3), np.uint8), Unsorted())
    assert [box.score for box in found] == [0.9, 0.5, 0.2]

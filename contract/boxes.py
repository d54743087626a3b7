"""What a detector found in a picture: boxes in its pixels."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A part of a picture, in whole pixels of the picture that it was found in, and inside of it: ``x`` and ``y`` are
    its left upper corner, ``width`` and ``height`` at least 1. ``score`` is the detector's confidence, from 0 to 1, and
    ``label`` one of its labels."""

    x: int
    y: int
    width: int
    height: int
    score: float
    label: str

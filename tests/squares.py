"""A detector whose boxes a reader computes by hand, pages for it, and the package that brings it.

A page is light grey. A figure on it has a frame, a pixel wide, of pure red, green or blue, and inside a picture of the
fake models. The detector finds the frame of each colour; its score is the colour's.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from contract.boxes import Box
from detection.errors import DetectorError
from tests.fakes import picture_of

#: The name by which ``install`` registers it.
NAME = "squares"
SIDE = 64
COLOURS = {"red": ((255, 0, 0), 0.9), "green": ((0, 255, 0), 0.5), "blue": ((0, 0, 255), 0.1)}


class Squares:
    """As ``detection.detector.Detector``."""

    name = NAME
    stem = NAME
    labels = tuple(COLOURS)

    def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Box]]:
        return [self._found(picture) for picture in pictures]

    def _found(self, picture: NDArray[np.uint8]) -> list[Box]:
        boxes = []
        if (picture == (1, 2, 3)).all():
            raise DetectorError("squares answers no boxes")
        for label, (colour, score) in COLOURS.items():
            rows, columns = np.nonzero((picture == colour).all(axis=2))
            if len(rows):
                x, y = int(columns.min()), int(rows.min())
                boxes.append(Box(x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y, score, label))
        return boxes


def page(figures: Mapping[str, tuple[int, int, int]], size: tuple[int, int] = (300, 200)) -> Image.Image:
    """A page with a figure a colour: left, top and the code of the picture in it."""
    paper = Image.new("RGB", size, (200, 200, 200))
    for colour, (x, y, code) in figures.items():
        paper.paste(picture_of(code, SIDE), (x, y))
        ImageDraw.Draw(paper).rectangle((x, y, x + SIDE - 1, y + SIDE - 1), outline=COLOURS[colour][0])
    return paper


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def install(folder: Path) -> Path:
    """Write the metadata of a package that brings the detector below ``folder``, for ``sys.path``."""
    metadata = folder / "squares-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: squares\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[hashlake.detectors]\n{NAME} = tests.squares:Squares\n")
    return folder

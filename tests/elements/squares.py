"""Detectors whose boxes a reader computes by hand, as a package adds them: by entry points on the path.

Squares      the area of a picture that is red, score 0.9, and the area that is blue, 0.6
Nonsense     a box outside of the picture
Slow         as Squares, after a moment
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contract.boxes import Box
from tests.sources.fetching.picture_site import PictureSite

_POINTS = """\
[hashlake.detectors]
squares = tests.elements.squares:Squares
nonsense = tests.elements.squares:Nonsense
slow = tests.elements.squares:Slow
"""


class Squares:
    """Finds red and blue areas."""

    name = stem = "squares"
    labels = ("red", "blue")

    def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Box]]:
        return [self._found(picture.astype(int)) for picture in pictures]

    def _found(self, picture: NDArray[np.int_]) -> list[Box]:
        boxes = []
        for label, channel, score in (("red", 0, 0.9), ("blue", 2, 0.6)):
            others = picture.sum(axis=2) - picture[:, :, channel]
            rows, columns = np.nonzero((picture[:, :, channel] > 150) & (others < 150))
            if len(rows):
                top, left = int(rows.min()), int(columns.min())
                box = Box(left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1, score, label)
                boxes.append(box)
        return boxes


class Nonsense(Squares):
    """Answers what is no box of the picture."""

    name = stem = "nonsense"

    def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Box]]:
        return [[Box(-5, 0, 10, 10, 0.5, "red")] for _ in pictures]


class Slow(Squares):
    """Takes a moment for each picture, and leaves a line in a file ``looked`` beside its package."""

    name = stem = "slow"

    def detect(self, pictures: Sequence[NDArray[np.uint8]]) -> list[list[Box]]:
        folder = os.environ["PYTHONPATH"].partition(os.pathsep)[0]
        with Path(folder, "looked").open("a") as looked:
            looked.write("page\n")
        time.sleep(0.7)
        return super().detect(pictures)


@contextmanager
def site(manifest: bytes) -> Iterator[str]:
    """The address of a manifest."""
    with PictureSite() as running:
        yield running.put("/iiif/book/manifest.json", manifest)


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make these detectors known to this process and its children, by a package in ``folder``."""
    package = folder / "squares-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: squares\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(_POINTS)
    monkeypatch.syspath_prepend(str(folder))
    root = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(root), os.environ.get("PYTHONPATH", "")]))


def page(
    red: tuple[int, int, int, int] | None = None,
    blue: tuple[int, int, int, int] | None = None,
    size: tuple[int, int] = (80, 100),
) -> bytes:
    """Returns a white PNG of ``size`` with areas (x, y, width, height)."""
    picture = Image.new("RGB", size, "white")
    for colour, area in (("red", red), ("blue", blue)):
        if area is not None:
            x, y, width, height = area
            picture.paste(colour, (x, y, x + width, y + height))
    stream = BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()

"""What an indexing takes items apart with, by the names that options give: splitters, and a detector after them.

pdf, and the detector figures     book.pdf ─▶ book.pdf#page=3 ─▶ book.pdf#page=3&xywh=10,20,300,400
"""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from contract.boxes import Box
from detection.errors import DetectorError
from detection.registry import DETECTORS, detector_file, open_detector
from sources.errors import Unreadable
from sources.regions import Regions
from sources.source import Splitter
from sources.splitters import open_splitters


class Finder:
    """Finds boxes with the detector called ``name``, and travels by this name to other machines. Raises
    DetectorError."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._detector = open_detector(name)
        self._file = None if name in DETECTORS.names() else _digest(name)

    def __reduce__(self) -> tuple[type["Finder"], tuple[str]]:
        return Finder, (self._name,)

    def __str__(self) -> str:
        return self._detector.name if self._file is None else f"{self._detector.name}@{self._file}"

    def __call__(self, picture: NDArray[np.uint8]) -> Sequence[Box]:
        try:
            (found,) = self._detector.detect([picture])
        except DetectorError as error:
            raise Unreadable(str(error)) from error
        return found


def _digest(name: str) -> str | None:
    """Returns the beginning of the sha256 of the detector's file: another file may find other boxes."""
    path = detector_file(name)
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def splitters_for(kinds: Iterable[str], detector: str | None, *, regions_alone: bool = False) -> list[Splitter]:
    """Returns splitters of these ``kinds`` and, if a ``detector`` is named, one of its regions, which also takes apart
    what the others make. Raises NotRegistered, SourceError, and DetectorError for a detector that cannot be used."""
    splitters = open_splitters(kinds)
    return [*splitters, Regions(Finder(detector), regions_alone)] if detector else splitters

"""What an indexing takes items apart with, by the names that options give: splitters, and a detector after them.

pdf, and the detector figures     book.pdf ─▶ book.pdf#page=3 ─▶ book.pdf#page=3&xywh=10,20,300,400
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from contract.boxes import Box
from detection.checked import boxes_on
from detection.errors import DetectorError
from detection.identity import file_of, identity_of
from detection.registry import open_detector
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
        self._identity = identity_of(self._detector, file_of(name))

    def __reduce__(self) -> tuple[type["Finder"], tuple[str]]:
        return Finder, (self._name,)

    def __str__(self) -> str:
        return self._identity

    def __call__(self, picture: NDArray[np.uint8]) -> Sequence[Box]:
        try:
            return boxes_on(picture, self._detector)
        except DetectorError as error:
            raise Unreadable(str(error)) from error


def splitters_for(kinds: Iterable[str], detector: str | None, *, regions_alone: bool = False) -> list[Splitter]:
    """Returns splitters of these ``kinds`` and, if a ``detector`` is named, one of its regions, which also takes apart
    what the others make. Raises NotRegistered, SourceError, and DetectorError for a detector that cannot be used."""
    splitters = open_splitters(kinds)
    return [*splitters, Regions(Finder(detector), regions_alone)] if detector else splitters

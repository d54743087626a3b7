"""The main object of a query: found by a detector, cut out, and searched for instead of the whole picture.

    picture ─▶ detector ─▶ the best box, if its score is 0.2 or more ─▶ that region ─┐
                        └▶ no such box ───────────────────────────────▶ the picture ─┴▶ embedded, and shown as a JPEG

It is cut out as regions are when a picture is indexed (pictures/cutting.py): the object of an indexed picture is found
at distance 0.
"""

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pybase64
from PIL import Image

from contract.answer import CroppedBox
from contract.query import Crop
from detection.checked import boxes_on
from detection.detector import Detector
from detection.errors import DetectorError
from detection.registry import open_detector
from embedding.card import ModelCard
from handler.errors import bad_request, our_fault
from handler.settings import CROP_VARIABLE, DETECTOR_VARIABLE
from pictures.cutting import SIDE, cut, encoded, in_full_size
from pictures.decode import sight
from pictures.work import Budget

_log = logging.getLogger(__name__)

#: A box of a lower score is no object.
LEAST_SCORE = 0.2
#: The longer side of what is shown.
_SHOWN = 1024


@dataclass(frozen=True)
class Cropped:
    """What is looked for: ``file``, whose ``picture`` is shown, and its ``box`` on the query; None for all of it."""

    file: bytes
    picture: Image.Image
    box: CroppedBox | None

    @property
    def fields(self) -> dict[str, Any]:
        """Those of ``QueryAnswer``."""
        shown = self.picture.copy()
        shown.thumbnail((_SHOWN, _SHOWN))
        stream = io.BytesIO()
        shown.save(stream, "JPEG", quality=90)
        fields: dict[str, Any] = {"cropped_image": pybase64.b64encode(stream.getvalue()).decode("ascii")}
        return fields if self.box is None else fields | {"cropped_box": self.box.model_dump()}


class Cropping:
    """Finds main objects with ``detector``, if there is one; ``by_default``: also for requests that don't say."""

    def __init__(self, detector: Detector | None = None, *, by_default: bool = False) -> None:
        self._detector = detector
        self._by_default = by_default

    @classmethod
    def as_set(cls, environment: Mapping[str, str], card: ModelCard) -> Self:
        """Returns what a worker's ``environment`` and the ``card`` of its model say. Raises DetectorError."""
        name = environment.get(DETECTOR_VARIABLE)
        by_default = "auto" in (environment.get(CROP_VARIABLE), card.crop)
        return cls(open_detector(name) if name else None, by_default=by_default)

    def is_wanted(self, crop: Crop | None) -> bool:
        """Whether a request that says ``crop`` is about the main object of its image. Raises RequestError where nothing
        finds any."""
        if crop == "auto" and self._detector is None:
            raise bad_request("crop: no detector is set here (HASHLAKE_DETECTOR)")
        return crop == "auto" or (crop is None and self._by_default and self._detector is not None)

    def main_object(self, image: bytes, budget: Budget | None = None) -> Cropped:
        """Returns the main object of the picture in the file ``image``. Raises ImageError and BudgetSpent, and
        RequestError where the detector fails."""
        assert self._detector is not None
        picture, full = sight(image, SIDE, budget=budget)
        try:
            found = boxes_on(np.asarray(picture), self._detector)
        except DetectorError as error:
            _log.exception("no main object can be found")
            raise our_fault() from error
        objects = [(box, in_full_size(box, picture, full)) for box in found if box.score >= LEAST_SCORE]
        best, place = next((each for each in objects if each[1] is not None), (None, None))  # no speck
        if best is None or place is None:
            return Cropped(image, picture, None)
        region, (x, y, width, height) = cut(picture, place, full), place
        box = CroppedBox(x=x, y=y, width=width, height=height, score=round(best.score, 4), label=best.label)
        return Cropped(encoded(region, "BMP"), region, box)


NO_CROPPING = Cropping()

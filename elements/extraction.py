"""Finds elements on pages: detector in, boxes out, one page after the other.

    pages that aren't known yet ─▶ seen ─▶ detector ─▶ checked ─▶ in the page's whole size ─▶ crops, then committed

A page or manifest that fails is reported and stops no other.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.boxes import Box
from detection.checked import boxes_on
from detection.detector import Detector
from detection.errors import DetectorError
from elements.pages import Page, Pages, Seen, seen
from elements.results import Found, Results
from sources.errors import Unreadable

CROPS = "crops"
_QUALITY = 90


def extract(pages: Pages, detector: Detector, results: Results, tell: Callable[[Found], None]) -> None:
    """Look at all of ``pages`` that ``results`` don't have, save what is found, and ``tell`` each."""
    for page, data in pages.read(results):
        if data is None:
            results.place(page)
            continue
        found = data if isinstance(data, Unreadable) else look(page, data, detector, results.folder / CROPS)
        if isinstance(found, Unreadable):
            found = Found(page, None, reason=str(found))
        results.save(found)
        tell(found)
    results.whole()


def look(page: Page, data: bytes, detector: Detector, crops: Path) -> Found | Unreadable:
    """Returns what ``detector`` finds on ``page``, whose file is ``data``, or why nothing can be found. Pictures of the
    boxes go to the folder ``crops``."""
    try:
        view = seen(page, data)
        boxes = boxes_on(view.picture, detector)
    except Unreadable as error:
        return error
    except DetectorError as error:
        return Unreadable(str(error))
    whole = [in_whole(box, view) for box in boxes]
    crops.mkdir(exist_ok=True)
    for box, large in zip(boxes, whole, strict=True):
        _crop(view.picture, box).save(crops / kept_name(page.name, large), "JPEG", quality=_QUALITY)
    return Found(page, view.size, tuple(whole))


def in_whole(box: Box, view: Seen) -> Box:
    """Returns ``box`` in pixels of the whole page that ``view`` shows smaller: at least one pixel, and inside of it."""
    height, width = view.picture.shape[:2]
    left, right = _scaled(box.x, box.x + box.width, width, view.size[0])
    top, bottom = _scaled(box.y, box.y + box.height, height, view.size[1])
    return Box(left, top, right - left, bottom - top, box.score, box.label)


def crop_name(file: str, box: Box) -> str:
    """Returns the name of the picture of ``box`` on the page whose picture is called ``file``."""
    return f"{file.removesuffix('.jpg')}_{box.x},{box.y},{box.width},{box.height}.jpg"


def kept_name(page: str, box: Box) -> str:
    """Returns what the picture of ``box`` on the page called ``page`` is kept as, whatever the page's number is."""
    return crop_name(hashlib.sha256(page.encode("utf-8", "surrogateescape")).hexdigest()[:32], box)


def _scaled(start: int, end: int, seen_side: int, whole_side: int) -> tuple[int, int]:
    first = min(start * whole_side // seen_side, whole_side - 1)
    return first, min(max(first + 1, -(-end * whole_side // seen_side)), whole_side)


def _crop(picture: NDArray[np.uint8], box: Box) -> Image.Image:
    return Image.fromarray(picture[box.y : box.y + box.height, box.x : box.x + box.width])

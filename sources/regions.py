"""Regions of pictures as items: a splitter, whose boxes a detector finds.

    page.jpg ─▶ page.jpg                             itself, unless regions alone are wanted
             ─▶ page.jpg#xywh=10,20,300,400, …       what is in the detector's boxes, the best first

It takes any picture: a file, a URL, an object, a page of a PDF, a canvas, whose boxes are in pixels of the canvas. A
region has what is known of its picture as metadata, beside ``score``, ``label`` and the picture's ``full_size``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from contract.boxes import Box
from contract.regions import region_name, region_of
from pictures.cutting import SIDE, cut, encoded, in_full_size
from pictures.decode import sight
from pictures.errors import ImageError
from sources.errors import Unreadable
from sources.full_size import KEY, full_size_of
from sources.source import Item

#: A picture has at most so many regions, those of the best scores.
_MOST = 1000
#: What a region's metadata have beside its picture's.
_OWN = ("score", "label", KEY)


class FindsBoxes(Protocol):
    """A detector, as far as a splitter needs one. ``str`` of it changes when its boxes may. Threads may share it, and a
    copy may be pickled."""

    def __call__(self, picture: NDArray[np.uint8]) -> Sequence[Box]:
        """Returns the boxes in ``picture``, uint8 (height, width, 3) RGB, the best score first. Raises Unreadable."""


@dataclass(frozen=True)
class Regions:
    """Takes pictures apart into what ``finds`` finds on them; ``alone``: the pictures are no items themselves."""

    finds: FindsBoxes
    alone: bool = False

    @property
    def suffixes(self) -> frozenset[str]:
        return frozenset()

    def __str__(self) -> str:
        return f"regions:{self.finds}" + (",alone" if self.alone else "")

    def splits(self, item: Item) -> bool:
        return item.kind == "picture" and region_of(item.name) is None

    def parts(self, item: Item, data: bytes) -> Iterator[tuple[Item, bytes | Unreadable]]:
        """Yields the picture as it is, then its regions as BMP. What cannot be decoded, or searched for boxes, has a
        reason of its own, and stays an item."""
        if not self.alone:
            yield item, data
        try:
            picture, own = sight(data, SIDE)
            found = self.finds(np.asarray(picture))
        except ImageError as error:
            if self.alone:  # otherwise it is said of the picture itself
                yield item, Unreadable(str(error))
            return
        except Unreadable as error:
            yield replace(item, name=f"{item.name}#xywh", parent=item.name), error
            return
        full = full_size_of(item.metadata) or own
        names = set[str]()
        for box in found[:_MOST]:
            place = in_full_size(box, picture, full)
            if place is None or (name := region_name(item.name, place)) in names:
                continue
            names.add(name)
            about = {"score": round(box.score, 4), "label": box.label, KEY: list(full)}
            metadata = region_metadata(item.metadata, about)
            yield (
                replace(item, name=name, parent=item.name, metadata=metadata),
                encoded(cut(picture, place, full), "BMP"),
            )


def region_metadata(of_picture: str | None, of_region: Mapping[str, Any]) -> str:
    """Returns a region's metadata: those of its picture, JSON text, and those ``of_region`` that are its own."""
    known: Any = json.loads(of_picture or "{}")
    own = {key: of_region[key] for key in _OWN if key in of_region}
    return json.dumps((known if isinstance(known, dict) else {}) | own, ensure_ascii=False)

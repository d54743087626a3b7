"""Names of regions of pictures: media fragments (W3C Media Fragments URI, 4.2.2), in pixels of the picture's full size.

page.jpg#xywh=10,20,300,400              left, top, width, height on page.jpg, its parent
book.pdf#page=3&xywh=10,20,300,400       on a page, whose name has a fragment already
shoe_crop0.jpg                           a crop as other programs name it: of shoe.jpg, nobody says where
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple


class Region(NamedTuple):
    """A part of the picture called ``parent``; ``box`` is its left, top, width and height."""

    parent: str
    box: tuple[int, int, int, int]


_REGION = re.compile(r"(.+)[#&]xywh=([0-9]{1,9}),([0-9]{1,9}),([1-9][0-9]{0,8}),([1-9][0-9]{0,8})", re.DOTALL)
_FRAGMENT = re.compile(r".*#[a-z]+=[^#/]*", re.DOTALL)
_CROP = re.compile(r"(.*[^/])_crop[0-9]*(\.[^./]*)?", re.DOTALL)


def region_name(parent: str, box: tuple[int, int, int, int]) -> str:
    """The name of the region in ``box`` of the picture called ``parent``."""
    joint = "&" if _FRAGMENT.fullmatch(parent) else "#"
    return f"{parent}{joint}xywh={','.join(map(str, box))}"


def names_of_regions(parent: str) -> tuple[str, str]:
    """The names of all regions of ``parent`` lie between these two, in code point order, and no others do."""
    before = region_name(parent, (0, 0, 0, 0)).removesuffix("0,0,0,0")
    return f"{before}0", f"{before}:"


def region_of(name: str) -> Region | None:
    """The region called ``name``; None if it isn't a region's name."""
    found = _REGION.fullmatch(name)
    return found and Region(found[1], (int(found[2]), int(found[3]), int(found[4]), int(found[5])))


def picture_of(name: str) -> str:
    """The picture that what is called ``name`` is on, by which answers are grouped: a region's parent, the picture that
    a crop was cut from, and else the name itself."""
    region = region_of(name)
    if region is not None:
        return region.parent
    crop = _CROP.fullmatch(name)
    return f"{crop[1]}{crop[2] or ''}" if crop else name


def best_of_each(names: Sequence[str]) -> list[int]:
    """The place of the first of ``names`` on each picture, in their order."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(picture_of(name), place)
    return list(places.values())


def regions_among(names: Sequence[str], *, collapsed: bool = False) -> dict[str, Any]:
    """The fields ``parents`` and ``boxes`` of an answer with the images called ``names``; none where no region is among
    them, unless they are ``collapsed``."""
    regions = [region_of(name) for name in names]
    if not collapsed and not any(regions):
        return {}
    return {"parents": list(map(picture_of, names)), "boxes": [region and list(region.box) for region in regions]}

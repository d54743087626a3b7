"""How many pixels a HEIF file has its decoder decode, told by its boxes (ISO/IEC 23008-12).

    meta ─┬─ pitm   the item that is the picture                    primary 5
          ├─ iinf   the items' kinds                                1 to 4: hvc1, 5: grid
          ├─ iref   which items an item is made of                  5 ─▶ 1, 2, 3, 4
          └─ iprp   their sizes (ispe), and whose they are (ipma)   512 × 512, 1000 × 1000

The picture of a phone is a grid of some fifty items. A file of a few bytes may name the same large item thousands of
times. A single item needs no care: libheif refuses one that is larger than its size in the boxes.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache

from pictures.boxes import Box, boxes, number_at
from pictures.errors import ImageTooLarge, UnreadableImage

_DERIVED = (b"grid", b"iovl", b"iden", b"tmap")
#: Grids of overlays of grids: phones have one step.
_MOST_STEPS = 4
_MOST_ITEMS, _MOST_REFERENCES = 5_000, 50_000
_FULL = 4  # bytes of version and flags


def coded_pixels(data: bytes) -> int:
    """The pixels of all items that decoding the picture in ``data``, and its alpha, decodes. Raises ImageError."""
    meta = next((box for box in boxes(data) if box.kind == b"meta"), None)
    if meta is None:
        return 0  # a sequence alone
    inner = {box.kind: box for box in boxes(data, meta.start + _FULL, meta.end)}
    kinds = dict(_kinds(data, inner[b"iinf"])) if b"iinf" in inner else {}
    parts: dict[int, list[int]] = defaultdict(list)
    beside: dict[int, list[int]] = defaultdict(list)
    if b"iref" in inner:
        for kind, item, others in _references(data, inner[b"iref"]):
            if kind == b"dimg":
                parts[item] += others
            elif kind == b"auxl":
                for other in others:
                    beside[other].append(item)
    areas = _areas(data, inner[b"iprp"]) if b"iprp" in inner else {}

    @cache
    def work(item: int, steps: int) -> int:
        if steps > _MOST_STEPS:
            raise ImageTooLarge("the image is made of parts of parts of parts")
        alpha = sum(work(other, steps + 1) for other in beside[item])
        if kinds.get(item) in _DERIVED:
            return areas.get(item, 0) + alpha + sum(work(part, steps + 1) for part in parts[item])
        return areas.get(item, 0) + alpha

    if b"pitm" not in inner:
        raise UnreadableImage("the image is damaged or truncated (no primary item)")
    return work(_versioned(data, inner[b"pitm"], ">H", ">I")[0], 0)


def _kinds(data: bytes, iinf: Box) -> Iterator[tuple[int, bytes]]:
    _, start = _versioned(data, iinf, ">H", ">I")
    for number, box in enumerate(boxes(data, start, iinf.end)):
        if number >= _MOST_ITEMS:
            raise ImageTooLarge(f"the image has more than {_MOST_ITEMS:,} parts")
        wide = data[box.start] >= 3
        (item,) = number_at(data, box.start + _FULL, ">I" if wide else ">H")
        kind = box.start + _FULL + (6 if wide else 4)
        yield item, data[kind : kind + 4]


def _references(data: bytes, iref: Box) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    letter = "I" if data[iref.start] else "H"
    size = 4 if letter == "I" else 2
    total = 0
    for box in boxes(data, iref.start + _FULL, iref.end):
        item, count = number_at(data, box.start, f">{letter}H")
        total += count
        if total > _MOST_REFERENCES:
            raise ImageTooLarge(f"the image has more than {_MOST_REFERENCES:,} references to its parts")
        yield box.kind, item, number_at(data, box.start + size + 2, f">{count}{letter}")


def _areas(data: bytes, iprp: Box) -> dict[int, int]:
    """Width × height of each item: the largest, if it has several sizes."""
    inner = {box.kind: box for box in boxes(data, iprp.start, iprp.end)}
    if b"ipco" not in inner or b"ipma" not in inner:
        return {}
    sizes = [_area(data, box) for box in boxes(data, inner[b"ipco"].start, inner[b"ipco"].end)]
    areas: dict[int, int] = {}
    for box in boxes(data, iprp.start, iprp.end):  # a file may have several ipma
        if box.kind == b"ipma":
            for item, properties in _associations(data, box):
                known = [sizes[each - 1] for each in properties if 0 < each <= len(sizes)]
                areas[item] = max([areas.get(item, 0), *known])
    return areas


def _area(data: bytes, box: Box) -> int:
    if box.kind != b"ispe":
        return 0
    width, height = number_at(data, box.start + _FULL, ">II")
    return width * height


def _associations(data: bytes, ipma: Box) -> Iterator[tuple[int, list[int]]]:
    wide_item, wide_index = data[ipma.start] > 0, data[ipma.start + 3] & 1
    (count,) = number_at(data, ipma.start + _FULL, ">I")
    place = ipma.start + _FULL + 4
    for _ in range(min(count, _MOST_ITEMS)):
        item, properties = number_at(data, place, ">IB" if wide_item else ">HB")
        place += 5 if wide_item else 3
        indices = number_at(data, place, f">{properties}{'H' if wide_index else 'B'}")
        place += properties * (2 if wide_index else 1)
        yield item, [index & (0x7FFF if wide_index else 0x7F) for index in indices]


def _versioned(data: bytes, box: Box, narrow: str, wide: str) -> tuple[int, int]:
    """The number at the beginning of ``box``, whose width depends on the box's version, and where it ends."""
    layout = wide if data[box.start] else narrow
    (number,) = number_at(data, box.start + _FULL, layout)
    return number, box.start + _FULL + (4 if layout == wide else 2)

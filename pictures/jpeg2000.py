"""What a JPEG 2000 tells before it is decoded: at which scales it can be, whether all of it is there, and whether it is
cut into more parts than a picture needs (ISO/IEC 15444-1, annex A).

    SOC  SIZ: size, tiles  COD: levels, code blocks, precincts  …  SOT: a tile, its length  …  SOD  …  EOC

Its decoder skips what only larger scales need, and fills with grey what is missing. For each tile, code block and
precinct it takes memory before it reads a byte of it: a file of 195 bytes with precincts of 2 × 2 pixels took 1.7 GB.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from pictures.boxes import boxes, number_at
from pictures.errors import ImageTooLarge, UnreadableImage

_CODESTREAM, _START, _END = b"jp2c", b"\xff\x4f\xff\x51", b"\xff\xd9"  # which no compressed data holds
_SIZE, _STYLE, _STYLE_OF_COMPONENT, _TILE, _DATA = 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93
_MOST_MARKERS = 1_000

#: 256 × 256 for each precinct or tile is usual, and 64 × 64 for a code block. Each tile takes some 9 KB, a precinct
#: 1.7 KB, a code block 0.2 KB.
_MOST_TILES, _MOST_PRECINCTS, _MOST_BLOCKS = 10_000, 100_000, 500_000


class Head(NamedTuple):
    """``halvings``: how many times it can be halved while it is decoded."""

    width: int
    height: int
    halvings: int


class _Style(NamedTuple):
    """``block``: pixels of a code block; ``precincts``: binary logarithms of their sides, the smallest scale first."""

    block: int
    precincts: tuple[tuple[int, int], ...]


def head_of(data: bytes) -> Head:
    """The head of the JPEG 2000 in ``data``. Raises UnreadableImage if it isn't whole, and ImageTooLarge for too many
    parts."""
    start, end = _codestream(data)
    width = height = channels = 0
    styles = []
    for marker, place in _markers(data, start + 2, end, _TILE):
        if marker == _SIZE:
            right, bottom, left, top, across, down, from_left, from_top, channels = number_at(data, place + 6, ">8IH")
            width, height = right - left, bottom - top
            if not across or not down or channels > 4:
                raise UnreadableImage("the image is damaged, or a kind of JPEG2000 that nothing here reads")
            tiles = -(-(right - from_left) // across) * -(-(bottom - from_top) // down)
            _refuse_above(_MOST_TILES, tiles, "tiles")
        elif marker == _STYLE:
            styles.append(_style(data, place + 4, place + 9))
        elif marker == _STYLE_OF_COMPONENT:
            styles.append(_style(data, place + 5, place + 6))
    if not styles or width <= 0 or height <= 0:
        raise UnreadableImage("the image is damaged or truncated (its head is missing)")
    for style in styles:
        blocks, precincts = _parts(style, width, height)
        _refuse_above(_MOST_PRECINCTS, precincts * channels, "precincts")
        _refuse_above(_MOST_BLOCKS, blocks * channels, "code blocks")
    _check_tiles(data, start, end)
    return Head(width, height, min(len(style.precincts) for style in styles) - 1)


def _codestream(data: bytes) -> tuple[int, int]:
    """Where it begins and ends."""
    start, end = 0, len(data)
    if not data.startswith(_START):
        start, end = next((box[1:] for box in boxes(data) if box.kind == _CODESTREAM), (0, 0))
    end = len(data[:end].rstrip(b"\0"))
    if not data.startswith(_START, start) or not data.endswith(_END, start, end):
        raise UnreadableImage("the image is damaged or truncated (its end is missing)")
    return start, end


def _markers(data: bytes, place: int, end: int, last: int) -> Iterator[tuple[int, int]]:
    """Yields the markers from ``place`` on, and where each is, up to and with ``last``."""
    for _ in range(_MOST_MARKERS):
        marker, length = number_at(data, place, ">HH")
        yield marker, place
        if marker == last:
            return
        if length < 2 or place + 2 + length > end:
            break
        place += 2 + length
    raise UnreadableImage("the image is damaged or truncated (its head has no end)")


def _check_tiles(data: bytes, start: int, end: int) -> None:
    """Refuse tiles with a style of their own, which no writer in use makes."""
    place = next(place for marker, place in _markers(data, start + 2, end, _TILE) if marker == _TILE)
    for _ in range(10 * _MOST_TILES):
        (length,) = number_at(data, place + 6, ">I")
        for marker, _ in _markers(data, place, end, _DATA):
            if marker in (_STYLE, _STYLE_OF_COMPONENT):
                raise UnreadableImage("a kind of JPEG2000 that nothing here reads: a tile has a style of its own")
        place += length
        if length == 0 or not data.startswith(struct.pack(">H", _TILE), place):
            return
    raise ImageTooLarge("the image has more parts of tiles than any picture has")


def _style(data: bytes, style: int, levels: int) -> _Style:
    """The style whose flags are at ``style``, and whose number of levels is at ``levels``."""
    (flags,), (halvings, width, height) = number_at(data, style, ">B"), number_at(data, levels, ">3B")
    sizes = number_at(data, levels + 5, f">{halvings + 1}B") if flags & 1 else (0xFF,) * (halvings + 1)
    return _Style(1 << ((width & 15) + (height & 15) + 4), tuple((size & 15, size >> 4) for size in sizes))


def _parts(style: _Style, width: int, height: int) -> tuple[int, int]:
    """The code blocks and precincts of one channel."""
    blocks = precincts = 0
    for scale, (across, down) in enumerate(reversed(style.precincts)):
        wide, high = (width >> scale) + 1, (height >> scale) + 1
        here = -(-wide >> across) * -(-high >> down)
        precincts += here
        # Three bands of a quarter each. A code block is no larger than its precinct's part of a band.
        blocks += max(wide * high // min(style.block, 1 << max(0, across + down - 2)), 3 * here)
    return blocks, precincts


def _refuse_above(most: int, count: int, what: str) -> None:
    if count > most:
        raise ImageTooLarge(f"the image is cut into {count:,} {what}; the limit is {most:,}")

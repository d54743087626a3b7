"""The size of a JPEG XL, from its head (ISO/IEC 18181-1, annex D): its plug-in decodes while it opens.

FF 0A, or a box jxlc or jxlp that holds it ─▶ bits, the lowest of each byte first ─▶ size ─▶ channels
"""

from typing import NamedTuple

from pictures.boxes import boxes
from pictures.errors import UnreadableImage

_BARE = b"\xff\x0a"
_WHOLE, _PART = b"jxlc", b"jxlp"
#: Width for a height, as ratios that need no number: 1:1, 12:10, 4:3, 3:2, 16:9, 5:4, 2:1.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
#: A number in one of four ways: what is added to so many bits.
_SIDE = ((1, 9), (1, 13), (1, 18), (1, 30))
_PREVIEW, _PREVIEW_OF_EIGHTS = ((1, 6), (65, 8), (321, 10), (1345, 12)), ((16, 0), (32, 0), (1, 5), (33, 9))
_TICKS, _PER, _LOOPS = (
    ((100, 0), (1000, 0), (1, 10), (1, 30)), ((1, 0), (1001, 0), (1, 8), (1, 10)), ((0, 0), (0, 3), (0, 16), (0, 32)),
)  # fmt: skip
_INTEGERS, _FLOATS = ((8, 0), (10, 0), (12, 0), (1, 6)), ((32, 0), (16, 0), (24, 0), (1, 6))
_EXTRA = ((0, 0), (1, 0), (2, 4), (1, 12))
#: Bits that all of this takes at most, in bytes.
_HEAD = 64


class Head(NamedTuple):
    """``channels``: three of colour, and those beside them, such as alpha and depth."""

    width: int
    height: int
    channels: int


def head_of(data: bytes) -> Head:
    """The head of the JPEG XL in ``data``. Raises UnreadableImage if there is none."""
    bits = _Bits(_codestream(data)[:_HEAD])
    width, height = _size(bits)
    extra = 0
    if not bits.take(1):  # all as usual: no further channels
        if bits.take(1):
            bits.take(3)  # orientation
            if bits.take(1):
                _size(bits)  # the size in which it should be shown
            if bits.take(1):
                _skip_preview(bits)
            if bits.take(1):
                for way in (_TICKS, _PER, _LOOPS):
                    bits.number(way)
                bits.take(1)
        if bits.take(1):
            bits.number(_FLOATS)
            bits.take(4)
        else:
            bits.number(_INTEGERS)
        bits.take(1)
        extra = bits.number(_EXTRA)
    return Head(width, height, 3 + extra)


def _codestream(data: bytes) -> bytes:
    """Its first bytes, behind the signature."""
    if data.startswith(_BARE):
        return data[2 : 2 + _HEAD]
    for box in boxes(data):
        start = box.start + (4 if box.kind == _PART else 0)  # a part's number
        if box.kind in (_WHOLE, _PART) and data.startswith(_BARE, start):
            return data[start + 2 : start + 2 + _HEAD]
    raise UnreadableImage("the image is damaged or truncated (no codestream)")


def _size(bits: "_Bits") -> tuple[int, int]:
    eights = bits.take(1)
    height = 8 * (1 + bits.take(5)) if eights else bits.number(_SIDE)
    if ratio := bits.take(3):
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return 8 * (1 + bits.take(5)) if eights else bits.number(_SIDE), height


def _skip_preview(bits: "_Bits") -> None:
    way = _PREVIEW_OF_EIGHTS if bits.take(1) else _PREVIEW
    bits.number(way)
    if not bits.take(3):
        bits.number(way)


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next ``count`` bits, as a number."""
        if count > self._left:
            raise UnreadableImage("the image is damaged or truncated (no size)")
        taken = self._number & ((1 << count) - 1)
        self._number >>= count
        self._left -= count
        return taken

    def number(self, ways: tuple[tuple[int, int], ...]) -> int:
        """A number in one of four ``ways``, which two bits choose."""
        base, count = ways[self.take(2)]
        return base + self.take(count)

"""Files of boxes (ISO/IEC 14496-12), as HEIF, JPEG 2000 and JPEG XL are: size, kind, content.

00 00 00 10  i s p e  00 00 00 00 …       16 bytes in all
00 00 00 01  m d a t  then 8 bytes of size;   size 0: to the end
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from pictures.errors import ImageTooLarge, UnreadableImage

#: Real files have fewer.
_MOST_BOXES = 20_000


class Box(NamedTuple):
    """``kind``, and where in the file its content begins and ends."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yields the boxes in ``data`` between ``start`` and ``end``. Raises UnreadableImage where one leaves this range,
    and ImageTooLarge for more than there should be."""
    last = len(data) if end is None else end
    for _ in range(_MOST_BOXES):
        if start + 8 > last:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = number_at(data, content, ">Q")
            content += 8
        stop = last if size == 0 else start + size
        if not content <= stop <= last:
            raise UnreadableImage("the image is damaged or truncated (a box leaves its file)")
        yield Box(kind, content, stop)
        start = stop
    raise ImageTooLarge(f"the image has more than {_MOST_BOXES:,} boxes")


def number_at(data: bytes, place: int, layout: str) -> tuple[int, ...]:
    """The numbers at ``place``, in the layout of ``struct``. Raises UnreadableImage behind the end."""
    try:
        return struct.unpack_from(layout, data, place)
    except struct.error as error:
        raise UnreadableImage("the image is damaged or truncated (a box is too short)") from error

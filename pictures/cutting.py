"""Regions of pictures, cut out: what a region's item is embedded from, and what is shown of it.

    picture ─▶ sight: decoded, a huge JPEG at a half, a quarter or an eighth ─▶ a detector ─▶ its boxes
                                     cut: a region from these pixels ◀─ in_full_size: in those of the original ◀┘

The colours are those that a viewer shows (``whole_picture``), so a region looks like its picture.
"""

import io
import math

from PIL import Image

from contract.boxes import Box
from pictures.decode import sight
from pictures.errors import UnreadableImage
from pictures.limits import DEFAULT_LIMITS, Limits

#: A JPEG whose longer side is more than twice this is decoded smaller: that is enough for detectors and figures.
SIDE = 3000
#: Smaller boxes, in pixels a side of what was decoded, are specks.
_LEAST_SIDE = 8
#: A larger region is shrunken: it is as much as any model needs, and a file of it within the limits.
_MOST_PIXELS = 10_000_000


def in_full_size(box: Box, picture: Image.Image, full: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Returns left, top, width and height of ``box``, which was found on ``picture``, in pixels of the ``full`` size;
    None for a speck, and for what lies outside."""
    left, top = max(box.x, 0), max(box.y, 0)
    right, bottom = min(box.x + box.width, picture.width), min(box.y + box.height, picture.height)
    if min(right - left, bottom - top) < _LEAST_SIDE:
        return None
    across, down = full[0] / picture.width, full[1] / picture.height
    x, y = int(left * across), int(top * down)
    return x, y, max(1, round(right * across) - x), max(1, round(bottom * down) - y)


def cut(picture: Image.Image, box: tuple[int, int, int, int], full: tuple[int, int]) -> Image.Image:
    """Returns the region in ``box``, left, top, width and height in pixels of a picture of the size ``full``, from
    ``picture``, which is that picture in any size. Raises UnreadableImage for a box that lies outside."""
    left, top, width, height = box
    across, down = picture.width / full[0], picture.height / full[1]
    edges = (
        math.floor(left * across),
        math.floor(top * down),
        min(picture.width, math.ceil((left + width) * across)),
        min(picture.height, math.ceil((top + height) * down)),
    )
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise UnreadableImage("the region lies outside of the picture")
    region = picture.crop(edges)
    shrink = math.sqrt(_MOST_PIXELS / (region.width * region.height))
    if shrink < 1:
        region.thumbnail((region.width * shrink, region.height * shrink))
    return region


def cut_out(
    data: bytes,
    box: tuple[int, int, int, int],
    full: tuple[int, int] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """Returns the region in ``box`` of the picture in ``data`` as PNG. ``full``: the size that the box refers to, if it
    isn't the picture's own. Raises ImageError."""
    picture, own = sight(data, SIDE, limits)
    return encoded(cut(picture, box, full or own), "PNG")


def encoded(picture: Image.Image, kind: str) -> bytes:
    """Returns ``picture`` as a file of the format ``kind``, without loss."""
    stream = io.BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()

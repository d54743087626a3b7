"""Colours of 16 bits a sample that use only the lower ones: twelve bits of a camera, stored in sixteen.

    16 bits ─▶ Pillow ─▶ the upper 8       at most 63: decoded again for the lower 8 ─▶ samples ─▶ their range

Of colours, Pillow keeps the upper eight bits, and of these pictures hardly anything. Read with the other byte order, it
gives the lower eight instead.
"""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pictures.depth import range_of_integers, told_range
from pictures.formats import FORMATS
from pictures.levels import levels

_OTHER_ORDER = {
    f"{colours};16{order}": f"{colours};16{other}"
    for colours in ("RGB", "RGBX", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B"))  # libtiff gives the machine's own order, which is L
}
#: Grey and alpha, of 16 bits each, are the four bytes of a pixel; read as they stand.
_GREY_WITH_ALPHA, _FOUR_BYTES = "LA;16B", "RGBA"
_DIM = 63
_BAND = 64  # rows


def is_deep_colour(image: Image.Image) -> bool:
    """Whether ``image``, which isn't loaded, has colours of 16 bits."""
    return any(_layout(tile) in (*_OTHER_ORDER, _GREY_WITH_ALPHA) for tile in getattr(image, "tile", ()))


def by_range(image: Image.Image, data: bytes) -> Image.Image:
    """``image``, which is loaded and was of deep colour, by the range that its samples in the file ``data`` use."""
    if max(high for _, high in levels(image)[:3]) > _DIM:
        return image
    with Image.open(io.BytesIO(data), formats=FORMATS) as again:
        again.seek(image.tell())
        grey = _layout(again.tile[0]) == _GREY_WITH_ALPHA
        again.tile = [_read_otherwise(tile) for tile in again.tile]
        upper, read = np.asarray(image), np.asarray(again)

    def samples(top: int) -> NDArray[np.integer[Any]]:
        low = read[top : top + _BAND].astype(np.uint16)
        if grey:
            return low[..., [0, 0, 0, 2]] << 8 | low[..., [1, 1, 1, 3]]
        return upper[top : top + _BAND].astype(np.uint16) << 8 | low

    tops = range(0, image.height, _BAND)  # never the whole picture in 16 bits
    lowest = min(int(samples(top)[..., :3].min()) for top in tops)
    highest = max(int(samples(top)[..., :3].max()) for top in tops)
    low, high = told_range(image, data, lowest, highest) or range_of_integers(lowest, highest)
    eight = np.clip((np.arange(65536) - low) * (255 / (high - low)), 0, 255).round().astype(np.uint8)
    picture = np.concatenate([eight[samples(top)] for top in tops])
    if upper.shape[2] == 4 and int(upper[..., 3].max()) > int(high) >> 8:
        picture[..., 3] = upper[..., 3]
    return Image.fromarray(picture)


def _layout(tile: ImageFile._Tile) -> Any:
    """How its samples are stored: RGB;16B."""
    return tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args


def _read_otherwise(tile: ImageFile._Tile) -> ImageFile._Tile:
    layout = _layout(tile)
    other = _FOUR_BYTES if layout == _GREY_WITH_ALPHA else _OTHER_ORDER[layout]
    return tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)

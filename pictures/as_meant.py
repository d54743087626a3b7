"""Decoding 2: pictures as they are meant, in what a resize can take; colours are turned into sRGB after it.

deep samples → eight bits, by their range → transparent parts on a ground that shows what is drawn
"""

import numpy as np
from PIL import Image

from pictures.deep_colour import by_range, is_deep_colour
from pictures.depth import eight_bit_grey, is_deep
from pictures.ground import on_ground


def opaque_as_meant(image: Image.Image, data: bytes) -> Image.Image:
    """``image`` in mode RGB, L, CMYK or LAB, of its own colours. ``data`` is its file."""
    if image.format == "JPEG" and image.mode in ("RGB", "L"):  # nearly every picture: nothing of this concerns it
        image.load()
        return image
    deep_colour = is_deep_colour(image)
    image.load()
    if is_deep(image):
        grey, key = eight_bit_grey(image, data), image.info.get("transparency")
        if isinstance(key, int):  # the one level that a PNG calls transparent
            grey.putalpha(Image.fromarray(np.asarray(image) != key).convert("L"))
            return on_ground(grey)
        return grey
    if deep_colour:
        image = by_range(image, data)
    if image.has_transparency_data:
        return on_ground(image)
    if image.mode in ("RGB", "L") or ("icc_profile" in image.info and image.mode in ("CMYK", "LAB")):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")

"""Decoding 1: samples as they are stored, in 8-bit RGB, transparent parts on white.

It knows no colour profile, one range for each kind of sample, and one ground. Models whose cards ask for it were
trained on its pixels, and index versions hold codes of them: it never changes.
"""

import numpy as np
from PIL import Image

_BAND = 64  # rows


def rgb_as_stored(image: Image.Image) -> Image.Image:
    """``image`` in 8-bit RGB."""
    image.load()
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Greyscale of 16 or 32 bits as 8 bits. Pillow's own conversion clips at 255: nearly everything turns white."""
    values = np.asarray(image)
    if image.mode == "F":
        finite = values[np.isfinite(values)]
        scale = 255.0 if finite.max(initial=0.0) <= 1.0 else 1.0  # both 0…1 and 0…255 are in use
    else:
        scale = 1 / 257  # 65535 → 255
    small = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), _BAND):  # never the whole picture in floating point
        band = np.nan_to_num(values[top : top + _BAND] * scale, nan=0.0, posinf=0.0, neginf=0.0)
        small[top : top + _BAND] = np.clip(band, 0, 255).round()
    return Image.fromarray(small)

"""The ground on which a picture with transparent parts is laid: one that what is drawn stands out from.

white, unless the outline of what is drawn is lost on it ─▶ else black ─▶ else grey

    a photograph that is cut out      outline of many colours     white
    a white circle                    lost on white               black
    white letters beside a black box  lost on white, on black     grey

Where nothing is transparent, or nothing drawn, the ground is white.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pictures.levels import levels

_GROUNDS = (255, 0, 128)
#: What differs from the ground by less than this, of 255, is lost on it.
_LEAST = 16
#: The share of the outline that may be lost.
_MOST_LOST = 1 / 8
#: The outline is looked for in a picture of at most this many pixels a side, as models see it.
_SIDE = 256


def on_ground(image: Image.Image) -> Image.Image:
    """``image``, which is loaded and has transparency, without: in mode L if it is grey, else RGB."""
    mode = "L" if image.mode in ("L", "LA") else "RGB"
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    [(lowest, highest)] = levels(rgba.getchannel("A"))
    if highest == 0:
        if not _varies(rgba):
            return Image.new(mode, rgba.size, "white")
        lowest = 255  # a writer that forgot alpha: with it, nothing at all would be seen
    if lowest == 255:
        rgb = rgba.convert("RGB")
    else:
        rgb = Image.new("RGB", rgba.size, (_ground(rgba),) * 3)
        rgb.paste(rgba, mask=rgba)
    return rgb if mode == "RGB" else rgb.convert(mode)  # convert would copy


def _varies(rgba: Image.Image) -> bool:
    return any(low != high for low, high in levels(rgba)[:3])


def _ground(rgba: Image.Image) -> int:
    """The level of the first ground on which enough of the outline shows, else of the one on which most does."""
    values = np.asarray(_small(rgba)).astype(np.int32)
    colours, alpha = values[..., :3], values[..., 3:]
    alpha = alpha * 255 // max(1, int(alpha.max()))  # a faint drawing is judged as if it were in full strength
    shows = [(alpha * np.abs(colours - ground)).max(axis=2) >= _LEAST * 255 for ground in _GROUNDS]
    outline = _outline(np.any(shows, axis=0))
    lost = [float(np.mean(~each[outline])) if outline.any() else 0.0 for each in shows]
    enough = [ground for ground, share in zip(_GROUNDS, lost, strict=True) if share <= _MOST_LOST]
    return enough[0] if enough else _GROUNDS[int(np.argmin(lost))]


def _small(rgba: Image.Image) -> Image.Image:
    if max(rgba.size) <= _SIDE:
        return rgba
    small = rgba.convert("RGBa")  # as resizing RGBA does, without a copy beside it
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return small.convert("RGBA")


def _outline(drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those of the pixels ``drawn`` that have one of eight neighbours that isn't; all, if none has."""
    height, width = drawn.shape
    padded = np.pad(drawn, 1, constant_values=True)
    whole = np.all([padded[top : top + height, left : left + width] for top in range(3) for left in range(3)], axis=0)
    outline: NDArray[np.bool_] = drawn & ~whole
    return outline if outline.any() else drawn

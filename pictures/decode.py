"""Image bytes to pixels: the square uint8 picture that a model sees, and the RGB picture that people see.

    open (known formats only) → limits → draft → decode, as stored or as meant → upright → resize → sRGB

This is the only decoder: the indexer's files, the handler's uploads and the gateway's thumbnails all use it, so the
same bytes always become the same pixels. Old models see samples as they are stored, people and new ones what is meant.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from pictures.as_meant import opaque_as_meant
from pictures.as_stored import rgb_as_stored
from pictures.colours import srgb
from pictures.errors import ImageTooLarge
from pictures.frames import first_meaningful
from pictures.limits import DEFAULT_LIMITS, Limits
from pictures.opening import Draft, admit, opened
from pictures.preparation import NEWEST_DECODING, Decoding, Preprocessing
from pictures.work import Budget, BudgetSpent

_RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
Resize = Callable[[Image.Image], Image.Image]

_ORIENTATION = 0x0112
#: What makes a picture upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
#: Those by which width and height change places.
_LYING = (5, 6, 7, 8)
#: The formats that can be decoded smaller.
_DRAFTED = ("JPEG", "MPO", "JPEG2000")


def decode(
    data: bytes, preprocessing: Preprocessing, limits: Limits = DEFAULT_LIMITS, budget: Budget | None = None
) -> NDArray[np.uint8]:
    """The picture in ``data`` as a model wants it: uint8, shape (image_size, image_size, 3), RGB.

    Raises ImageTooLarge over the limits, UnreadableImage for anything that isn't a whole image of a known format, and
    BudgetSpent if the picture is more work than ``budget`` has left. Of an animation or a multi-page file, one frame
    counts: the first, or the first that shows anything (pictures/frames.py).
    """
    with opened(data, limits, _draft(preprocessing), budget) as image:
        square = partial(_square, preprocessing=preprocessing)
        return np.array(_picture(image, data, square, preprocessing.decoding, limits, budget))


def whole_picture(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """The picture in ``data`` at its own size, upright, in sRGB, without transparency: what a viewer shows. Raises as
    decode does."""
    with opened(data, limits) as image:
        return _for_people(image, data, lambda picture: picture, limits)


def sight(
    data: bytes, side: int, limits: Limits = DEFAULT_LIMITS, budget: Budget | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """``whole_picture``, and its full size, upright. A JPEG or JPEG 2000 whose longer side is twice ``side`` pixels or
    more is decoded at 1/2, 1/4 or 1/8 of it, no smaller than ``side``. Raises as decode does."""
    claimed = (0, 0)

    def draft(size: tuple[int, int]) -> tuple[int, int]:
        nonlocal claimed
        claimed, scale = size, min(1.0, side / max(size))
        return math.ceil(size[0] * scale), math.ceil(size[1] * scale)

    with opened(data, limits, draft, budget) as image:
        picture = _for_people(image, data, lambda picture: picture, limits, budget)
        if image.format not in _DRAFTED:
            return picture, picture.size
        return picture, claimed[::-1] if image.getexif().get(_ORIENTATION, 1) in _LYING else claimed


def shrunken(data: bytes, side: int, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """``whole_picture``, at most ``side`` pixels wide and high; never enlarged. The pixels are those that a model sees.
    Raises as decode does."""

    def draft(size: tuple[int, int]) -> tuple[int, int]:
        scale = 2 * side / max(size)  # twice as large as wanted, so that shrinking has something to smooth
        return math.ceil(size[0] * scale), math.ceil(size[1] * scale)

    def shrink(picture: Image.Image) -> Image.Image:
        picture.thumbnail((side, side))
        return picture

    with opened(data, limits, draft) as image:
        return _for_people(image, data, shrink, limits)


def decoder() -> str:
    """The decoder of this process: Pillow and its JPEG library. Other versions may change a pixel value by one."""
    library, version = "libjpeg-turbo", features.version_feature("libjpeg_turbo")
    if version is None:  # a Pillow built against another JPEG library
        library, version = "libjpeg", features.version_codec("jpg")
    return f"Pillow {features.version_module('pil')}, {library} {version}"


def _draft(preprocessing: Preprocessing) -> Draft | None:
    if preprocessing.jpeg_draft is None:
        return None
    least = math.ceil(preprocessing.image_size * preprocessing.jpeg_draft)
    return lambda _size: (least, least)


def _for_people(
    image: Image.Image, data: bytes, resize: Resize, limits: Limits, budget: Budget | None = None
) -> Image.Image:
    picture = _picture(image, data, resize, NEWEST_DECODING, limits, budget).copy()
    picture.info.clear()  # its colours are no longer those of the profile there
    return picture


def _picture(
    image: Image.Image, data: bytes, resize: Resize, decoding: Decoding, limits: Limits, budget: Budget | None = None
) -> Image.Image:
    """``image``, opened from ``data``, as a resized picture in RGB. Colours are turned last, when there are fewest."""
    if decoding == 1:
        return resize(_upright(rgb_as_stored(image), image))

    def see() -> Image.Image:
        opaque = opaque_as_meant(image, data)
        return srgb(resize(_upright(opaque, image)), image.info.get("icc_profile"))

    def admit_next() -> None:
        try:
            admit(image, image.size, data, limits, frames)
        except BudgetSpent as spent:
            if spent.budget is frames:
                raise ImageTooLarge("the frames together are more work than a picture may be") from spent
            raise

    frames = Budget(limits.max_samples, budget)
    return first_meaningful(image, see, admit_next)


def _upright(picture: Image.Image, image: Image.Image) -> Image.Image:
    """``picture`` turned by the EXIF orientation of ``image``, which it was made of."""
    if image.format == "JXL":  # which has it in its codestream, and is upright already
        return picture
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    return picture if turn is None else picture.transpose(turn)


def _square(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    size = preprocessing.image_size
    box = None
    if preprocessing.resize == "center-crop":
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    return image.resize(
        (size, size), _RESAMPLE[preprocessing.interpolation], box=box, reducing_gap=preprocessing.reducing_gap
    )

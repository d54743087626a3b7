"""Distorted copies of a picture, as files, such as a server gets from the web.

    file → whole picture → distortion → JPEG file

Every choice (where a crop lies, which way a picture is turned) depends on the seed, the picture's name and the
distortion, so a copy doesn't depend on which other pictures are measured.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from pictures.decode import whole_picture

#: Larger pictures are first reduced to this, as sites do with uploads; it also bounds time and memory.
MAX_SIDE = 1600

TEXT = "SAMPLE PHOTO"

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Distortion:
    """``change`` alters the RGB picture; the copy is then saved as JPEG of ``quality``."""

    name: str
    change: Change
    quality: int = 90


def cropped(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """A window of nine tenths of the width and of the height, anywhere: 19% of the area is lost."""
    return _window(picture, 0.9, random)


def closely_cropped(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """A window of seven tenths of the width and of the height, anywhere: half of the area is lost."""
    return _window(picture, 0.7, random)


def _window(picture: Image.Image, share: float, random: np.random.Generator) -> Image.Image:
    width, height = (max(1, round(share * side)) for side in picture.size)
    left = int(random.integers(picture.width - width + 1))
    top = int(random.integers(picture.height - height + 1))
    return picture.crop((left, top, left + width, top + height))


def halved(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    """Half the width and half the height."""
    width, height = (max(1, side // 2) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def kept(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    return picture


def blurred(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    """Gaussian, σ 0.5% of the longer side and at least a pixel."""
    return picture.filter(ImageFilter.GaussianBlur(max(1.0, 0.005 * max(picture.size))))


def rotated(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """5° to the left or to the right; the size stays, and the corners turn black."""
    return picture.rotate(float(random.choice([-5.0, 5.0])), Image.Resampling.BILINEAR)


def rotated_further(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """10° to the left or to the right; the size stays, and the corners turn black."""
    return picture.rotate(float(random.choice([-10.0, 10.0])), Image.Resampling.BILINEAR)


def mirrored(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    """Left is right."""
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def turned(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """A quarter turn to the left or to the right."""
    return picture.transpose(random.choice([Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270]))


def upside_down(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    """Half a turn."""
    return picture.transpose(Image.Transpose.ROTATE_180)


def recoloured(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Brightness, contrast and saturation, each a quarter less or a quarter more."""
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhancer(picture).enhance(float(random.choice([0.75, 1.25])))
    return picture


def grey(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    """Without colours."""
    return picture.convert("L").convert("RGB")


def warmed(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    """A warm tint: red × 1.2, blue × 0.75."""
    gains = np.array([1.2, 1.0, 0.75])
    return Image.fromarray(np.clip(np.asarray(picture) * gains, 0, 255).round().astype(np.uint8))


def inverted(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    """A negative: each value from 255."""
    return ImageOps.invert(picture)


def captioned(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """A line of white text with a black rim, a tenth of the shorter side high, anywhere."""
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    size = max(8, round(0.1 * min(picture.size)))
    font, rim = ImageFont.load_default(size), max(1, size // 12)
    left, top, right, bottom = draw.textbbox((0, 0), TEXT, font, stroke_width=rim)
    x = int(random.integers(max(1, picture.width - int(right - left))))
    y = int(random.integers(max(1, picture.height - int(bottom - top))))
    draw.text((x - left, y - top), TEXT, "white", font, stroke_width=rim, stroke_fill="black")
    return picture


def framed(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    """A white border on every side, 15% of the width or height: the picture keeps 59% of the area."""
    across, down = (round(0.15 * side) for side in picture.size)
    return ImageOps.expand(picture, (across, down), "white")


def screenshot(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    """A window of a viewer: light grey margins of 15%, and above them a dark bar with a title, 10% of the height high.

    The picture keeps 55% of the area, off the middle.
    """
    across, down = (round(0.15 * side) for side in picture.size)
    bar = max(1, round(0.1 * picture.height))
    window = Image.new("RGB", (picture.width + 2 * across, picture.height + 2 * down + bar), (238, 238, 238))
    draw = ImageDraw.Draw(window)
    draw.rectangle((0, 0, window.width - 1, bar - 1), (51, 51, 51))
    draw.text((across, bar // 4), TEXT, "white", ImageFont.load_default(max(4, bar // 2)))
    window.paste(picture, (across, bar + down))
    return window


def cropped_and_halved(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    return halved(cropped(picture, random), random)


DISTORTIONS = (
    Distortion("crop 10%", cropped),
    Distortion("half size", halved),
    Distortion("JPEG q40", kept, quality=40),
    Distortion("blur", blurred),
    Distortion("rotation 5°", rotated),
    Distortion("colours ±25%", recoloured),
    Distortion("text overlay", captioned),
    Distortion("crop 10% + half size + q40", cropped_and_halved, quality=40),
    Distortion("crop 30%", closely_cropped),
    Distortion("rotation 10°", rotated_further),
    Distortion("mirrored", mirrored),
    Distortion("screenshot", screenshot),
    Distortion("border 15%", framed),
    Distortion("greyscale", grey),
    Distortion("warm tint", warmed),
    Distortion("inverted", inverted),
    Distortion("turned 90°", turned),
    Distortion("turned 180°", upside_down),
)


def distorted(data: bytes, name: str, seed: int = 0) -> list[bytes]:
    """Returns a JPEG of the picture in ``data`` for each of DISTORTIONS. Raises ImageError, like pictures.decode."""
    picture = whole_picture(data)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    digest = int.from_bytes(hashlib.sha1(os.fsencode(name), usedforsecurity=False).digest()[:8], "big")
    copies = []
    for number, distortion in enumerate(DISTORTIONS):
        stream = BytesIO()
        changed = distortion.change(picture, np.random.default_rng([seed, digest, number]))
        changed.save(stream, "JPEG", quality=distortion.quality)
        copies.append(stream.getvalue())
    return copies

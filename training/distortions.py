"""What happens to a picture on its way through the world: distorted copies, as files, as a server would get them.

    file → whole picture → distortion → JPEG file

Every choice (where a crop lies, which way a picture is turned) is drawn from the seed, the picture's name and the
distortion, so a copy is the same whichever other pictures are measured.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from hashing.picture import whole_picture

#: Longer pictures are reduced to this first, as sites do that pass pictures on; it also bounds time and memory.
MAX_SIDE = 1600

TEXT = "SAMPLE PHOTO"

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Distortion:
    """``change`` acts on the RGB picture; the copy is then saved as JPEG of ``quality``."""

    name: str
    change: Change
    quality: int = 90


def cropped(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """A window of nine tenths of the width and of the height, anywhere: 19% of the area is lost."""
    width, height = (max(1, round(0.9 * side)) for side in picture.size)
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


def recoloured(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Brightness, contrast and saturation, each a quarter less or a quarter more."""
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhancer(picture).enhance(float(random.choice([0.75, 1.25])))
    return picture


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
)


def distorted(data: bytes, name: str, seed: int = 0) -> list[bytes]:
    """A JPEG file for each of DISTORTIONS of the picture in ``data``. Raises ImageError as hashing.picture does."""
    picture = whole_picture(data)
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    digest = int.from_bytes(hashlib.sha1(name.encode(), usedforsecurity=False).digest()[:8], "big")
    copies = []
    for number, distortion in enumerate(DISTORTIONS):
        stream = BytesIO()
        changed = distortion.change(picture, np.random.default_rng([seed, digest, number]))
        changed.save(stream, "JPEG", quality=distortion.quality)
        copies.append(stream.getvalue())
    return copies

"""Image bytes to the square uint8 picture that a model sees.

    open (known formats only) → limits → draft → decode → upright → RGB on white → resize

This is the only way into a model: the indexer's files and the handler's uploads both pass here, so the same bytes
always become the same pixels.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features

from hashing.card import Preprocessing
from hashing.errors import ImageError, ImageTooLarge, UnreadableImage

#: What users have; JPEG includes the MPO files of phones. A closed list also keeps out formats whose decoders start
#: other programs (EPS) or have no signature and so accept nearly anything (TGA).
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
#: How their files' names end, in lower case.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")

#: A progressive JPEG is decoded once a scan, and scans can be a few bytes each; cameras and editors write about ten.
MAX_JPEG_SCANS = 100
_START_OF_SCAN = b"\xff\xda"

_RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
_ORIENTATION = 0x0112
_BAND = 64  # rows

# Pillow warns from 89 million pixels on and raises from twice that; a warning in a server's log stops nobody.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Limits:
    """What a picture may cost: ``max_bytes`` as it comes, ``max_pixels`` (width × height) once decoded."""

    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = 89_478_485


DEFAULT_LIMITS = Limits()


def decode(data: bytes, preprocessing: Preprocessing, limits: Limits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """The picture in ``data`` as a model wants it: uint8, shape (image_size, image_size, 3), RGB.

    Raises ImageTooLarge over the limits, UnreadableImage for anything that isn't a whole image of a known format.
    Of an animation or a multi-page file the first frame counts.
    """
    with _opened(data, limits) as image:
        return _square(image, preprocessing)


def whole_picture(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """The picture in ``data`` at its own size, upright, in RGB on white: what a viewer shows. Raises as decode does."""
    with _opened(data, limits) as image:
        return _rgb(_upright(image)).copy()


def decoder() -> str:
    """What reads pictures in this process: Pillow, and the JPEG library inside it. Versions differ by a pixel value."""
    library, version = "libjpeg-turbo", features.version_feature("libjpeg_turbo")
    if version is None:  # a Pillow built against another JPEG library
        library, version = "libjpeg", features.version_codec("jpg")
    return f"Pillow {features.version_module('pil')}, {library} {version}"


@contextmanager
def _opened(data: bytes, limits: Limits) -> Iterator[Image.Image]:
    """The image in ``data``, not yet decoded. What a decoder raises inside the block becomes an ImageError."""
    if not data:
        raise UnreadableImage("the image is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"the image has {len(data):,} bytes; the limit is {limits.max_bytes:,}")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            # Compressed data never holds the marker: there, a byte FF is followed by 00.
            if image.format in ("JPEG", "MPO") and data.count(_START_OF_SCAN) > MAX_JPEG_SCANS:
                raise ImageTooLarge(f"the image has more than {MAX_JPEG_SCANS} scans")
            width, height = image.size
            if width * height > limits.max_pixels:
                raise ImageTooLarge(f"the image has {width}×{height} pixels; the limit is {limits.max_pixels:,} in all")
            yield image
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"the image has more than {limits.max_pixels:,} pixels") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"not an image of a known format ({', '.join(FORMATS)})") from error
    except MemoryError as error:
        raise ImageTooLarge("the image needs more memory to decode than there is") from error
    except Exception as error:
        # Decoders meet hostile bytes with whatever comes to hand: OSError, SyntaxError, struct.error, KeyError…
        raise UnreadableImage(f"the image is damaged or truncated ({_one_line(error)})") from error


def _square(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    size = preprocessing.image_size
    if preprocessing.jpeg_draft is not None:
        least = math.ceil(size * preprocessing.jpeg_draft)
        image.draft(None, (least, least))  # only JPEG decoders take the hint
    image = _upright(image)
    box = None
    if preprocessing.resize == "center-crop":
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    small = _rgb(image).resize(
        (size, size), _RESAMPLE[preprocessing.interpolation], box=box, reducing_gap=preprocessing.reducing_gap
    )
    return np.array(small)


def _upright(image: Image.Image) -> Image.Image:
    """``image`` decoded, and turned as its EXIF orientation says."""
    image.load()
    return ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image


def _rgb(image: Image.Image) -> Image.Image:
    """``image`` in 8-bit RGB, transparent parts on white."""
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


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:120] or type(error).__name__

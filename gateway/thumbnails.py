"""Thumbnails: an image file's bytes to a WebP of at most 256 pixels a side.

    kept by the picture's digest? → else read → limits → draft → decode → upright → shrink → RGB on white → WebP → keep

They are kept by the digest of the picture's content, so none goes out of date: a picture that changes gets another.
"""

import math
import os
import warnings
from hashlib import blake2b
from io import BytesIO
from typing import BinaryIO

from anyio import CapacityLimiter, to_thread
from PIL import Image, ImageOps, UnidentifiedImageError

from gateway.thumbnail_cache import ThumbnailCache

SIDE = 256  # pixels
QUALITY = 80
MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 89_478_485
#: A progressive JPEG is decoded once a scan, and scans can be a few bytes each.
MAX_JPEG_SCANS = 100

#: What can be indexed; JPEG includes the MPO files of phones. A closed list keeps out what starts other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

_ORIENTATION = 0x0112
_START_OF_SCAN = b"\xff\xda"

# Pillow only warns between its limit, which is MAX_PIXELS, and twice that.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class NoThumbnail(Exception):
    """These bytes are no picture that can be shown; the message says why."""


def make_thumbnail(data: bytes) -> bytes:
    """The picture in ``data``, upright, in RGB on white, as WebP, and without its metadata. It is never enlarged.

    Of an animation or a multi-page file the first frame counts. Raises NoThumbnail.
    """
    if len(data) > MAX_BYTES:
        raise NoThumbnail(f"the picture has more than {MAX_BYTES:,} bytes")
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise NoThumbnail(f"the picture has {width}×{height} pixels; the limit is {MAX_PIXELS:,} in all")
            if image.format in ("JPEG", "MPO") and data.count(_START_OF_SCAN) > MAX_JPEG_SCANS:
                raise NoThumbnail(f"the picture has more than {MAX_JPEG_SCANS} scans")
            stream = BytesIO()
            _small(image).save(stream, "WEBP", quality=QUALITY)
            return stream.getvalue()
    except NoThumbnail:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NoThumbnail(f"the picture has more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        raise NoThumbnail(f"not a picture of a known format ({', '.join(FORMATS)})") from error
    except MemoryError as error:
        raise NoThumbnail("the picture needs more memory to decode than there is") from error
    except Exception as error:  # decoders raise whatever comes to hand
        raise NoThumbnail("the picture is damaged or truncated") from error


def _small(image: Image.Image) -> Image.Image:
    scale = 2 * SIDE / max(image.size)  # twice as large as wanted, so that shrinking has something to smooth
    image.draft(None, (math.ceil(image.width * scale), math.ceil(image.height * scale)))  # a hint to JPEG decoders
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        return _small_grey(image)
    if not image.has_transparency_data:
        image = image.convert("RGB")  # a palette's numbers cannot be averaged
        image.thumbnail((SIDE, SIDE))
        return image
    image = image.convert("RGBA")
    image.thumbnail((SIDE, SIDE))
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white


def _small_grey(image: Image.Image) -> Image.Image:
    """Greyscale of 16 or 32 bits. Pillow's own conversion clips at 255: nearly everything turns white."""
    white = 65535.0
    if image.mode == "F":
        _, brightest = image.getextrema()
        assert isinstance(brightest, float)  # one channel
        white = 1.0 if brightest <= 1.0 else 255.0  # both are in use
    image = image.convert("F")
    image.thumbnail((SIDE, SIDE))
    return image.point(lambda value: value * (255 / white) + 0.5).convert("L").convert("RGB")


class Thumbnails:
    """Thumbnails of open picture files, from ``cache`` or made now: as many at a time as there are cores, since each
    may need hundreds of megabytes, and without taking the threads that other requests wait for."""

    def __init__(self, cache: ThumbnailCache) -> None:
        self._cache = cache
        self._makers = CapacityLimiter(len(os.sched_getaffinity(0)))

    async def of(self, picture: BinaryIO, digest: bytes | None) -> bytes:
        """The thumbnail of ``picture``; ``digest`` is the 16-byte BLAKE2b of its content, where that is known.

        Raises NoThumbnail, and OSError when it cannot be read.
        """
        if digest is not None:
            found = await to_thread.run_sync(self._cache.get, _name(digest))
            if found is not None:
                return found
        return await to_thread.run_sync(self._make, picture, limiter=self._makers)

    async def kept(self, name: str) -> bytes | None:
        """The thumbnail that ``make`` has kept as ``name``, or None."""
        return await to_thread.run_sync(self._cache.get, name)

    async def make(self, data: bytes, name: str | None = None) -> bytes:
        """The thumbnail of the picture in ``data``, kept as ``name`` if there is one. Raises NoThumbnail."""
        thumbnail = await to_thread.run_sync(make_thumbnail, data, limiter=self._makers)
        if name is not None:
            await to_thread.run_sync(self._cache.put, name, thumbnail)
        return thumbnail

    def _make(self, picture: BinaryIO) -> bytes:
        data = picture.read(MAX_BYTES + 1)
        name = _name(blake2b(data, digest_size=16).digest())
        found = self._cache.get(name)  # made while this one waited, or of another picture with this content
        if found is None:
            found = make_thumbnail(data)
            self._cache.put(name, found)
        return found


def _name(digest: bytes) -> str:
    return f"{digest.hex()}-{SIDE}-{QUALITY}"

"""Thumbnails: turn an image file into a WebP of at most 256 pixels a side.

    kept by the picture's digest? → else read → decode and shrink (pictures/decode.py) → WebP → keep

They are kept by the digest of the picture's content, so none goes out of date: a picture that changes gets a new one.
"""

import os
from hashlib import blake2b
from io import BytesIO
from typing import BinaryIO

from anyio import CapacityLimiter, to_thread

from gateway.images.thumbnail_cache import ThumbnailCache
from pictures.decode import shrunken
from pictures.limits import DEFAULT_LIMITS
from pictures.preparation import NEWEST_DECODING

SIDE = 256  # pixels
QUALITY = 80

#: A part of thumbnails' names and tags: how they are made. Those that were made otherwise are made again.
MAKING = f"{SIDE}-{QUALITY}-{NEWEST_DECODING}"


def make_thumbnail(data: bytes) -> bytes:
    """Returns the picture in ``data`` as WebP: upright, in sRGB, opaque, without its metadata, never enlarged. Raises
    ImageError.
    """
    stream = BytesIO()
    shrunken(data, SIDE).save(stream, "WEBP", quality=QUALITY)
    return stream.getvalue()


class Thumbnails:
    """Gets thumbnails from ``cache``, or makes them: as many at a time as there are cores, since each may need hundreds
    of megabytes, and not in the threads that other requests wait for."""

    def __init__(self, cache: ThumbnailCache) -> None:
        self._cache = cache
        self._makers = CapacityLimiter(len(os.sched_getaffinity(0)))

    async def of(self, picture: BinaryIO, digest: bytes | None) -> bytes:
        """Returns the thumbnail of ``picture``; ``digest`` is the 16-byte BLAKE2b of its content, or None if unknown.

        Raises ImageError, and OSError if the file cannot be read.
        """
        if digest is not None:
            found = await to_thread.run_sync(self._cache.get, _name(digest))
            if found is not None:
                return found
        return await to_thread.run_sync(self._make, picture, limiter=self._makers)

    async def kept(self, name: str) -> bytes | None:
        """Returns the thumbnail that ``make`` has kept as ``name``, or None."""
        return await to_thread.run_sync(self._cache.get, name)

    async def make(self, data: bytes, name: str | None = None) -> bytes:
        """Returns the thumbnail of the picture in ``data``, and keeps it as ``name`` if given. Raises ImageError."""
        thumbnail = await to_thread.run_sync(make_thumbnail, data, limiter=self._makers)
        if name is not None:
            await to_thread.run_sync(self._cache.put, name, thumbnail)
        return thumbnail

    def _make(self, picture: BinaryIO) -> bytes:
        data = picture.read(DEFAULT_LIMITS.max_bytes + 1)
        name = _name(blake2b(data, digest_size=16).digest())
        found = self._cache.get(name)  # made while this one waited, or for another picture with this content
        if found is None:
            found = make_thumbnail(data)
            self._cache.put(name, found)
        return found


def _name(digest: bytes) -> str:
    return f"{digest.hex()}-{MAKING}"

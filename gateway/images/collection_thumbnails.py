"""Thumbnails of a collection's images.

uploaded: made once, when the image is added, and kept in the collection's folder, since the picture itself isn't kept
others:   made at the first request, from the URL or the datalake's file, and kept in the gateway's bounded cache
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

from anyio import to_thread

from gateway.access.body_budget import BodyBudget
from gateway.images.thumbnails import MAKING, QUALITY, SIDE, Thumbnails
from pictures.errors import ImageError
from searcher.entry import Entry
from searcher.open_collection import OpenCollection

FOLDER = "thumbnails"
_log = logging.getLogger(__name__)


class CollectionThumbnails:
    """Makes and keeps them, using ``thumbnails``; the pictures that wait for it count in ``bodies``. Belongs to one
    event loop."""

    def __init__(self, thumbnails: Thumbnails, bodies: BodyBudget) -> None:
        self._thumbnails = thumbnails
        self._bodies = bodies
        self._making: dict[Path, asyncio.Task[None]] = {}

    def keep(self, collection: OpenCollection, path: str, data: bytes) -> None:
        """Start to make and keep the thumbnail of ``data``, the uploaded picture called ``path`` in ``collection``."""
        file = _file(collection, path, blake2b(data, digest_size=16).digest())
        task = self._making[file] = asyncio.create_task(self._keep(file, data))
        task.add_done_callback(lambda _: self._making.pop(file, None))

    async def forget(self, collection: OpenCollection, image: Entry) -> None:
        """Delete the kept thumbnail of ``image``, which is no longer in ``collection``."""
        if image.digest is not None:
            file = _file(collection, image.path, image.digest)
            await self._made(file)
            await to_thread.run_sync(_delete, file)

    async def of(self, collection: OpenCollection, image: Entry, picture: Callable[[], Awaitable[bytes]]) -> bytes:
        """Returns the thumbnail of ``image``, as WebP; if it must be made, ``picture`` returns the image's file. Raises
        ImageError, and whatever ``picture`` raises."""
        name = thumbnail_name(image.path, image.digest)
        if image.digest is not None:
            file = _file(collection, image.path, image.digest)
            await self._made(file)
            with suppress(FileNotFoundError):
                return await to_thread.run_sync(file.read_bytes)
        kept = await self._thumbnails.kept(name)
        return kept if kept is not None else await self._thumbnails.make(await picture(), name)

    async def close(self) -> None:
        """Wait for thumbnails that are being made."""
        await asyncio.gather(*self._making.values(), return_exceptions=True)

    async def _made(self, file: Path) -> None:
        if file in self._making:
            await asyncio.wait([self._making[file]])

    async def _keep(self, file: Path, data: bytes) -> None:
        try:
            with self._bodies.holding(len(data)):
                await to_thread.run_sync(_write, file, await self._thumbnails.make(data))
        except (ImageError, OSError) as error:  # the image stays in the collection without it
            _log.warning("the thumbnail of an uploaded picture cannot be kept: %s", error)


def thumbnail_name(path: str, digest: bytes | None) -> str:
    """Returns the name by which the thumbnail of the picture called ``path`` is kept, which depends on its ``digest``
    too, and on how thumbnails are made."""
    return f"{_name(path, digest or b'')}-{MAKING}"


def _name(path: str, digest: bytes) -> str:
    return blake2b(path.encode() + bytes(1) + digest, digest_size=16).hexdigest()


def _file(collection: OpenCollection, path: str, digest: bytes) -> Path:
    """Named without the decoding: what cannot be made again must be found again."""
    return collection.folder / FOLDER / f"{_name(path, digest)}-{SIDE}-{QUALITY}.webp"


def _write(file: Path, thumbnail: bytes) -> None:
    """Write the file whole or not at all, and sync it to the disk, since the thumbnail cannot be made again."""
    file.parent.mkdir(exist_ok=True)  # not its parents: the collection may have been deleted since
    unfinished = file.with_name(f"{uuid4().hex}.tmp")
    try:
        with unfinished.open("wb") as stream:
            stream.write(thumbnail)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, file)
    except OSError:
        _delete(unfinished)
        raise


def _delete(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)

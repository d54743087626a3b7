"""Thumbnails of a collection's images.

uploaded: made once, when it is added, and kept in the collection's folder: there is nowhere to get it from again
others:   made when somebody looks, from the URL or the datalake's file, and kept in the gateway's bounded cache
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

from gateway.thumbnails import QUALITY, SIDE, NoThumbnail, Thumbnails
from searcher.collection import Collection
from searcher.overlay import Image

FOLDER = "thumbnails"
_log = logging.getLogger(__name__)


class CollectionThumbnails:
    """Makes them by ``thumbnails``. Belongs to one event loop."""

    def __init__(self, thumbnails: Thumbnails) -> None:
        self._thumbnails = thumbnails
        self._making: dict[Path, asyncio.Task[None]] = {}

    def keep(self, collection: Collection, path: str, data: bytes) -> None:
        """Make and keep the thumbnail of ``data``, an uploaded picture that ``collection`` has as ``path``, soon."""
        file = _file(collection, path, blake2b(data, digest_size=16).digest())
        task = self._making[file] = asyncio.create_task(self._keep(file, data))
        task.add_done_callback(lambda _: self._making.pop(file, None))

    async def forget(self, collection: Collection, image: Image) -> None:
        """Delete what is kept of ``image``, which is no longer in ``collection``."""
        if image.digest is not None:
            file = _file(collection, image.path, image.digest)
            await self._made(file)
            await to_thread.run_sync(_delete, file)

    async def of(self, collection: Collection, image: Image, picture: Callable[[], Awaitable[bytes]]) -> bytes:
        """The thumbnail of ``image``, WebP; ``picture`` gets the file where it must be made. Raises NoThumbnail, and
        whatever ``picture`` does."""
        name = thumbnail_name(image)
        if image.digest is not None:
            file = _file(collection, image.path, image.digest)
            await self._made(file)
            with suppress(FileNotFoundError):
                return await to_thread.run_sync(file.read_bytes)
        kept = await self._thumbnails.kept(name)
        return kept if kept is not None else await self._thumbnails.make(await picture(), name)

    async def close(self) -> None:
        """Wait for what is being made."""
        await asyncio.gather(*self._making.values(), return_exceptions=True)

    async def _made(self, file: Path) -> None:
        if file in self._making:
            await asyncio.wait([self._making[file]])

    async def _keep(self, file: Path, data: bytes) -> None:
        try:
            await to_thread.run_sync(_write, file, await self._thumbnails.make(data))
        except (NoThumbnail, OSError) as error:  # the image is in the collection all the same
            _log.warning("the thumbnail of an uploaded picture cannot be kept: %s", error)


def thumbnail_name(image: Image) -> str:
    """What the thumbnail is kept as: another name for another picture, or another image."""
    return _name(image.path, image.digest or b"")


def _name(path: str, digest: bytes) -> str:
    return f"{blake2b(path.encode() + bytes(1) + digest, digest_size=16).hexdigest()}-{SIDE}-{QUALITY}"


def _file(collection: Collection, path: str, digest: bytes) -> Path:
    return collection.folder / FOLDER / f"{_name(path, digest)}.webp"


def _write(file: Path, thumbnail: bytes) -> None:
    """Whole or not at all, and on the disk: it cannot be made again."""
    file.parent.mkdir(exist_ok=True)  # not its parents: the collection may have been deleted meanwhile
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

"""An image on its way into a collection.

    URL ─▶ fetch ─┐                         ┌─ the same bytes as before: only its metadata may change
    datalake file ┼─▶ digest ─▶ known? ─────┤
    uploaded file ┘                         └─ new, or other bytes: hash ─▶ is it the collection's model? ─▶ write

A datalake's file, for the collection ``default``, is read only where the datalake is.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from hashlib import blake2b

from anyio import to_thread

from gateway.errors import PictureRefused
from gateway.fetching import Fetcher, FetchRefused
from gateway.hashing import Hashing
from gateway.hashing_queue import HashModel
from gateway.inside import OutsideFolder, open_inside
from gateway.live import Live
from gateway.picture_check import check_picture
from gateway.settings import Settings
from gateway.thumbnails import MAX_BYTES
from gateway.writer import require_model
from searcher.collection import Collection
from searcher.collections_store import DEFAULT
from searcher.journal import Addition
from searcher.manifest import ModelIdentity
from searcher.overlay import Image

UPLOAD = "upload:"
#: Images of one request that are fetched or hashed at a time: enough for slow servers to keep the model busy.
_AT_ONCE = 64


class Kept(Enum):
    """Instead of metadata: those that the image has."""

    METADATA = "metadata"


@dataclass(frozen=True)
class Subject:
    """An image that is spoken of: by its name, which is a URL or a datalake's path, and, uploaded, by its bytes."""

    name: str
    data: bytes | None = None


@dataclass(frozen=True)
class BulkOutcome:
    """How many images were ``added``, how many were ``found`` already there, and why the others were not added."""

    added: int
    found: int
    failed: list[tuple[str, str]]


@dataclass(frozen=True)
class _Picture:
    data: bytes
    fetched: str | None


def upload_name(data: bytes) -> str:
    """What an uploaded picture is called that came without a name."""
    return UPLOAD + _digest(data).hex()


class Adding:
    """Fetches and hashes pictures, and adds them to collections of ``live``."""

    def __init__(self, live: Live, hashing: Hashing, fetcher: Fetcher, settings: Settings) -> None:
        self._live = live
        self._hashing = hashing
        self._fetcher = fetcher
        self._settings = settings

    async def add(self, collection: Collection, subject: Subject, metadata: str | Kept | None) -> Image | None:
        """Add the image, or, where it is there already, look at it again: another picture gets another code. Answers
        the image that was there, if its picture was another.

        Raises PictureRefused, ModelMismatch, and RequestRefused (503) while nothing hashes.
        """
        known, model = await self._find(collection, subject.name)
        if known is None:
            await self._live.writer(collection).add(
                *await self._hashed(collection, model, subject, None if isinstance(metadata, Kept) else metadata)
            )
            return None
        text = known.metadata if isinstance(metadata, Kept) else metadata
        again = Addition(known.path, known.code, known.detail, text, known.digest, known.fetched)
        if subject.data is not None or _has_source(collection, subject.name):
            picture = await self._picture(collection, subject)
            if await to_thread.run_sync(_digest, picture.data) != known.digest:
                await self._live.writer(collection).add(*await self._hashed(collection, model, subject, text, picture))
                return known
            again = replace(again, fetched=picture.fetched)
        if text != known.metadata:
            await self._live.writer(collection).add([again], model)
        return None

    async def add_new(self, collection: Collection, subject: Subject, metadata: str | None) -> bool:
        """Add the image; False where it is there already. Raises as ``add``."""
        known, model = await self._find(collection, subject.name)
        return known is None and await self._add_unknown(collection, model, subject, metadata, None)

    async def add_all(self, collection: Collection, images: Sequence[tuple[str, str | None]]) -> BulkOutcome:
        """Add all of ``images``, names with their metadata, that aren't there yet, each as soon as it can be. Raises
        ModelMismatch and RequestRefused (503), with what has been added till then."""
        metadata = dict(reversed(images))  # of two with one name the first counts
        places = {name: place for place, name in enumerate(dict.fromkeys(name for name, _ in images))}
        known, model = await self._live.read(
            collection,
            lambda view: ({name for name in places if view.image(name)}, view.version.manifest.model),
        )
        new = iter([name for name in places if name not in known])
        added, found = 0, len(images) - len(places) + len(known)
        failed: list[tuple[str, str]] = []

        async def work() -> None:
            nonlocal added, found
            for name in new:
                try:
                    if await self._add_unknown(collection, model, Subject(name), metadata[name], new):
                        added += 1
                    else:
                        found += 1
                except PictureRefused as error:
                    failed.append((name, str(error)))

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(_AT_ONCE, len(places))):
                    workers.create_task(work())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        failed.sort(key=lambda failure: places[failure[0]])
        return BulkOutcome(added, found, failed)

    async def code(self, collection: Collection, subject: Subject) -> bytes:
        """The code of the picture: the one that the collection has, unless it was uploaded. Raises as ``add``."""
        known, model = await self._find(collection, subject.name)
        if known is not None and subject.data is None:
            return known.code
        picture = await self._picture(collection, subject)
        await to_thread.run_sync(check_picture, picture.data)
        hashed = await self._hashing.hash(picture.data, model)
        require_model(collection.name, model, hashed.model)
        return hashed.code

    async def picture(self, collection: Collection, name: str) -> bytes:
        """The picture called ``name``, fetched or read. Raises PictureRefused."""
        return (await self._picture(collection, Subject(name))).data

    async def _add_unknown(
        self, collection: Collection, model: ModelIdentity, subject: Subject, metadata: str | None, lane: object
    ) -> bool:
        (addition,), made_with = await self._hashed(collection, model, subject, metadata, lane=lane)
        return await self._live.writer(collection).add_new(addition, made_with)

    async def _hashed(
        self,
        collection: Collection,
        model: ModelIdentity,
        subject: Subject,
        metadata: str | None,
        picture: _Picture | None = None,
        lane: object = None,
    ) -> tuple[list[Addition], HashModel]:
        """What is to be written, and the model that made its codes."""
        if picture is None:
            picture = await self._picture(collection, subject)
        digest = await to_thread.run_sync(_checked_digest, picture.data)
        hashed = await self._hashing.hash(picture.data, model, lane)
        addition = Addition(subject.name, hashed.code, hashed.detail, metadata, digest, picture.fetched)
        return [addition], hashed.model

    async def _find(self, collection: Collection, name: str) -> tuple[Image | None, ModelIdentity]:
        """The image called ``name``, and the collection's model."""
        return await self._live.read(collection, lambda view: (view.image(name), view.version.manifest.model))

    async def _picture(self, collection: Collection, subject: Subject) -> _Picture:
        if subject.data is not None:
            return _Picture(subject.data, None)
        name = subject.name
        if _is_url(name):
            try:
                fetched = await self._fetcher.fetch(name)
            except FetchRefused as error:
                raise PictureRefused(str(error)) from error
            state = {"etag": fetched.etag, "last_modified": fetched.last_modified, "at": f"{datetime.now(UTC):%FT%TZ}"}
            return _Picture(fetched.data, json.dumps(state))
        if name.startswith(UPLOAD):
            raise PictureRefused("an uploaded picture can only be uploaded again")
        if _has_source(collection, name):
            return _Picture(await to_thread.run_sync(self._datalake_file, name), None)
        raise PictureRefused("URL scheme should be 'http' or 'https'")

    def _datalake_file(self, path: str) -> bytes:
        settings = self._settings
        try:
            with open_inside(settings.pictures, settings.datalake_root / path) as file:
                return file.read(MAX_BYTES + 1)
        except (OutsideFolder, OSError) as error:  # one message: what else is on this machine is nobody's business
            raise PictureRefused("the datalake has no such picture") from error


def _is_url(name: str) -> bool:
    return name.lower().startswith(("http://", "https://"))


def _has_source(collection: Collection, name: str) -> bool:
    """Whether the image called ``name`` can be fetched, or may be a file of the datalake; else it was uploaded."""
    in_datalake = collection.name == DEFAULT and "://" not in name and not name.startswith(UPLOAD)
    return _is_url(name) or in_datalake


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _checked_digest(data: bytes) -> bytes:
    check_picture(data)
    return _digest(data)

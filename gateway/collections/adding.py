"""An image on its way into a collection.

    URL ─▶ fetch ─┐                         ┌─ the same bytes as before: only its metadata change
    datalake file ┼─▶ digest ─▶ known? ─────┤
    uploaded file ┘                         └─ new, or other bytes: hash ─▶ is it the collection's model? ─▶ write

Datalake files, which only the collection ``default`` has, are read only inside the datalake's folder.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Self

from anyio import to_thread

from contract.image_names import is_url, normalised
from contract.model import ModelIdentity
from contract.names import DEFAULT_COLLECTION
from contract.space import VectorBytes
from gateway.collections.open_collections import OpenCollections
from gateway.collections.writer import require_model
from gateway.errors import NoUrl, PictureRefused
from gateway.images.source_pictures import SourcePictures, refused
from gateway.images.watched import watched_sources
from gateway.settings import GatewaySettings
from gateway.torchserve.embedding import Hashing
from gateway.torchserve.queue import ServedModel
from pictures.errors import ImageError
from pictures.opening import check_picture
from searcher.entry import Entry
from searcher.open_collection import OpenCollection, OpenView
from sources.errors import SourceError
from sources.fetching.fetcher import Fetcher
from sources.folder import FolderSource
from sources.part_names import file_of
from sources.parts import part_of
from sources.source import Item
from sources.urls import download

UPLOAD = "upload:"
#: Images of one request that are fetched or hashed at a time: enough to keep the model busy despite slow servers.
_AT_ONCE = 64


@dataclass(frozen=True)
class Subject:
    """The image that a request is about: its ``name``, a URL or a datalake path, and its bytes if it was uploaded.
    ``spelled``: how the client spells the URL, if not like ``name``."""

    name: str
    data: bytes | None = None
    spelled: str | None = None

    @classmethod
    def of(cls, given: str, name: str, data: bytes | None = None) -> Self:
        """The image called ``name`` that a client calls ``given``."""
        return cls(name, data, None if given == name else given)

    def fetched(self, **about: str | None) -> str | None:
        """Returns what is kept ``about`` a download, and the client's spelling, as JSON; None for nothing."""
        kept = about if self.spelled is None else about | {"spelled": self.spelled}
        return json.dumps(kept) if kept else None


@dataclass(frozen=True)
class BulkOutcome:
    """The images, as the client spells them and in its order: those ``added``, those ``found`` already there, and why
    the others were not added. ``replaced``: the entries of images whose picture had changed."""

    added: list[str]
    found: list[str]
    failed: list[tuple[str, PictureRefused]]
    replaced: list[Entry]


@dataclass(frozen=True)
class _Picture:
    data: bytes
    fetched: str | None


def upload_name(data: bytes) -> str:
    """Returns the name for a picture that was uploaded without one."""
    return UPLOAD + _digest(data).hex()


class Adding:
    """Fetches and hashes pictures, and adds them to ``collections``."""

    def __init__(
        self,
        collections: OpenCollections,
        hashing: Hashing,
        fetcher: Fetcher,
        source_pictures: SourcePictures,
        settings: GatewaySettings,
    ) -> None:
        self._collections = collections
        self._hashing = hashing
        self._fetcher = fetcher
        self._source_pictures = source_pictures
        self._datalake = FolderSource(settings.datalake_root, confined_to=settings.pictures)

    async def subject(self, collection: OpenCollection, given: str, data: bytes | None = None) -> Subject:
        """Returns the image called ``given``, in any spelling of its URL, as ``collection`` calls it."""
        return Subject.of(given, await self._collections.read(collection, lambda view: view.name_of(given)), data)

    async def add(
        self, collection: OpenCollection, subject: Subject, metadata: str | None, lane: object = None
    ) -> Entry | None:
        """Add the image. If its name is in the collection already, fetch the picture again, hash it if it has changed,
        and replace its metadata. Returns the entry that was replaced because its picture changed, else None.

        Raises PictureRefused, ModelMismatch, and RequestRefused (503) while nothing hashes.
        """
        known, model = await self._find(collection, subject.name)
        if known is None:
            await self._collections.writer(collection).add(
                *await self._hashed(collection, model, subject, metadata, lane=lane)
            )
            return None
        again = replace(known, metadata=metadata)
        if subject.data is not None or _has_source(collection, subject.name):
            picture = await self._picture(collection, subject)
            if await to_thread.run_sync(_digest, picture.data) != known.digest:
                await self._collections.writer(collection).add(
                    *await self._hashed(collection, model, subject, metadata, picture, lane)
                )
                return known
            again = replace(again, fetched=picture.fetched)
        if metadata != known.metadata or _but_for_the_time(again.fetched) != _but_for_the_time(known.fetched):
            await self._collections.writer(collection).add([again], model)
        return None

    async def add_new(self, collection: OpenCollection, subject: Subject, metadata: str | None) -> bool:
        """Add the image; returns False if it is there already. Raises as ``add``."""
        known, model = await self._find(collection, subject.name)
        return known is None and await self._add_unknown(collection, model, subject, metadata, None)

    async def add_all(
        self, collection: OpenCollection, images: Sequence[tuple[str, str | None]], *, keep_known: bool
    ) -> BulkOutcome:
        """Add ``images``, names as clients spell them, with their metadata, each as soon as it is hashed. With
        ``keep_known``, nothing is done to those that are there already; else they are added again, as by ``add``.
        Raises ModelMismatch and RequestRefused (503); images added before that stay."""
        wanted: dict[str, tuple[Subject, str | None]] = {}
        names: list[str] = []

        def look_up(view: OpenView) -> tuple[list[str], ModelIdentity]:
            for given, metadata in images:
                names.append(view.name_of(given))
                wanted.setdefault(names[-1], (Subject.of(given, names[-1]), metadata))  # the first of one name counts
            asked = [name for name in wanted if not keep_known or view.image(name) is None]
            return asked, view.model

        asked, model = await self._collections.read(collection, look_up)
        left = iter(asked)
        added: set[str] = set()
        replaced: list[Entry] = []
        faults: dict[str, PictureRefused] = {}

        async def work() -> None:
            for name in left:
                subject, metadata = wanted[name]
                try:
                    if not keep_known:
                        before = await self.add(collection, subject, metadata, left)
                        replaced.extend([] if before is None else [before])
                    elif not await self._add_unknown(collection, model, subject, metadata, left):
                        continue
                    added.add(name)
                except PictureRefused as error:
                    faults[name] = error

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(_AT_ONCE, len(asked))):
                    workers.create_task(work())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        outcome = BulkOutcome([], [], [], replaced)
        for (given, _), name in zip(images, names, strict=True):
            if name in faults:
                outcome.failed.append((given, faults[name]))
                continue
            (outcome.added if name in added else outcome.found).append(given)
            if keep_known:
                added.discard(name)  # who names it once more finds it
        return outcome

    async def vectors(self, collection: OpenCollection, subject: Subject) -> VectorBytes:
        """Returns the picture's vectors: the collection's own, or new ones if the picture is uploaded or isn't in the
        collection. Raises as ``add``."""
        known, model = await self._find(collection, subject.name)
        if known is not None and subject.data is None:
            return known.vectors
        picture = await self._picture(collection, subject)
        await to_thread.run_sync(checked, picture.data)
        hashed = await self._hashing.hash(picture.data, model)
        require_model(collection.name, model, hashed.model)
        return hashed.vectors

    def require_name(self, collection: OpenCollection, name: str) -> None:
        """Raises NoUrl for what no image of ``collection`` can have been added by."""
        if not (_has_source(collection, name) or name.startswith(UPLOAD) or self._source_pictures.has(name)):
            raise NoUrl(name)

    async def picture(self, collection: OpenCollection, name: str) -> bytes:
        """Returns the bytes of the picture called ``name``, to be shown: fetched, or read where it was found. Raises
        PictureRefused."""
        known, _ = await self._find(collection, name)
        metadata = None if known is None else known.metadata
        if known is not None and not self._source_pictures.has(name, metadata):
            self._source_pictures.admit(await to_thread.run_sync(watched_sources, collection.folder))
        if self._source_pictures.has(name, metadata):
            return await self._source_pictures.read(name, metadata)
        if known is not None and not name.startswith(UPLOAD):  # a watch of the datalake's folder put it there
            return await self._in_datalake(name)
        return (await self._picture(collection, Subject(name))).data

    async def _add_unknown(
        self, collection: OpenCollection, model: ModelIdentity, subject: Subject, metadata: str | None, lane: object
    ) -> bool:
        (addition,), made_with = await self._hashed(collection, model, subject, metadata, lane=lane)
        return await self._collections.writer(collection).add_new(addition, made_with)

    async def _hashed(
        self,
        collection: OpenCollection,
        model: ModelIdentity,
        subject: Subject,
        metadata: str | None,
        picture: _Picture | None = None,
        lane: object = None,
    ) -> tuple[list[Entry], ServedModel]:
        """Returns the entry to write, in a list, and the model that made its codes."""
        if picture is None:
            picture = await self._picture(collection, subject)
        digest = await to_thread.run_sync(_checked_digest, picture.data)
        hashed = await self._hashing.hash(picture.data, model, lane)
        addition = Entry(subject.name, hashed.vectors, metadata, digest, picture.fetched)
        return [addition], hashed.model

    async def _find(self, collection: OpenCollection, name: str) -> tuple[Entry | None, ModelIdentity]:
        """Returns the image called ``name``, if there is one, and the collection's model."""
        return await self._collections.read(collection, lambda view: (view.image(name), view.model))

    async def _picture(self, collection: OpenCollection, subject: Subject) -> _Picture:
        if subject.data is not None:
            return _Picture(subject.data, subject.fetched())
        name = subject.name
        if is_url(name):
            with refused():
                item, data = await download(self._fetcher, Item(normalised(name)))
            about = json.loads(item.version or "{}") | {"at": f"{datetime.now(UTC):%FT%TZ}"}
            return _Picture(data, subject.fetched(**about))
        if self._source_pictures.has(name):
            return _Picture(await self._source_pictures.read(name), None)
        if name.startswith(UPLOAD):
            raise PictureRefused("an uploaded picture can only be uploaded again")
        if _has_source(collection, name):
            return _Picture(await self._in_datalake(name), None)
        raise NoUrl(name)

    async def _in_datalake(self, name: str) -> bytes:
        def read() -> bytes:
            return part_of(name, self._datalake.read(Item(file_of(name) or name))[1])

        try:
            return await to_thread.run_sync(read)
        except SourceError as error:  # always the same message, so that it reveals nothing of this machine's files
            raise PictureRefused("the datalake has no such picture") from error


def _but_for_the_time(fetched: str | None) -> dict[str, Any]:
    """Returns what the server said of the picture, such as its ETag, without when it did."""
    said: dict[str, Any] = json.loads(fetched or "{}")
    return {key: value for key, value in said.items() if key != "at"}


def _has_source(collection: OpenCollection, name: str) -> bool:
    """Whether the image called ``name`` has a URL, or a path in the datalake; else it was uploaded."""
    in_datalake = collection.name == DEFAULT_COLLECTION and "://" not in name and not name.startswith(UPLOAD)
    return is_url(name) or in_datalake


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def checked(data: bytes) -> bytes:
    """Returns ``data``. Raises PictureRefused for what no model takes (``check_picture``)."""
    try:
        check_picture(data)
    except ImageError as error:
        raise PictureRefused(str(error)) from error
    return data


def _checked_digest(data: bytes) -> bytes:
    return _digest(checked(data))

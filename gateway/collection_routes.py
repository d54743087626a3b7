"""``/api/collections``: which there are, what is in them, making, folding and deleting them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, JsonValue
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from gateway.access import require_admin, require_changeable, require_search
from gateway.adding import Adding
from gateway.collection_thumbnails import CollectionThumbnails, thumbnail_name
from gateway.downloads import client_has
from gateway.duplicates import Duplicates, DuplicatesFailed, Shape
from gateway.errors import PictureRefused, RequestRefused, refusals
from gateway.folding import FoldFailed
from gateway.live import Live
from gateway.model_servers import ModelServers
from gateway.thumbnails import SIDE, NoThumbnail
from searcher.collection import Collection
from searcher.errors import FilterError, SearcherError
from searcher.filters import Condition, parse_filter
from searcher.journal import JOURNAL_FILE

#: When a collection was made.
_BIRTH_FILE = "collection.json"

_ALWAYS = refusals(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_OF_ONE = refusals(HTTPStatus.NOT_FOUND)
#: What only looks.
reading = APIRouter(
    prefix="/api/collections", tags=["collections"], dependencies=[Depends(require_search)], responses=_ALWAYS
)
#: What makes, folds and deletes.
managing = APIRouter(
    prefix="/api/collections",
    tags=["collections"],
    dependencies=[Depends(require_admin), Depends(require_changeable)],
    responses=_ALWAYS | refusals(HTTPStatus.FORBIDDEN, HTTPStatus.INSUFFICIENT_STORAGE),
)


class CollectionModel(BaseModel):
    """The model that made a collection's codes."""

    name: str = Field(description="as its card says", examples=["relahash-small-64bits"])
    sha256: str = Field(description="of the model's file, hex", examples=["9f86d081884c7d65…"])
    bits: int = Field(description="width of the codes", examples=[64])
    detail_bits: int | None = Field(description="width of the detail codes; null where there are none", examples=[256])


class JournalSize(BaseModel):
    """What is not part of a version yet."""

    changes: int = Field(description="images added, replaced or removed", examples=[12])
    bytes: int = Field(description="its size on the disk", examples=[4096])


class CollectionInfo(BaseModel):
    """One collection."""

    name: str = Field(description="its name", examples=["shoes"])
    count: int = Field(description="images in it", examples=[4320])
    model: CollectionModel
    version: str = Field(description="the version that changes are laid over", examples=["0-f3"])
    versions: list[str] = Field(description="all versions on the disk, by name", examples=[["0-f2", "0-f3"]])
    journal: JournalSize
    bytes: int = Field(description="versions and journal together, on the disk", examples=[1234567])
    created: AwareDatetime | None = Field(
        description="UTC; null for `default`, which nobody makes", examples=["2020-05-02T12:00:00Z"]
    )


class CollectionList(BaseModel):
    """All collections."""

    collections: list[CollectionInfo] = Field(description="`default` first, once it has a version; then by name")


class NewCollection(BaseModel):
    """A collection to make."""

    name: str = Field(
        description="up to 64 letters, digits, dots, dashes and underscores, with a letter or digit first",
        examples=["shoes"],
    )
    model_path: str | None = Field(
        default=None,
        description="whose codes it will hold: a .pt file, or a folder holding one, below the models folder; the "
        "datalake's model unless given",
        examples=[None],
    )


class FoldedCollection(BaseModel):
    """What became of a collection's changes."""

    version: str = Field(description="the version that is current now", examples=["0-f4"])
    count: int = Field(description="images in it", examples=[4332])
    folded: int = Field(description="changes that became part of it; 0 if there were none", examples=[12])


class CollectionImage(BaseModel):
    """One image."""

    url: str = Field(description="its name", examples=["https://iiif.example.org/letters/001.jpg"])
    metadata: dict[str, JsonValue] | None = Field(description="as it was added", examples=[{"language": "ja"}])
    code: str = Field(description="hex", examples=["9f3a00c1d2e4f505"])
    thumbnail: str = Field(
        description="URL of a small picture", examples=["/api/collections/shoes/thumbnail?url=https%3A%2F%2F…"]
    )


class ImagePage(BaseModel):
    """A part of a collection's images."""

    images: list[CollectionImage] = Field(description="sorted by URL, by code points")
    cursor: str | None = Field(
        description="what to ask for the next part with; null after the last",
        examples=["https://iiif.example.org/letters/001.jpg"],
    )
    count: int = Field(description="how many images there are on all pages", examples=[4320])


def _live(request: Request) -> Live:
    live: Live = request.app.state.live
    return live


LiveCollections = Annotated[Live, Depends(_live)]


async def _named(
    name: Annotated[str, Path(description="the collection's name", examples=["default"])], live: LiveCollections
) -> Collection:
    return await live.open(name)


Named = Annotated[Collection, Depends(_named)]


def condition(
    filter: Annotated[
        str | None,
        Query(description="JSON: only images whose metadata meet it", examples=['{"language": "ja"}']),
    ] = None,
) -> Condition | None:
    """The condition that the parameter ``filter`` gives. RequestRefused (422)."""
    if filter is None or not filter.strip():
        return None
    try:
        return parse_filter(json.loads(filter))
    except FilterError as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"filter: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"filter is not JSON ({str(error)[:100]})") from error


@reading.get("", summary="List the collections", operation_id="listCollections")
async def list_collections(live: LiveCollections) -> CollectionList:
    def all_of_them() -> list[CollectionInfo]:
        found = []
        for name in live.collections.names():
            try:
                found.append(_info(live.collections.open(name)))
            except SearcherError:
                continue  # deleted just now, or without a version yet; asked for by name it says what is wrong
        return found

    return CollectionList(collections=await to_thread.run_sync(all_of_them))


@managing.post("", summary="Make a collection", operation_id="createCollection", status_code=HTTPStatus.CREATED)
async def create_collection(asked: NewCollection, live: LiveCollections, request: Request) -> CollectionInfo:
    """Empty, for codes of one model. 409 if there is one of that name."""
    servers: ModelServers = request.app.state.model_servers
    model = await servers.identity_of(asked.model_path)

    def create() -> CollectionInfo:
        collection = live.collections.create(asked.name, model)
        with suppress(OSError):  # it is a collection all the same
            born = {"created": f"{datetime.now(UTC):%FT%TZ}"}
            (collection.folder / _BIRTH_FILE).write_text(json.dumps(born) + "\n", encoding="utf-8")
        return _info(collection)

    try:
        return await to_thread.run_sync(create)
    except SearcherError:
        await _retire(live, servers)  # the model that was loaded for it
        raise


@reading.get("/{name}", summary="One collection", operation_id="getCollection", responses=_OF_ONE)
async def get_collection(collection: Named) -> CollectionInfo:
    return await to_thread.run_sync(_info, collection)


@managing.delete(
    "/{name}",
    summary="Delete a collection with all its images",
    operation_id="deleteCollection",
    status_code=HTTPStatus.NO_CONTENT,
    responses=_OF_ONE,
)
async def delete_collection(
    name: Annotated[str, Path(description="the collection's name", examples=["shoes"])],
    live: LiveCollections,
    request: Request,
) -> None:
    """409 for `default`, which is the datalake's. A model that no other collection has is served no longer."""
    await live.delete(name)
    await _retire(live, request.app.state.model_servers)


@managing.post(
    "/{name}/fold",
    summary="Make a collection's changes part of a new version",
    operation_id="foldCollection",
    responses=_OF_ONE,
)
async def fold_collection(collection: Named, live: LiveCollections) -> FoldedCollection:
    """The collection stays what it is. 409 while an indexer or another fold is at work on it."""
    try:
        folded = await live.folding.fold(collection)
    except FoldFailed as error:
        raise RequestRefused(HTTPStatus.CONFLICT, f"the collection {collection.name} is as it was: {error}") from error
    return FoldedCollection(version=folded.version, count=folded.count, folded=folded.changes)


@reading.get(
    "/{name}/images", summary="A collection's images, a page at a time", operation_id="browseCollection",
    responses=_OF_ONE,
)  # fmt: skip
async def browse(
    collection: Named,
    live: LiveCollections,
    condition: Annotated[Condition | None, Depends(condition)],
    cursor: Annotated[str, Query(max_length=4096, description="the cursor of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="how many at most")] = 50,
) -> ImagePage:
    """Sorted by URL, from behind `cursor` on."""
    place = f"/api/collections/{collection.name}/thumbnail?"

    def page() -> ImagePage:
        # One more than asked for, to know whether there are more.
        view = collection.view()
        images = view.images(cursor, limit + 1, condition)
        return ImagePage(
            images=[
                CollectionImage(
                    url=image.path,
                    metadata=None if image.metadata is None else json.loads(image.metadata),
                    code=image.code.hex(),
                    thumbnail=place + urlencode({"url": image.path}),
                )
                for image in images[:limit]
            ],
            cursor=images[limit - 1].path if len(images) > limit else None,
            count=view.count if condition is None else view.number(condition),
        )

    return await to_thread.run_sync(page)


@reading.head("/{name}/thumbnail", include_in_schema=False)
@reading.get(
    "/{name}/thumbnail",
    summary=f"An image of a collection as WebP, upright, at most {SIDE} pixels a side",
    operation_id="getCollectionThumbnail",
    response_class=Response,
    responses={
        200: {"description": "the thumbnail", "content": {"image/webp": {}}},
        304: {"description": "the client has it already, as its If-None-Match says"},
        **_OF_ONE,
        **refusals(HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    },
)
async def thumbnail(
    request: Request,
    collection: Named,
    live: LiveCollections,
    url: Annotated[
        str,
        Query(max_length=4096, description="the image's name", examples=["https://iiif.example.org/letters/001.jpg"]),
    ],
    if_none_match: Annotated[str | None, Header(description="the ETag of what the client has")] = None,
) -> Response:
    """Of an uploaded picture it was kept; another one is read or fetched when somebody looks, and then kept."""
    image = await live.read(collection, lambda view: view.image(url))
    if image is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"the collection {collection.name} has no such image")
    etag = f'"{thumbnail_name(image)}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    if client_has(etag, if_none_match):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    thumbnails: CollectionThumbnails = request.app.state.collection_thumbnails
    adding: Adding = request.app.state.adding
    try:
        content = await thumbnails.of(collection, image, lambda: adding.picture(collection, url))
    except PictureRefused as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"the picture cannot be had: {error}") from error
    except NoThumbnail as error:
        raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from error
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Type": "image/webp", "Content-Length": str(len(content))})
    return Response(content, headers=headers, media_type="image/webp")


@reading.get(
    "/{name}/duplicates",
    summary="Near-duplicates in a collection, as lines of JSON",
    operation_id="listDuplicates",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "a line for each group, or pair, as soon as it is found",
            "content": {
                "application/x-ndjson": {
                    "schema": {"type": "string"},
                    "example": '{"images":[{"url":"a.jpg","distance":0},{"url":"b.jpg","distance":2}]}\n',
                }
            },
        },
        **_OF_ONE,
    },
)
async def duplicates(
    request: Request,
    collection: Named,
    live: LiveCollections,
    max_distance: Annotated[int, Query(ge=0, le=1024, description="most bits in which codes differ")] = 4,
    view: Annotated[
        Shape,
        Query(
            description="`groups`: images that are near to each other, at least in a chain; `pairs`: each two of them"
        ),
    ] = "groups",
) -> Response:
    """Exact, over all images. It ends when the client goes."""
    await live.read(collection, lambda _view: None)  # says what is wrong while it can still be said
    reports: Duplicates = request.app.state.duplicates
    pieces = reports.report(collection.name, max_distance, view)
    try:
        first = await _unless_gone(request, anext(pieces, b""))
    except DuplicatesFailed as error:
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, f"there is no report: {error}") from error
    except ClientDisconnect:
        return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody reads it

    async def all_of_them() -> AsyncIterator[bytes]:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return StreamingResponse(all_of_them(), media_type="application/x-ndjson")


async def _unless_gone(request: Request, answer: Awaitable[bytes]) -> bytes:
    """What ``answer`` gives. ClientDisconnect, and ``answer`` is cancelled, when the client goes before."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    awaited, gone = asyncio.ensure_future(answer), asyncio.create_task(disconnected())
    try:
        await asyncio.wait({awaited, gone}, return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            return awaited.result()
        raise ClientDisconnect
    finally:
        awaited.cancel()
        gone.cancel()
        await asyncio.wait({awaited, gone})


async def _retire(live: Live, servers: ModelServers) -> None:
    """End the models that no collection has."""
    await servers.retire(await to_thread.run_sync(_served_names, live))


def _served_names(live: Live) -> set[str]:
    """What the models of all collections are called where they are served beside the datalake's."""
    names = set()
    for name in live.collections.names():
        with suppress(SearcherError):
            names.add(live.collections.open(name).identity().served_name)
    return names


def _info(collection: Collection) -> CollectionInfo:
    view = collection.view()
    manifests = collection.store.manifests()
    model = view.version.manifest.model
    journal = sum(_size(collection.folder / f"{JOURNAL_FILE}{suffix}") for suffix in ("", "-wal", "-shm"))
    return CollectionInfo(
        name=collection.name,
        count=view.count,
        model=CollectionModel(name=model.name, sha256=model.sha256, bits=model.bits, detail_bits=model.detail_bits),
        version=view.version.name,
        versions=collection.store.names(),
        journal=JournalSize(changes=collection.unfolded(), bytes=journal),
        bytes=journal + sum(entry.size for manifest in manifests for entry in manifest.files.values()),
        created=_created(collection.folder),
    )


def _created(folder: FilePath) -> datetime | None:
    try:
        return datetime.fromisoformat(json.loads((folder / _BIRTH_FILE).read_text(encoding="utf-8"))["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _size(path: FilePath) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

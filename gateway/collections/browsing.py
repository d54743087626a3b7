"""``/api/collections``: listing collections, and browsing their images."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from contract.space import CODE
from gateway.access.guards import require_search
from gateway.collections.bodies import (
    CollectionImage,
    CollectionInfo,
    CollectionList,
    CollectionProperties,
    DamagedCollection,
    ImagePage,
    info_of,
)
from gateway.collections.duplicates import Shape
from gateway.collections.named import ALWAYS, OF_ONE, Named
from gateway.errors import DuplicatesFailed, OriginFault, PictureRefused, RequestRefused, refusals
from gateway.images.collection_thumbnails import thumbnail_name
from gateway.images.downloads import client_has
from gateway.images.thumbnails import SIDE
from gateway.services import UsesServices
from gateway.statuses import refusal_of
from pictures.errors import ImageError
from searcher.engines.foreign import ForeignCollection
from searcher.errors import CollectionMissing, FilterError, SearcherError, VersionMissing
from searcher.filters import Filter, parse_filter

router = APIRouter(
    prefix="/api/collections", tags=["collections"], dependencies=[Depends(require_search)], responses=ALWAYS
)


def condition(
    filter: Annotated[
        str | None,
        Query(description="JSON: only images whose metadata meet it", examples=['{"language": "ja"}']),
    ] = None,
) -> Filter | None:
    """Returns the condition in the parameter ``filter``. Raises RequestRefused (422) if it is malformed."""
    if filter is None or not filter.strip():
        return None
    try:
        return parse_filter(json.loads(filter))
    except FilterError as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"filter: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"filter is not JSON ({str(error)[:100]})") from error


@router.get("", summary="List the collections", operation_id="listCollections")
async def list_collections(services: UsesServices) -> CollectionList:
    collections, store = services.collections.collections, services.settings.index_store

    def all_of_them() -> CollectionList:
        found, damaged = [], []
        for name in collections.names():
            try:
                found.append(info_of(collections, collections.open(name)))
            except (VersionMissing, CollectionMissing):
                continue  # deleted just now, or without a version yet
            except SearcherError as error:
                damaged.append(DamagedCollection(name=name, message=str(refusal_of(error, store))))
        return CollectionList(collections=found, damaged=damaged)

    return await to_thread.run_sync(all_of_them)


@router.get("/{name}", summary="One collection", operation_id="getCollection", responses=OF_ONE)
async def get_collection(collection: Named, services: UsesServices) -> CollectionInfo:
    return await to_thread.run_sync(info_of, services.collections.collections, collection)


@router.get(
    "/{name}/properties",
    summary="What a collection's engine says of it",
    operation_id="getCollectionProperties",
    responses=OF_ONE,
)
async def get_properties(collection: Named) -> CollectionProperties:
    """Empty for a collection in the index store, of which `getCollection` says all."""

    def properties() -> CollectionProperties:
        found = collection.engine.properties() if isinstance(collection, ForeignCollection) else {}
        return CollectionProperties(properties=dict(found))

    return await to_thread.run_sync(properties)


@router.get(
    "/{name}/images", summary="A collection's images, a page at a time", operation_id="browseCollection",
    responses=OF_ONE,
)  # fmt: skip
async def browse(
    collection: Named,
    services: UsesServices,
    condition: Annotated[Filter | None, Depends(condition)],
    cursor: Annotated[str, Query(max_length=4096, description="the cursor of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="how many at most")] = 50,
) -> ImagePage:
    """Sorted by URL, from behind `cursor` on."""
    place = f"{services.settings.root_path}/api/collections/{collection.name}/thumbnail?"

    def page() -> ImagePage:
        # One more than asked for, to know whether there are more.
        view = collection.view()
        images = view.images(cursor, limit + 1, condition)
        return ImagePage(
            images=[
                CollectionImage(
                    url=image.path,
                    spelled=json.loads(image.fetched or "{}").get("spelled"),
                    metadata=None if image.metadata is None else json.loads(image.metadata),
                    code=image.vectors.get(CODE, b"").hex(),
                    thumbnail=place + urlencode({"url": image.path}),
                )
                for image in images[:limit]
            ],
            cursor=images[limit - 1].path if len(images) > limit else None,
            count=view.count if condition is None else view.number(condition),
        )

    return await to_thread.run_sync(page)


@router.head("/{name}/thumbnail", include_in_schema=False)
@router.get(
    "/{name}/thumbnail",
    summary=f"An image of a collection as WebP, upright, at most {SIDE} pixels a side",
    operation_id="getCollectionThumbnail",
    response_class=Response,
    responses={
        200: {"description": "the thumbnail", "content": {"image/webp": {}}},
        304: {"description": "the client has it already, as its If-None-Match says"},
        **OF_ONE,
        **refusals(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT),
    },
)
async def thumbnail(
    request: Request,
    collection: Named,
    services: UsesServices,
    url: Annotated[
        str,
        Query(max_length=4096, description="the image's name", examples=["https://iiif.example.org/letters/001.jpg"]),
    ],
    if_none_match: Annotated[str | None, Header(description="the ETag of what the client has")] = None,
) -> Response:
    """Of an uploaded picture it was kept; another one is read or fetched when somebody looks, and then kept."""
    image = await services.collections.read(collection, lambda view: view.image(view.name_of(url)))
    if image is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"the collection {collection.name} has no such image")
    etag = f'"{thumbnail_name(image.path, image.digest)}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "X-Content-Type-Options": "nosniff"}
    if client_has(etag, if_none_match):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        content = await services.collection_thumbnails.of(
            collection, image, lambda: services.adding.picture(collection, image.path)
        )
    except OriginFault:
        raise
    except PictureRefused as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"the picture cannot be had: {error}") from error
    except ImageError as error:
        raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from error
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Type": "image/webp", "Content-Length": str(len(content))})
    return Response(content, headers=headers, media_type="image/webp")


@router.get(
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
                    "example": '{"images":[{"url":"a.jpg","metadata":null,"distance":0,"same_file":true},'
                    '{"url":"b.jpg","metadata":{"year":1890},"distance":2,"same_file":false}]}\n',
                }
            },
        },
        **OF_ONE,
    },
)
async def duplicates(
    request: Request,
    collection: Named,
    services: UsesServices,
    max_distance: Annotated[
        int | None,
        Query(
            ge=0,
            le=1024,
            description="most bits in which detail codes differ, or codes where the model gives no others; unless "
            "given, what the collection's `copies` say",
        ),
    ] = None,
    view: Annotated[
        Shape,
        Query(
            description="`groups`: an image that would be kept, first, and its copies, each as near to it as asked, "
            "with their distances to it; `pairs`: each two that are so near"
        ),
    ] = "groups",
) -> Response:
    """Exact, over all images; of copies, the one that comes first in the collection would be kept. `same_file` says
    that a file is that of the first one byte for byte; equal codes alone don't. It ends when the client goes."""
    await services.collections.read(collection, lambda _view: None)  # raises errors before the answer has begun
    pieces = services.duplicates.report(collection.name, max_distance, view)
    try:
        first = await _unless_gone(request, anext(pieces, b""))
    except DuplicatesFailed as error:
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, f"there is no report: {error}") from error
    except ClientDisconnect:
        return Response(status_code=HTTPStatus.BAD_REQUEST)  # the client has gone

    async def all_of_them() -> AsyncIterator[bytes]:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return StreamingResponse(all_of_them(), media_type="application/x-ndjson")


async def _unless_gone(request: Request, answer: Awaitable[bytes]) -> bytes:
    """Returns the result of ``answer``. If the client disconnects first, cancels ``answer`` and raises
    ClientDisconnect."""

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

"""``/models/{model}/urls``, ``dump`` and ``count``, which read the collection in a thread; and ``/ping``."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import chain, repeat
from json.encoder import encode_basestring
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from contract.model import ModelIdentity
from gateway.collections.dump_format import Embeddings
from gateway.collections.dump_model import label_of
from gateway.collections.open_collections import OpenCollections
from gateway.errors import RequestRefused
from gateway.idios import bodies
from gateway.idios.answers import Dumped, json_answer
from gateway.idios.bodies import MAX_PAGE, documented, read_body
from gateway.idios.errors import IdiosRoute, refusals
from gateway.idios.named import ALWAYS, PREFIX, Named, condition_of
from gateway.services import UsesServices
from searcher.entry import Entry
from searcher.open_collection import OpenCollection, OpenView

#: How many images of a dump are in memory at a time; each may have 65,535 characters of metadata.
_CHUNK = 2048

router = APIRouter(prefix=PREFIX, tags=["idios"], route_class=IdiosRoute, responses=ALWAYS)
#: Its route needs no key.
pinging = APIRouter(tags=["idios"], route_class=IdiosRoute)


@router.post(
    "/urls",
    summary="The URLs of all images, a page at a time",
    operation_id="listUrls",
    response_model=list[str],
    openapi_extra=documented(bodies.page, {"limit": 100}, required=False),
)
async def urls(request: Request, collection: Named, services: UsesServices) -> Response:
    """Sorted by code points, from behind `cursor` on. A page that is shorter than `limit` is the last one."""
    return await _page(
        request, collection, services.collections, lambda _model: lambda image: encode_basestring(image.path)
    )


@router.post(
    "/dump",
    summary="All images with metadata and embeddings, a page at a time",
    operation_id="dumpImages",
    response_model=list[Dumped],
    openapi_extra=documented(bodies.page, {"limit": 100}, required=False),
)
async def dump(request: Request, collection: Named, services: UsesServices) -> Response:
    """As `urls`. `restore` takes what this gives."""
    return await _page(request, collection, services.collections, _dumped)


@router.get("/count", summary="How many images there are", operation_id="countImages", response_model=int)
async def count(collection: Named, services: UsesServices) -> Response:
    return json_answer(await services.collections.read(collection, lambda view: view.count))


@router.post(
    "/count",
    summary="How many images there are that a filter lets pass",
    operation_id="countFilteredImages",
    response_model=int,
    openapi_extra=documented(bodies.count, {"filter": {"language": "ja"}}, required=False),
)
async def count_filtered(request: Request, collection: Named, services: UsesServices) -> Response:
    condition = condition_of((await read_body(request)).understood(bodies.count, optional=True).filter)
    return json_answer(
        await services.collections.read(
            collection, lambda view: view.count if condition is None else view.number(condition)
        )
    )


@pinging.get(
    "/ping",
    summary="Whether this process is up, as Idios says it",
    operation_id="ping",
    response_model=Literal["pong"],
    responses=refusals(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
)
async def ping(
    services: UsesServices,
    rpc: Annotated[bool, Query(description="also whether a worker answers; 503 if none does")] = False,
) -> Response:
    if rpc:
        ready = await services.readiness.now()
        if all(worker.version is None for worker in ready.workers):
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, ready.message)
    return json_answer("pong")


async def _page(
    request: Request,
    collection: OpenCollection,
    collections: OpenCollections,
    writing: Callable[[ModelIdentity], Callable[[Entry], str]],
) -> Response:
    """Returns the requested images; ``writing``, given the model, returns the function that writes one as JSON text."""
    page = (await read_body(request)).understood(bodies.page, optional=True)
    condition = condition_of(page.filter)
    write = writing(await to_thread.run_sync(collection.identity))
    limit = page.limit or MAX_PAGE

    def part(after: str, limit: int) -> Callable[[OpenView], list[Entry]]:
        return lambda view: view.images(after, min(limit, _CHUNK), condition)

    # The first part is read now, to raise errors before the answer has begun.
    first = await collections.read(collection, part(page.cursor or "", limit))

    def pieces() -> Iterator[str]:
        images, left, between = first, limit, "["
        while images:
            yield between + ",".join(map(write, images))
            between, left = ",", left - len(images)
            if len(images) < _CHUNK or not left:
                break
            images = part(images[-1].path, left)(collection.view())
        yield "]" if between == "," else "[]"

    return StreamingResponse(pieces(), media_type="application/json")


def _dumped(model: ModelIdentity) -> Callable[[Entry], str]:
    fields = Embeddings(model).fields
    # The whole identity once, for the first image.
    made_with = chain([model.model_dump_json(exclude={"calibration"})], repeat(encode_basestring(label_of(model))))

    def write(image: Entry) -> str:
        return (
            f'{{"url":{encode_basestring(image.path)},"metadata":{image.metadata or "null"},'
            f'{fields(image.vectors)},"model":{next(made_with)}}}'
        )

    return write

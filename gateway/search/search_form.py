"""``POST /search_form``: the four pictures nearest to some words as a piece of HTML, as the page of the text-search
example for PostgreSQL puts it into itself.

    <div id="images"><p>Image 1: s3://bucket/dog.jpg</p><img src="https://…"> …</div>

Pictures of an object store are links for an hour, or as long as HASHLAKE_PRESIGNED_SECONDS says; others are thumbnails.
An error is an error, with its status, and not an empty answer.
"""

from collections.abc import Iterator
from html import escape
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Depends, Form
from fastapi.responses import HTMLResponse
from pydantic import JsonValue

from contract.answer import QueryAnswer
from contract.names import DEFAULT_COLLECTION
from gateway.access.guards import require_search
from gateway.errors import RequestRefused, json_refusals
from gateway.services import Services, UsesServices
from searcher.errors import CollectionMissing
from searcher.open_collection import OpenCollection

#: What the example calls its table; a gateway without such a collection searches the datalake's.
_COLLECTION = "pictures"
_SHOWN = 4
_LINK_SECONDS = 3600

router = APIRouter(tags=["search"], dependencies=[Depends(require_search)])


@router.post(
    "/search_form",
    summary="The pictures most like some words, as HTML",
    operation_id="searchForm",
    response_class=HTMLResponse,
    responses=json_refusals(
        HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT,
        HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT,
    ),
)  # fmt: skip
async def search_form(
    search_text: Annotated[str, Form(min_length=1, max_length=4096, description="any words", examples=["man jumping"])],
    services: UsesServices,
) -> HTMLResponse:
    """Of the collection `pictures`, or of `default` if there is none of that name."""
    collection = await _collection(services)
    identity = await to_thread.run_sync(collection.identity)
    asked: dict[str, JsonValue] = {"collection": collection.name, "text": search_text, "top_k": _SHOWN}
    async with services.model_servers.serving(identity) as model:
        answer = await services.torchserve.predict(asked, None, model)
    if answer.status_code != HTTPStatus.OK:
        try:
            message = str(answer.json()["message"])
        except (ValueError, KeyError, TypeError):
            message = "the search server failed"
        raise RequestRefused(HTTPStatus(answer.status_code), message, answer.retry_after)
    found = QueryAnswer.model_validate(answer.json()).relevant
    pieces = await to_thread.run_sync(lambda: "".join(_pieces(services, collection, found)))
    return HTMLResponse(f'<div id="images">{pieces}</div>' if found else "No results found")


async def _collection(services: Services) -> OpenCollection:
    try:
        return await services.collections.open(_COLLECTION)
    except CollectionMissing:
        return await services.collections.open(DEFAULT_COLLECTION)


def _pieces(services: Services, collection: OpenCollection, names: list[str]) -> Iterator[str]:
    seconds = services.settings.presigned_seconds or _LINK_SECONDS
    thumbnails = f"{services.settings.root_path}/api/collections/{collection.name}/thumbnail?"
    for number, name in enumerate(names, 1):
        source = services.source_pictures.link(name, seconds) or thumbnails + urlencode({"url": name})
        yield f'<p>Image {number}: {escape(name)}</p><img src="{escape(source)}">'

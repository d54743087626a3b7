"""``/models/{model}/…`` and ``/ping``: the routes that Idios has, for its clients, on live collections.

    add, search_add, add_bulk, restore, remove ─▶ one writer a collection       search ─▶ TorchServe
    urls, dump, count, compare                 ─▶ the collection, in a thread

``{model}`` is a collection's name, or that of a model which only one collection has. Wherever Idios takes a URL, a form
with the picture itself does as well.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from json.encoder import encode_basestring
from typing import Annotated, Any, Literal

import httpx
from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field, JsonValue
from starlette.responses import StreamingResponse

from gateway import errors
from gateway import idios_bodies as bodies
from gateway.access import require_changeable
from gateway.adding import Adding, Kept, Subject, upload_name
from gateway.collection_thumbnails import CollectionThumbnails
from gateway.embeddings import BadEmbedding, Embeddings, similarity
from gateway.errors import PictureRefused, RequestRefused
from gateway.idios_bodies import MAX_PAGE, Asked, documented, read_body
from gateway.idios_errors import IdiosRoute, refusals, unprocessable
from gateway.live import Live
from gateway.model_servers import ModelServers
from gateway.open_versions import OpenVersions
from gateway.picture_check import check_picture
from gateway.search import more_like
from gateway.torchserve import ModelGone, TorchServe
from searcher.collection import Collection
from searcher.collections_store import DEFAULT
from searcher.filters import Condition, parse_filter
from searcher.journal import Addition
from searcher.manifest import ModelIdentity
from searcher.overlay import Image, View

#: Images of a dump that are in memory at a time; each may have 65,535 characters of metadata.
_CHUNK = 2048

#: Of the answer to a removal: whether there was something to remove. Idios answers 204 either way.
REMOVED_HEADER = "X-Hashlake-Removed"

_ALWAYS = refusals(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
) | errors.refusals(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)  # before anybody knows whose route it is
#: Searching, comparing and listing.
reading = APIRouter(prefix="/models/{model_name}", tags=["idios"], route_class=IdiosRoute, responses=_ALWAYS)
#: Adding and removing.
changing = APIRouter(
    prefix="/models/{model_name}",
    tags=["idios"],
    route_class=IdiosRoute,
    dependencies=[Depends(require_changeable)],
    responses=_ALWAYS | refusals(HTTPStatus.FORBIDDEN, HTTPStatus.INSUFFICIENT_STORAGE),
)
pinging = APIRouter(tags=["idios"], route_class=IdiosRoute)

_FILE = {"image": "the picture itself, instead of a URL; with a URL beside it, that is its name"}
_ASKED_FILE = {"image": "the picture itself, instead of a URL"}


class Found(BaseModel):
    """One image that is like the one asked about."""

    url: str = Field(description="its name", examples=["https://iiif.example.org/letters/001/full/full/0/default.jpg"])
    metadata: dict[str, JsonValue] | None = Field(
        description="as it was added; null if nothing was", examples=[{"language": "ja"}]
    )
    similarity: float = Field(
        ge=0,
        le=100,
        description="100 · (1 − 2 · differing bits / bits): 100 for equal codes, 0 where half of the bits differ",
        examples=[96.875],
    )


class Failed(BaseModel):
    """One image that was not added."""

    url: str = Field(description="as it was sent", examples=["https://iiif.example.org/letters/404.jpg"])
    error: str = Field(description="why not", examples=["iiif.example.org answers 404"])


class Bulk(BaseModel):
    """How many images were added at once."""

    added: int = Field(description="images that are new", examples=[2])
    found: int = Field(description="images that were there already; nothing was done to them", examples=[1])
    failed: list[Failed] = Field(description="the others, in the order they were sent")


class Dumped(BaseModel):
    """One image, as ``restore`` takes it."""

    url: str = Field(description="its name", examples=["https://iiif.example.org/letters/001/full/full/0/default.jpg"])
    metadata: dict[str, JsonValue] | None = Field(
        description="as it was added; null if nothing was", examples=[{"language": "ja"}]
    )
    embedding: str = Field(
        description="base64 of the code, and of the detail code behind it if the model gives one",
        examples=["nzoAwdLk9Qc="],
    )


def _live(request: Request) -> Live:
    live: Live = request.app.state.live
    return live


def _adding(request: Request) -> Adding:
    adding: Adding = request.app.state.adding
    return adding


def _thumbnails(request: Request) -> CollectionThumbnails:
    thumbnails: CollectionThumbnails = request.app.state.collection_thumbnails
    return thumbnails


LiveCollections = Annotated[Live, Depends(_live)]
Adds = Annotated[Adding, Depends(_adding)]
Small = Annotated[CollectionThumbnails, Depends(_thumbnails)]


async def _named(
    model_name: Annotated[
        str, Path(description="a collection's name, or that of its model if no other has it", examples=["default"])
    ],
    live: LiveCollections,
) -> Collection:
    return await live.named(model_name)


Named = Annotated[Collection, Depends(_named)]


@changing.post(
    "/add",
    summary="Add an image, or look at one again",
    operation_id="addImage",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=documented(
        bodies.new_image,
        {"url": "https://iiif.example.org/letters/001.jpg", "metadata": {"language": "ja"}},
        files=_FILE,
    ),
)
async def add(request: Request, collection: Named, adding: Adds, thumbnails: Small) -> None:
    """The answer comes when the image is on the disk and in every search. Of a URL that is there already the picture is
    fetched again: if it has changed, so does its code. Its metadata change if they are given."""
    asked = await read_body(request, "image")
    image = asked.understood(bodies.new_image, _name_of_upload(asked))
    metadata = image.metadata if "metadata" in image.model_fields_set else Kept.METADATA
    data = asked.files.get("image")
    with _about(asked):
        replaced = await adding.add(collection, Subject(image.url, data), metadata)
    if replaced is not None:
        await thumbnails.forget(collection, replaced)
    if data is not None:
        thumbnails.keep(collection, image.url, data)


@changing.post(
    "/search_add",
    summary="Add an image that isn't there yet",
    operation_id="searchAddImage",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=documented(
        bodies.new_image,
        {"url": "https://iiif.example.org/letters/001.jpg", "metadata": {"language": "ja"}},
        files=_FILE,
    ),
)
async def search_add(request: Request, collection: Named, adding: Adds, thumbnails: Small) -> None:
    """409 `{"detail": "Image already inserted"}` for a URL that is there; nothing is fetched then."""
    asked = await read_body(request, "image")
    image = asked.understood(bodies.new_image, _name_of_upload(asked))
    data = asked.files.get("image")
    with _about(asked):
        added = await adding.add_new(collection, Subject(image.url, data), image.metadata)
    if not added:
        raise RequestRefused(HTTPStatus.CONFLICT, "Image already inserted")
    if data is not None:
        thumbnails.keep(collection, image.url, data)


@changing.post(
    "/add_bulk",
    summary="Add many images that aren't there yet",
    operation_id="addImages",
    response_model=Bulk,
    openapi_extra=documented(
        bodies.bulk,
        [{"url": "https://iiif.example.org/letters/001.jpg"}, {"url": "https://iiif.example.org/letters/002.jpg"}],
    ),
)
async def add_bulk(request: Request, collection: Named, adding: Adds) -> Response:
    """Those that are new are fetched and hashed side by side, and each is in every search as soon as it is added. One
    that cannot be fetched or read doesn't keep the others."""
    images = await to_thread.run_sync(Asked(json=await request.body()).understood, bodies.bulk)
    outcome = await adding.add_all(collection, [(image["url"], image.get("metadata")) for image in images])
    failed = [{"url": url, "error": error} for url, error in outcome.failed]
    return _json({"added": outcome.added, "found": outcome.found, "failed": failed})


@changing.post(
    "/restore",
    summary="Add images with their embeddings, as dump gives them",
    operation_id="restoreImages",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=documented(
        bodies.stored,
        [
            {
                "url": "https://iiif.example.org/letters/001.jpg",
                "metadata": {"language": "ja"},
                "embedding": "nzoAwdLk9Qc=",
            }
        ],
    ),
)
async def restore(request: Request, collection: Named, live: LiveCollections) -> None:
    """All of them or, where one is wrong, none. Those that are there already are replaced."""
    additions = await to_thread.run_sync(_additions, await request.body(), collection)
    if additions:
        await live.writer(collection).add(additions, None)


@changing.post(
    "/remove",
    summary="Remove an image",
    operation_id="removeImage",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    responses={
        204: {"headers": {REMOVED_HEADER: {"description": "whether it was there", "schema": {"type": "boolean"}}}}
    },
    openapi_extra=documented(bodies.removal, {"url": "https://iiif.example.org/letters/001.jpg"}, files=_ASKED_FILE),
)
async def remove(request: Request, collection: Named, live: LiveCollections, thumbnails: Small) -> Response:
    """The answer comes when it is in no search any more; what isn't there is removed already."""
    asked = await read_body(request, "image")
    url = asked.understood(bodies.removal, _name_of_upload(asked)).url
    image = await live.read(collection, lambda view: view.image(url))
    removed = image is not None and await live.writer(collection).remove(url)
    if image is not None and removed:
        await thumbnails.forget(collection, image)
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={REMOVED_HEADER: json.dumps(removed)})


@reading.post(
    "/search",
    summary="The images most like one",
    operation_id="searchImages",
    response_model=list[Found],
    openapi_extra=documented(
        bodies.question, {"url": "https://iiif.example.org/letters/001.jpg", "limit": 5}, files=_ASKED_FILE
    ),
)
async def search(request: Request, collection: Named, live: LiveCollections, adding: Adds) -> Response:
    """Best first. An image of the collection is looked for by the code that is kept of it; any other URL is fetched."""
    asked = await read_body(request, "image")
    question = asked.understood(bodies.question)
    fields: dict[str, JsonValue] = {
        "collection": collection.name, "top_k": question.limit, "debug": True, "metadata": True
    }  # fmt: skip
    if question.filter is not None:
        parse_filter(question.filter)
        fields["filter"] = question.filter
    data = asked.files.get("image")
    url = question.url
    subject = "url" if data is None else "image"
    sought = url if data is None else None
    image, version = await live.read(
        collection, lambda view: (None if sought is None else view.image(sought), view.version)
    )
    if sought is not None and image is None:
        with _about(asked):
            data = await adding.picture(collection, sought)
    if image is not None:
        fields |= {"code": image.code.hex()} | ({"detail_code": image.detail.hex()} if image.detail else {})
    elif data is not None:
        with _about(asked):
            await to_thread.run_sync(check_picture, data)
    elif question.text is not None:
        subject, fields["text"] = "text", question.text
    else:
        raise unprocessable("Either 'text' or 'url' must be provided.", "body", kind="value_error.missing")
    versions: OpenVersions = request.app.state.versions
    found = await _asked(request, collection, version.manifest.model, fields, None if image else data)
    understood = found.status_code in (HTTPStatus.OK, HTTPStatus.BAD_REQUEST)
    if collection.name == DEFAULT and understood and _answering(found) != version.name:
        # Perhaps of another model, which takes over: to that one the code says something else, or nothing.
        if image is not None:
            found = await more_like(image.path, fields, versions, collection, request.app.state.torchserve)
        version = await to_thread.run_sync(versions.get, _answering(found))
    answer = _understood(found, subject)
    images = zip(answer["relevant"], answer["metadata"], answer["distances"], strict=True)
    bits = version.manifest.model.bits
    return _json(
        [
            {"url": path, "metadata": metadata, "similarity": similarity(distance, bits)}
            for path, metadata, distance in images
        ]
    )


@reading.post(
    "/compare",
    summary="How much two images are alike",
    operation_id="compareImages",
    response_model=Annotated[float, Field(ge=0, le=100)],
    openapi_extra=documented(
        bodies.two,
        {"url": "https://iiif.example.org/letters/001.jpg", "other": "https://iiif.example.org/letters/002.jpg"},
        files={**_ASKED_FILE, "other_image": "the other picture itself, instead of `other`"},
    ),
)
async def compare(request: Request, collection: Named, adding: Adds) -> Response:
    """The similarity that a search would answer, from 0 to 100. Images of the collection aren't fetched."""
    asked = await read_body(request, "image", "other_image")
    pair = asked.understood(bodies.two, _name_of_upload(asked) | _name_of_upload(asked, "other_image", "other"))
    with _about(asked):
        one = await adding.code(collection, Subject(pair.url, asked.files.get("image")))
    with _about(asked, "other_image", "other"):
        other = await adding.code(collection, Subject(pair.other, asked.files.get("other_image")))
    distance = (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()
    return _json(similarity(distance, 8 * len(one)))


@reading.post(
    "/urls",
    summary="The URLs of all images, a page at a time",
    operation_id="listUrls",
    response_model=list[str],
    openapi_extra=documented(bodies.page, {"limit": 100}, required=False),
)
async def urls(request: Request, collection: Named, live: LiveCollections) -> Response:
    """Sorted by code points, from behind `cursor` on. A page that is shorter than `limit` is the last one."""
    return await _page(request, collection, live, lambda _model: lambda image: encode_basestring(image.path))


@reading.post(
    "/dump",
    summary="All images with metadata and embeddings, a page at a time",
    operation_id="dumpImages",
    response_model=list[Dumped],
    openapi_extra=documented(bodies.page, {"limit": 100}, required=False),
)
async def dump(request: Request, collection: Named, live: LiveCollections) -> Response:
    """As `urls`. `restore` takes what this gives."""
    return await _page(request, collection, live, _dumped)


@reading.get("/count", summary="How many images there are", operation_id="countImages", response_model=int)
async def count(collection: Named, live: LiveCollections) -> Response:
    return _json(await live.read(collection, lambda view: view.count))


@reading.post(
    "/count",
    summary="How many images there are that a filter lets pass",
    operation_id="countFilteredImages",
    response_model=int,
    openapi_extra=documented(bodies.count, {"filter": {"language": "ja"}}, required=False),
)
async def count_filtered(request: Request, collection: Named, live: LiveCollections) -> Response:
    condition = _condition((await read_body(request)).understood(bodies.count).filter)
    return _json(await live.read(collection, lambda view: view.count if condition is None else view.number(condition)))


@pinging.get(
    "/ping", summary="Whether this process is up, as Idios says it", operation_id="ping", response_model=Literal["pong"]
)
async def ping() -> Response:
    return _json("pong")


def _json(value: Any) -> Response:
    return Response(json.dumps(value, ensure_ascii=False, separators=(",", ":")), media_type="application/json")


def _name_of_upload(asked: Asked, file: str = "image", name: str = "url") -> dict[str, str]:
    """What the picture in the part ``file`` is called, if the part ``name`` doesn't say."""
    data = asked.files.get(file)
    return {} if data is None else {name: upload_name(data)}


@contextmanager
def _about(asked: Asked, file: str = "image", name: str = "url") -> Iterator[None]:
    """What is wrong with a picture in the block, said of the field that it came in."""
    try:
        yield
    except PictureRefused as error:
        raise unprocessable(str(error), "body", file if file in asked.files else name) from error


def _condition(given: dict[str, JsonValue] | None) -> Condition | None:
    return None if given is None else parse_filter(given)


async def _asked(
    request: Request, collection: Collection, model: ModelIdentity, fields: Mapping[str, JsonValue], data: bytes | None
) -> httpx.Response:
    """What TorchServe answers about ``collection``, whose model was ``model`` a moment ago."""
    torchserve: TorchServe = request.app.state.torchserve
    servers: ModelServers = request.app.state.model_servers
    with suppress(ModelGone):
        found = await torchserve.predict(fields, data, await servers.name_of(model))
        if found.status_code != HTTPStatus.CONFLICT:
            return found
    # Another model has taken that one's place, or it was unloaded.
    return await torchserve.predict(fields, data, await servers.name_for(collection.name))


def _answering(found: httpx.Response) -> str | None:
    """The version that ``found`` comes from; None where it is a refusal."""
    if found.status_code != HTTPStatus.OK:
        return None
    name: str = found.json()["index_database_version"]
    return name


def _understood(answer: httpx.Response, subject: str) -> dict[str, Any]:
    """TorchServe's answer to a question about ``subject``. Unprocessable, or RequestRefused, for its refusals."""
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        body = {}
    if answer.status_code == HTTPStatus.OK:
        return body
    message = str(body.get("message", "the search server failed")).removeprefix(f"{subject}: ")
    if answer.status_code in (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ):
        raise unprocessable(message, "body", subject)
    known = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
    raise RequestRefused(
        HTTPStatus(answer.status_code) if answer.status_code in known else HTTPStatus.SERVICE_UNAVAILABLE, message
    )


def _additions(body: bytes, collection: Collection) -> list[Addition]:
    embeddings = Embeddings(collection.identity())
    images = Asked(json=body).understood(bodies.stored)
    additions = []
    for place, image in enumerate(images):
        try:
            code, detail = embeddings.decode(image["embedding"])
        except BadEmbedding as error:
            raise unprocessable(str(error), "body", place, "embedding", kind="value_error.embedding") from error
        additions.append(Addition(image["url"], code, detail, image.get("metadata")))
    return additions


async def _page(
    request: Request,
    collection: Collection,
    live: Live,
    writing: Callable[[ModelIdentity], Callable[[Image], str]],
) -> Response:
    """The images that are asked for, each as JSON text by what ``writing`` makes of the model."""
    page = (await read_body(request)).understood(bodies.page)
    condition = _condition(page.filter)
    write = writing(await to_thread.run_sync(collection.identity))
    limit = page.limit or MAX_PAGE

    def part(after: str, limit: int) -> Callable[[View], list[Image]]:
        return lambda view: view.images(after, min(limit, _CHUNK), condition)

    # What is wrong is found out while it can still be said.
    first = await live.read(collection, part(page.cursor or "", limit))

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


def _dumped(model: ModelIdentity) -> Callable[[Image], str]:
    encode = Embeddings(model).encode

    def write(image: Image) -> str:
        return (
            f'{{"url":{encode_basestring(image.path)},"metadata":{image.metadata or "null"},'
            f'"embedding":"{encode(image.code, image.detail)}"}}'
        )

    return write

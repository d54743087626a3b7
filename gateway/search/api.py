"""``POST /api/search``: a search whose answer has rows, pictures, codes and times, for people and pages.

    picture, its address, indexed image, words, embedding or code ─▶ TorchServe, in debug mode ─▶ its answer, with URLs
    of the pictures

A question is a form or a JSON object, of the same fields; it is about the datalake or a collection. Everything comes
from one worker's answer, so it is all of one version, even if another becomes current meanwhile. An image that was
added after the version was built has no row yet.
"""

import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

from contract.answer import CroppedBox, QueryAnswer
from contract.image_names import MAX_NAME, is_url
from contract.names import CODE_HEADER, DEFAULT_COLLECTION, DETAIL_HEADER
from contract.query import (
    DEFAULT_RANK,
    DEFAULT_TOP_K,
    SUBJECTS,
    WITH_TEXT,
    Crop,
    Diversity,
    Finite,
    MaxDistance,
    QueryFields,
    Rank,
    TextWeight,
    TopK,
    described,
    request_schema,
)
from contract.space import CODE, DETAIL, EMBEDDING
from gateway.access.guards import require_search
from gateway.collections.asking import ask
from gateway.errors import RequestRefused, refusals
from gateway.services import Services, UsesServices
from gateway.torchserve.http import Answer
from pictures.base64_text import file_in
from searcher.filters import parse_filter

_STEP = re.compile(r"(\w+);dur=([0-9.]+)")
#: What a question may have here, beside its picture.
_FIELDS = (
    "path", "text", "text_weight", "negative_text", "embedding", "code", "detail_code", "top_k", "max_distance", "rank",
    "turned", "exact", "collapse", "diversity", "crop", "collection", "filter",
)  # fmt: skip
_URL = "instead of `image`: where the picture is, http:// or https://; it is fetched under the limits of collections"
_numbers = TypeAdapter(list[Finite])
_object = TypeAdapter(dict[str, JsonValue])

Parsed = TypeVar("Parsed")

router = APIRouter(prefix="/api", tags=["search"], dependencies=[Depends(require_search)])


class SearchModel(BaseModel):
    """The model that hashed the query and the version."""

    name: str = Field(examples=["relahash-small-64bits"])
    sha256: str = Field(description="of the model's file, hex", examples=["9f86d081884c7d65…"])
    bits: int = Field(examples=[64])
    detail_bits: int | None = Field(description="null where it gives no detail codes", examples=[256])


class SearchQuery(BaseModel):
    """What was searched for, as codes: sent back as ``code`` and ``detail_code``, they find images by them alone."""

    code: str = Field(
        description="hex; empty for an image of a collection that keeps no codes",
        examples=["9f3a00c1d2e4f507"],
    )
    detail_code: str | None = Field(description="hex; null where there is none", examples=[None])


class Result(BaseModel):
    """One image."""

    row: int | None = Field(
        description="its number in the datalake's version; null if it was added since, or is of another collection",
        examples=[17],
    )
    path: str = Field(description="as the listing spells it", examples=["data/abc.com/69_abc_com.jpg"])
    distance: int | float = Field(
        description="differing bits, of the detail codes with `rank` `detail`; or 1 − cos of the embeddings",
        examples=[2],
    )
    cosine: float | None = Field(
        description="of the embeddings, −1 to 1; null where the images aren't ordered by them", examples=[None]
    )
    closeness: float | None = Field(
        description="0 to 1: the share of pictures so far apart that show the same kind of thing or, with `rank` "
        "`detail`, are the very same picture; null where that wasn't measured for the model",
        examples=[0.93],
    )
    code: str = Field(
        description="the image's own code, hex; empty where embeddings alone are kept", examples=["9f3a00c1d2e4f505"]
    )
    image: str = Field(
        description="URL of the original; of a small picture if it is none of the datalake's files",
        examples=["/images/17?version=1.2.0"],
    )
    thumbnail: str = Field(description="URL of a small picture", examples=["/thumbnails/17?version=1.2.0"])
    parent: str | None = Field(
        description="with `collapse`, or where some images are regions: the picture that it is on; else null",
        examples=[None],
    )
    box: tuple[int, int, int, int] | None = Field(
        description="of a region: left, top, width and height in pixels of the full size of its picture, which `image` "
        "and `thumbnail` show with `&whole=true`; null for what is no region",
        examples=[None],
    )
    metadata: dict[str, JsonValue] | None = Field(
        description="as given, or what its source says: the page and text of a PDF, the label and viewer of a canvas; "
        "null where there is none",
        examples=[{"page": 3, "pages": 12, "text": "Autumn dresses"}],
    )


class Milliseconds(BaseModel):
    """Where the time went. The first three are the worker's, of the batch that the request was in."""

    decode: float = Field(description="reading the picture", examples=[1.1])
    hash: float = Field(description="the model", examples=[1.9])
    search: float = Field(description="comparing codes", examples=[0.1])
    torchserve: float = Field(
        description="the whole of TorchServe's answer, with the three, queue and network", examples=[5.2]
    )
    total: float = Field(description="the whole of this answer", examples=[6.0])


class SearchAnswer(BaseModel):
    """The images found, best first."""

    version: str = Field(description="the index version that answered", examples=["1.2.0"])
    model: SearchModel
    query: SearchQuery
    results: list[Result] = Field(description="best first")
    nothing_like_it: bool | None = Field(
        description="whether even the best image, but for the one asked about, is hardly like the query; null where "
        "closeness is",
        examples=[False],
    )
    cropped_image: str | None = Field(
        description="with `crop`: what was looked for, base64 of a JPEG of at most 1024 pixels a side", examples=[None]
    )
    cropped_box: CroppedBox | None = Field(
        description="with `crop`: where it is on the query; null where no object was found"
    )
    milliseconds: Milliseconds


class JsonRoute(APIRoute):
    """A route for JSON alone; requests of other types go on to the next route of its path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        kind = Headers(scope=scope).get("Content-Type", "").partition(";")[0].strip().lower()
        return super().matches(scope) if kind == "application/json" else (Match.NONE, {})


class _Asked(QueryFields):
    url: str | None = None


async def search_by_json(request: Request, services: UsesServices) -> SearchAnswer:
    """As ``search``, the picture being base64. The body is parsed here: FastAPI would do it before it asks for a
    key."""
    try:
        asked = _Asked.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}") from error
    told = asked.model_dump(include={"image", "url", *_FIELDS})
    return await _searched(services, told, None, time.perf_counter())


router.add_api_route(
    "/search", search_by_json, methods=["POST"], include_in_schema=False, route_class_override=JsonRoute
)


def _json_schema() -> dict[str, Any]:
    schema = request_schema(as_form=False)
    schema["properties"] = {name: schema["properties"][name] for name in ("image", *_FIELDS)}
    schema["properties"]["url"] = {"type": "string", "description": _URL}
    return schema


@router.post(
    "/search",
    summary="Search for people and programs",
    operation_id="search",
    responses=refusals(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    ),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": _json_schema()}}}},
)
async def search(
    services: UsesServices,
    image: Annotated[UploadFile | None, File(description="a picture")] = None,
    url: Annotated[str | None, Form(description=_URL)] = None,
    path: Annotated[str | None, Form(description=described("path"))] = None,
    text: Annotated[str | None, Form(description=described("text"))] = None,
    text_weight: Annotated[TextWeight | None, Form(description=described("text_weight"))] = None,
    negative_text: Annotated[str | None, Form(description=described("negative_text"))] = None,
    embedding: Annotated[str | None, Form(description=f"{described('embedding')}: a list of JSON")] = None,
    code: Annotated[str | None, Form(description=described("code"))] = None,
    detail_code: Annotated[str | None, Form(description=described("detail_code"))] = None,
    top_k: Annotated[TopK, Form(description=described("top_k"))] = DEFAULT_TOP_K,
    max_distance: Annotated[MaxDistance | None, Form(description=described("max_distance"))] = None,
    rank: Annotated[Rank, Form(description=described("rank"))] = DEFAULT_RANK,
    turned: Annotated[bool, Form(description=described("turned"))] = False,
    exact: Annotated[bool, Form(description=described("exact"))] = False,
    collapse: Annotated[bool, Form(description=described("collapse"))] = False,
    diversity: Annotated[Diversity, Form(description=described("diversity"))] = 1,
    crop: Annotated[Crop | None, Form(description=described("crop"))] = None,
    collection: Annotated[str, Form(description=described("collection"))] = DEFAULT_COLLECTION,
    filter: Annotated[str | None, Form(description=f"{described('filter')}: an object of JSON")] = None,
) -> SearchAnswer:
    """One of `image`, `url`, `path`, `text`, `embedding` and `code` says what to look for; `text` may stand beside a
    picture or an embedding, where the model takes any words. A form, or a JSON object of the same fields with the
    picture in base64."""
    started = time.perf_counter()
    told = {
        "url": url, "path": path, "text": text, "text_weight": text_weight, "negative_text": negative_text,
        "embedding": _parsed(embedding, _numbers, "embedding: must be a list of numbers"), "code": code,
        "detail_code": detail_code, "top_k": top_k, "max_distance": max_distance, "rank": rank, "turned": turned,
        "exact": exact, "collapse": collapse, "diversity": diversity, "crop": crop, "collection": collection,
        "filter": _parsed(filter, _object, "filter: must be an object"),
    }  # fmt: skip
    return await _searched(services, told, file_in(await image.read()) if image else None, started)


def _parsed(text: str | None, kind: TypeAdapter[Parsed], complaint: str) -> Parsed | None:
    if text is None or not text.strip():
        return None
    try:
        return kind.validate_json(text)
    except ValidationError as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, complaint) from error


async def _searched(services: Services, told: Mapping[str, Any], picture: bytes | None, started: float) -> SearchAnswer:
    """Returns the answer to what is ``told``, with the ``picture`` of a form; the clock said ``started`` when it
    came."""
    given = [name for name in (*SUBJECTS, "url") if told.get(name) or (name == "image" and picture is not None)]
    if len(given) != 1 and not (len(given) == 2 and "text" in given and {*given} & {*WITH_TEXT, "url"}):
        raise RequestRefused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"give one of image, url, path, text, embedding and code; given: {' and '.join(given) or 'none'}",
        )
    # Of numbers, 0 says something, and a filter that is no object is refused.
    fields: dict[str, JsonValue] = {
        name: value
        for name, value in told.items()
        if (value not in (None, "", []) and value is not False) or (name == "filter" and value is not None)
    }
    if "filter" in fields:
        parse_filter(fields["filter"])
    fields |= {"debug": True, "metadata": True}
    name = str(fields.pop("collection", DEFAULT_COLLECTION))
    url = str(fields.pop("url", ""))
    collection = await services.collections.open(name) if url or name != DEFAULT_COLLECTION else None
    if url and not is_url(url):
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "url: must begin with http:// or https://")
    if len(url) > MAX_NAME:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"url: has at most {MAX_NAME:,} characters")
    if url and collection:
        picture = await services.adding.picture(collection, url)
    asked = time.perf_counter()
    if collection is None:
        answer = await services.torchserve.predict(fields, picture)
    else:
        name = collection.name  # of an alias, what is found is shown as the collection's
        answer = await ask(services, collection, fields | {"collection": name}, picture)
    torchserve_ms = 1000 * (time.perf_counter() - asked)
    if answer.status_code != HTTPStatus.OK:
        raise RequestRefused(HTTPStatus(answer.status_code), _message(answer), answer.retry_after)
    found = QueryAnswer.model_validate_json(answer.content)
    steps = {step: float(ms) for step, ms in _STEP.findall(answer.headers.get("Server-Timing", ""))}
    return SearchAnswer(
        version=found.index_database_version,
        model=_model(found),
        query=SearchQuery(code=answer.headers.get(CODE_HEADER, ""), detail_code=answer.headers.get(DETAIL_HEADER)),
        results=_results(found, name, services.settings.root_path),
        nothing_like_it=found.nothing_like_it,
        cropped_image=found.cropped_image,
        cropped_box=found.cropped_box,
        milliseconds=Milliseconds(
            **{step: steps.get(step, 0.0) for step in ("decode", "hash", "search")},
            torchserve=round(torchserve_ms, 2),
            total=round(1000 * (time.perf_counter() - started), 2),
        ),
    )


def _message(answer: Answer) -> str:
    """Returns the message of a refusal; TorchServe's own refusals aren't always JSON."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return "the search server failed"


def _model(found: QueryAnswer) -> SearchModel:
    model = found.model
    assert model is not None  # debug asks for it
    return SearchModel(
        name=model.name, sha256=model.sha256, bits=model.width(CODE) or 0, detail_bits=model.width(DETAIL)
    )


def _results(found: QueryAnswer, collection: str, root: str) -> list[Result]:
    query = urlencode({"version": found.index_database_version})
    codes = (found.codes or {}).get(CODE) or [""] * len(found.relevant)  # what was adopted may keep embeddings alone
    results = []
    metadata_of = found.metadata or [None] * len(found.relevant)
    rows = (found.rows or []) if collection == DEFAULT_COLLECTION else [None] * len(found.relevant)
    images = zip(found.relevant, found.distances or [], rows, codes, metadata_of, strict=True)
    for place, (path, distance, row, code, metadata) in enumerate(images):
        small = f"{root}/api/collections/{collection}/thumbnail?{urlencode({'url': path})}"
        results.append(
            Result(
                row=row,
                path=path,
                distance=distance,
                cosine=round(1 - distance, 6) if found.ordered_by == EMBEDDING else None,
                closeness=None if found.closeness is None else found.closeness[place],
                code=code,
                parent=None if found.parents is None else found.parents[place],
                box=None if found.boxes is None else found.boxes[place],
                image=small if row is None else f"{root}/images/{row}?{query}",
                thumbnail=small if row is None else f"{root}/thumbnails/{row}?{query}",
                metadata=metadata,
            )
        )
    return results

"""``POST /api/search``: the answer for people and pages, with rows, pictures, codes and times.

    picture, class or code ─▶ TorchServe, in debug mode ─▶ paths ─▶ codes; rows of the version that answered

"More like this" sends the code that the collection has for the image: no picture is read or hashed again. An image that
was added since the version was built has no row yet.
"""

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import httpx
from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from pydantic import BaseModel, Field, JsonValue
from starlette.concurrency import run_in_threadpool

from gateway.access import require_search
from gateway.errors import RequestRefused, refusals
from gateway.live import Live
from gateway.open_versions import OpenVersions, images_of
from gateway.torchserve import TorchServe, TorchServeError
from searcher.collection import Collection
from searcher.collections_store import DEFAULT
from searcher.overlay import View
from searcher.store import line_of
from searcher.version import IndexVersion

CODE_HEADER, DETAIL_HEADER = "X-Hashlake-Code", "X-Hashlake-Detail-Code"
#: A model takes over once; again in the same moment is unheard of.
_TRIES = 3
_STEP = re.compile(r"(\w+);dur=([0-9.]+)")

router = APIRouter(prefix="/api", tags=["search"], dependencies=[Depends(require_search)])


class SearchModel(BaseModel):
    """The model that hashed the query and the version."""

    name: str = Field(examples=["relahash-small-64bits"])
    sha256: str = Field(description="of the model's file, hex", examples=["9f86d081884c7d65…"])
    bits: int = Field(examples=[64])
    detail_bits: int | None = Field(description="null where it gives no detail codes", examples=[256])


class SearchQuery(BaseModel):
    """What was searched for, as codes: sent back as ``code`` and ``detail_code``, they find the same images."""

    code: str = Field(description="hex", examples=["9f3a00c1d2e4f507"])
    detail_code: str | None = Field(description="hex; null where there is none", examples=[None])


class Result(BaseModel):
    """One image."""

    row: int | None = Field(
        description="its number in the version; null if it was added since, to the collection `default`", examples=[17]
    )
    path: str = Field(description="as the listing spells it", examples=["data/abc.com/69_abc_com.jpg"])
    distance: int = Field(description="differing bits", examples=[2])
    code: str = Field(description="the image's own code, hex", examples=["9f3a00c1d2e4f505"])
    image: str = Field(
        description="URL of the original; of a small picture if it is none of the datalake's files",
        examples=["/images/17?version=1.2.0"],
    )
    thumbnail: str = Field(description="URL of a small picture", examples=["/thumbnails/17?version=1.2.0"])


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
    milliseconds: Milliseconds


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
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
async def search(
    request: Request,
    image: Annotated[UploadFile | None, File(description="a picture")] = None,
    path: Annotated[str | None, Form(description="an indexed image, as the listing spells it: more like this")] = None,
    text: Annotated[str | None, Form(description="the name of a class that the model knows")] = None,
    code: Annotated[str | None, Form(description="the code of an earlier query, hex")] = None,
    detail_code: Annotated[str | None, Form(description="beside code: its detail code, hex")] = None,
    top_k: Annotated[int, Form(ge=1, le=1000, description="most images wanted")] = 10,
    max_distance: Annotated[int | None, Form(ge=0, le=1024, description="leave out images farther than this")] = None,
    rank: Annotated[Literal["distance", "detail"], Form(description="what puts images in order")] = "distance",
) -> SearchAnswer:
    """One of `image`, `path`, `text` and `code` says what to look for."""
    started = time.perf_counter()
    subjects = {"image": image, "path": path, "text": text, "code": code}
    given = [name for name, value in subjects.items() if value]
    if len(given) != 1:
        raise RequestRefused(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"give one of image, path, text and code; given: {' and '.join(given) or 'none'}",
        )
    versions: OpenVersions = request.app.state.versions
    torchserve: TorchServe = request.app.state.torchserve
    live: Live = request.app.state.live
    collection = await live.open(DEFAULT)
    fields: dict[str, JsonValue] = {"top_k": top_k, "rank": rank, "debug": True}
    if max_distance is not None:
        fields["max_distance"] = max_distance
    if text:
        fields["text"] = text
    if code:
        fields |= {"code": code} | ({"detail_code": detail_code} if detail_code else {})
    picture = await image.read() if image else None
    asked = time.perf_counter()
    answer = await (
        more_like(path, fields, versions, collection, torchserve) if path else torchserve.predict(fields, picture)
    )
    torchserve_ms = 1000 * (time.perf_counter() - asked)
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        body = {}
    if answer.status_code != HTTPStatus.OK:
        raise RequestRefused(HTTPStatus(answer.status_code), str(body.get("message", "the search server failed")))
    steps = {step: float(ms) for step, ms in _STEP.findall(answer.headers.get("Server-Timing", ""))}
    version = await run_in_threadpool(versions.get, body["index_database_version"])
    results = await run_in_threadpool(_results, version, collection, body["relevant"], body["distances"])
    made_with = version.manifest.model
    return SearchAnswer(
        version=version.name,
        model=SearchModel(
            name=made_with.name, sha256=made_with.sha256, bits=made_with.bits, detail_bits=made_with.detail_bits
        ),
        query=SearchQuery(code=answer.headers[CODE_HEADER], detail_code=answer.headers.get(DETAIL_HEADER)),
        results=results,
        milliseconds=Milliseconds(
            **{step: steps.get(step, 0.0) for step in ("decode", "hash", "search")},
            torchserve=round(torchserve_ms, 2),
            total=round(1000 * (time.perf_counter() - started), 2),
        ),
    )


async def more_like(
    path: str, fields: Mapping[str, JsonValue], versions: OpenVersions, collection: Collection, torchserve: TorchServe
) -> httpx.Response:
    """Ask with the codes of the image at ``path``: those of the model that answers. While another model takes over,
    that need not be the current version's, and another model's codes mean something else. RequestRefused (404)."""
    version = await run_in_threadpool(versions.get)
    for _ in range(_TRIES):
        stored = (await run_in_threadpool(_stored, version, collection, [path])).get(path)
        if stored is None:
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"version {version.name} has no image {path[:200]}")
        codes = {"code": stored.code.hex()} | ({"detail_code": stored.detail.hex()} if stored.detail else {})
        answer = await torchserve.predict({**fields, **codes})
        answering = await run_in_threadpool(versions.get, await _answering(answer, torchserve))
        if answering.manifest.model.sha256 == version.manifest.model.sha256:
            break
        version = answering
    return answer


async def _answering(answer: httpx.Response, torchserve: TorchServe) -> str | None:
    """The version that ``answer`` came from, or, where it is a refusal, would have; None if that cannot be known."""
    if answer.status_code == HTTPStatus.OK:
        name: str = answer.json()["index_database_version"]
        return name
    with contextlib.suppress(TorchServeError):
        served = (await torchserve.served_model())["version"]
        return served["version"] if served else None
    return None


@dataclass(frozen=True)
class _Stored:
    """What is known of an image: its row in a version, where it has one, and its codes."""

    row: int | None
    code: bytes
    detail: bytes | None


def _stored(version: IndexVersion, collection: Collection, paths: list[str]) -> dict[str, _Stored]:
    """The images at ``paths`` that there are, by ``version`` with the changes of ``collection``; while another version
    takes over, by ``version`` alone what it has itself."""
    with images_of(version) as images:
        rows = {path: row for path in paths for row, _ in [images.find(path) or (None, None)]}

    def ask(view: View) -> dict[str, _Stored]:
        found = {}
        another = line_of(view.version.name)[0] != line_of(version.name)[0]
        other_model = view.version.manifest.model.sha256 != version.manifest.model.sha256
        for path, row in rows.items():
            if another and row is not None:
                detail = None if version.details is None else version.details.code(row).tobytes()
                found[path] = _Stored(row, version.codes.code(row).tobytes(), detail)
            elif not other_model and (image := view.image(path)) is not None:
                found[path] = _Stored(row, image.code, image.detail)
        return found

    return ask(collection.view())


def _results(version: IndexVersion, collection: Collection, paths: list[str], distances: list[int]) -> list[Result]:
    results = []
    query = urlencode({"version": version.name})
    stored = _stored(version, collection, paths)
    for path, distance in zip(paths, distances, strict=True):
        image = stored.get(path)
        if image is None:  # removed since the answer was made
            continue
        small = f"/api/collections/{DEFAULT}/thumbnail?{urlencode({'url': path})}"
        results.append(
            Result(
                row=image.row,
                path=path,
                distance=distance,
                code=image.code.hex(),
                image=small if image.row is None else f"/images/{image.row}?{query}",
                thumbnail=small if image.row is None else f"/thumbnails/{image.row}?{query}",
            )
        )
    return results

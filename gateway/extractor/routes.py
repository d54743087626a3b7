"""The routes of extractorAPI, for its clients: what they send, and the very words that they are answered.

POST /run_detect       manifest_url, model, callback               one document
POST /detect_all       url_file with a URL a line, …               a job for each
POST /delete_detect    as run_detect                               … anew
GET  /models                                                       {"layout": "Tue Apr  2 10:00:00 2024"}
"""

import asyncio
import time
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ValidationError

from gateway.errors import CommandFailed, RequestRefused, refusals
from gateway.extractor.app_keys import AppKey
from gateway.extractor.asked import IMAGES, UsesExtraction, backbone, callback, detector, documents, manifest
from gateway.extractor.jobs import Comparing, Detecting, Job
from gateway.services import UsesServices

router = APIRouter(
    tags=["extractorAPI"],
    responses=refusals(HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY),
)

TRIGGERED = "Detection task triggered with Celery!"
_ANNOTATE = "annotate"
_MOST_URLS = 10_000

ManifestUrl = Annotated[str, Form(description="of the IIIF manifest")]
Model = Annotated[str | None, Form(description="the detector; HASHLAKE_EXTRACTOR_DETECTOR unless given")]
Callback = Annotated[
    str | None,
    Form(description="where the annotation file is posted, its manifest's name behind; unless given, `/annotate` of "
    "HASHLAKE_EXTRACTOR_CLIENT, if that is set"),
]  # fmt: skip


@router.post("/run_detect", summary="Detect on a manifest", response_class=PlainTextResponse)
async def run_detect(
    key: AppKey,
    services: UsesServices,
    extraction: UsesExtraction,
    manifest_url: ManifestUrl,
    model: Model = None,
    callback_url: Annotated[Callback, Form(alias="callback")] = None,
) -> Response:
    settings = services.settings
    asked = Detecting(source=manifest(manifest_url, settings), detector=detector(model, settings))
    jobs = await extraction.add(key.name, [asked], callback(callback_url, settings, _ANNOTATE))
    return _triggered(TRIGGERED, jobs)


@router.post("/detect_all", summary="Detect on many manifests", response_class=PlainTextResponse)
async def detect_all(
    key: AppKey,
    services: UsesServices,
    extraction: UsesExtraction,
    url_file: Annotated[UploadFile, File(description="a manifest's URL a line")],
    model: Model = None,
    callback_url: Annotated[Callback, Form(alias="callback")] = None,
) -> Response:
    """All of them are accepted, or none."""
    settings = services.settings
    try:
        text = (await url_file.read()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "url_file is no text") from error
    urls = [line.strip() for line in text.splitlines() if line.strip()]
    if len(urls) > _MOST_URLS:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"url_file has more than {_MOST_URLS:,} URLs")
    found_by = detector(model, settings)
    asked = [Detecting(source=manifest(url, settings), detector=found_by) for url in urls]
    jobs = await extraction.add(key.name, asked, callback(callback_url, settings, _ANNOTATE))
    return _triggered("Success", jobs[:1])


@router.post("/delete_detect", summary="Forget a manifest, and detect on it anew", response_class=PlainTextResponse)
async def delete_detect(
    key: AppKey,
    services: UsesServices,
    extraction: UsesExtraction,
    manifest_url: ManifestUrl,
    model: Model = None,
    callback_url: Annotated[Callback, Form(alias="callback")] = None,
) -> Response:
    settings = services.settings
    asked = Detecting(source=manifest(manifest_url, settings), detector=detector(model, settings), anew=True)
    to = callback(callback_url, settings, _ANNOTATE)
    if not await asyncio.to_thread(extraction.folders.found(asked.source, asked.detector).is_dir):
        return PlainTextResponse("No images to delete.")
    return _triggered(TRIGGERED, await extraction.add(key.name, [asked], to))


@router.get("/models", summary="The detectors, and when they changed last")
async def models(extraction: UsesExtraction) -> Response:
    try:
        found = await extraction.detectors()
        return JSONResponse({each["name"]: time.ctime(each["modified"]) for each in found})
    except (CommandFailed, ValueError):
        return JSONResponse("No model.")


@router.post("/run_similarity", summary="Compare documents", response_class=PlainTextResponse)
async def run_similarity(key: AppKey, services: UsesServices, extraction: UsesExtraction, request: Request) -> Response:
    """JSON: `documents`, by name the URL of a JSON object of names and URLs of images; `model`, a hash or embedding
    model by its name, the datalake's unless given; `callback`, which gets a file of scores for each pair of
    documents."""
    try:
        asked = _Documents.model_validate_json(await request.body())
    except ValidationError:
        return PlainTextResponse("Similarity task aborted!")
    settings = services.settings
    name, path = await asyncio.to_thread(backbone, asked.model, services)
    named = {each: manifest(url, settings) for each, url in documents(asked.documents).items()}
    comparing = Comparing(
        documents={each: f"{IMAGES}{url}" for each, url in named.items()}, model=name, model_path=path, compatible=True
    )
    jobs = await extraction.add(key.name, [comparing], callback(asked.callback, settings, "similarity"))
    return _triggered(f"Similarity task triggered for {list(named)} with {name}!", jobs)


class _Documents(BaseModel):
    documents: dict[str, str]
    model: str | None = None
    callback: str | None = None


def _triggered(text: str, jobs: list[Job]) -> Response:
    """Returns ``text``, and where the first of ``jobs`` can be watched."""
    return PlainTextResponse(text, headers={"Location": f"jobs/{jobs[0].id}"} if jobs else None)

"""``/jobs``: extraction jobs with id, status, progress, events, cancel, results in every format, and deliveries."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from gateway.errors import RequestRefused, json_refusals, refusals
from gateway.extractor.app_keys import AppKey
from gateway.extractor.asked import UsesExtraction, backbone, callback, detector, document, documents
from gateway.extractor.jobs import Comparing, Delivery, Detecting, Job
from gateway.extractor.kinds import PICTURES, SIMILARITY, folder_of
from gateway.services import UsesServices

_USUAL = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
router = APIRouter(prefix="/jobs", tags=["jobs"], responses=refusals(*_USUAL))

_NEWEST = 100
#: What files of results end in, and their media types.
_TYPES = {
    ".txt": "text/plain", ".json": "application/json", ".annotations.json": "application/json",
    ".csv": "text/csv", ".crops.zip": "application/zip",
}  # fmt: skip


class WantedElements(BaseModel):
    """A document whose elements are to be found."""

    source: str = Field(
        max_length=8192,
        description="the URL of a IIIF manifest or collection, or of a PDF; `images:` and the URL of a JSON object of "
        "names and URLs; `collection:` and the name of a collection here; or a source as in reindexing: "
        "s3://bucket/prefix, a folder or PDF below the datalake's root",
        examples=["https://iiif.example.org/ms-12/manifest.json"],
    )
    detector: str | None = Field(
        default=None, description="its name; HASHLAKE_EXTRACTOR_DETECTOR unless given", examples=["layout"]
    )
    callback: str | None = Field(
        default=None, description="where the annotation files are posted, each document's name behind", examples=[None]
    )
    anew: bool = Field(default=False, description="forget what is known of it")


class WantedSimilarity(BaseModel):
    """Documents to compare, each with each and with itself."""

    documents: dict[str, Annotated[str, Field(max_length=8192)]] = Field(
        description="by name, addresses as of `source`", examples=[{"ms-12": "https://iiif.example.org/ms-12/manifest"}]
    )
    model: str | None = Field(
        default=None,
        description="a model file below the models folder, or a name that one answers to; the datalake's unless given",
        examples=["relahash-general-64bits"],
    )
    top_k: int = Field(default=20, ge=1, le=1000, description="figures of another document that are kept for each")
    mutual: bool = Field(default=False, description="keep pairs only of figures among each other's nearest")
    verify: bool = Field(default=False, description="count the points that figures share, and order pairs by that")
    callback: str | None = Field(default=None, description="where similarity.json is posted", examples=[None])


class JobList(BaseModel):
    """The newest hundred jobs, without what became of each document: there may be thousands a job."""

    jobs: list[Job]


class Deliveries(BaseModel):
    """What is sent of a job."""

    deliveries: list[Delivery]


async def _known(
    _key: AppKey, extraction: UsesExtraction, job_id: Annotated[str, InPath(alias="id", examples=["3f9c01ab22d0"])]
) -> Job:
    return await extraction.get(job_id)


Known = Annotated[Job, Depends(_known)]


@router.post("", summary="Find the elements of a document", status_code=HTTPStatus.ACCEPTED)
async def start(
    asked: WantedElements, key: AppKey, services: UsesServices, extraction: UsesExtraction, response: Response
) -> Job:
    settings = services.settings
    source = await asyncio.to_thread(document, asked.source, services)
    request = Detecting(source=source, detector=detector(asked.detector, settings), anew=asked.anew)
    to = callback(asked.callback, settings, "annotate") if asked.callback else None
    (job,) = await extraction.add(key.name, [request], to)
    response.headers["Location"] = f"jobs/{job.id}"
    return job


@router.post("/similarity", summary="Find the figures that documents share", status_code=HTTPStatus.ACCEPTED)
async def start_similarity(
    asked: WantedSimilarity, key: AppKey, services: UsesServices, extraction: UsesExtraction, response: Response
) -> Job:
    settings = services.settings
    name, path = await asyncio.to_thread(backbone, asked.model, services)

    def addresses() -> dict[str, str]:
        return {each: document(address, services) for each, address in documents(asked.documents).items()}

    request = Comparing(
        documents=await asyncio.to_thread(addresses),
        model=name,
        model_path=path,
        top_k=asked.top_k,
        mutual=asked.mutual,
        verify=asked.verify,
    )
    to = callback(asked.callback, settings, "similarity") if asked.callback else None
    (job,) = await extraction.add(key.name, [request], to)
    response.headers["Location"] = job.id  # relative to jobs/similarity
    return job


@router.get("", summary="List the jobs")
async def list_jobs(_key: AppKey, extraction: UsesExtraction) -> JobList:
    return JobList(jobs=await asyncio.to_thread(extraction.jobs.newest, _NEWEST))


@router.get("/{id}", summary="One job")
async def get_job(job: Known) -> Job:
    return job


@router.get(
    "/{id}/events",
    summary="Watch a job: server-sent events",
    response_class=EventSourceResponse,
    responses=json_refusals(*_USUAL),
)
async def watch(job: Known, extraction: UsesExtraction) -> AsyncIterator[ServerSentEvent]:
    """An event `job` with the job as JSON, now and whenever it has changed, until it has ended."""
    async for each in extraction.watch(job.id):
        yield ServerSentEvent(event="job", data=each)


@router.post("/{id}/cancel", summary="Cancel a job", status_code=HTTPStatus.ACCEPTED)
async def cancel(job: Known, extraction: UsesExtraction) -> Job:
    """What was found is kept: another job on the same document goes on there."""
    await extraction.cancel(job)
    return await extraction.get(job.id)


@router.delete("/{id}", summary="Remove a job", status_code=HTTPStatus.NO_CONTENT)
async def remove(job: Known, extraction: UsesExtraction) -> None:
    """One that has ended: with its results, unless another job shares them, and with what wasn't delivered yet."""
    await extraction.remove(job)


@router.get("/{id}/deliveries", summary="What was sent to the callback, and what became of it")
async def deliveries(job: Known, extraction: UsesExtraction) -> Deliveries:
    return Deliveries(deliveries=await asyncio.to_thread(extraction.jobs.deliveries, job.id))


@router.get("/{id}/pictures/{picture}", summary="A small picture of a compared figure", response_class=FileResponse)
async def picture(
    job: Known,
    extraction: UsesExtraction,
    picture: Annotated[
        str,
        InPath(
            pattern=r"^[0-9a-f]{32}\.jpg$",
            description="as similarity.json says it of each image",
            examples=["0f343b0931126a20f133d67c2b018a3b.jpg"],
        ),
    ],
) -> Response:
    """JPEG of at most 320 pixels a side."""
    path = folder_of(job.request, extraction.folders) / PICTURES / picture
    if not await asyncio.to_thread(path.is_file):
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"the job {job.id} has no picture called so")
    # The name tells figure and version: another picture has another one.
    return FileResponse(path, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400, immutable"})


@router.get("/{id}/results/{file}", summary="A document's results", response_class=FileResponse)
async def results(
    job: Known,
    extraction: UsesExtraction,
    file: Annotated[
        str,
        InPath(
            description=f"of a document its name, as the job says it, and one of {', '.join(_TYPES)}; of a comparison "
            f"{', '.join(SIMILARITY)}, or a `file` of scores",
            examples=["ms-12.annotations.json"],
        ),
    ],
) -> Response:
    """As `hashlake elements` writes them."""
    kinds = {f"{each.name}{ending}": kind for each in job.documents for ending, kind in _TYPES.items()}
    if job.compared:
        kinds |= {name: _TYPES[f".{name.rpartition('.')[2]}"] for name in SIMILARITY}
        kinds |= {each.file: "application/octet-stream" for each in job.compared}
    if file not in kinds:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"the job {job.id} has no results called so")
    folder = folder_of(job.request, extraction.folders)
    path = folder / "scores" / file if file.endswith(".npy") else folder / file
    if not await asyncio.to_thread(path.is_file):
        raise RequestRefused(HTTPStatus.NOT_FOUND, "the results are gone: another job is at work on the document")
    return FileResponse(path, media_type=kinds[file], filename=file)

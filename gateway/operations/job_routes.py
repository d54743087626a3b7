"""``POST /api/reindex``, ``/api/jobs`` and promoting a version: the routes that change what is served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Response
from fastapi.responses import PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from contract.names import DEFAULT_COLLECTION
from gateway.access.guards import require_admin
from gateway.errors import (
    TO_ADMINS,
    RequestRefused,
    StepFailed,
    TorchServeError,
    json_refusals,
    refusals,
    unreachable,
)
from gateway.operations.jobs import Job, ReindexRequest, Switched
from gateway.operations.reindex_job import WAIT_SECONDS, require_all
from gateway.services import Services, UsesServices
from searcher.errors import VersionDamaged, VersionMissing
from searcher.versions.manifest import Manifest

_USUAL = (*TO_ADMINS, HTTPStatus.UNPROCESSABLE_ENTITY)
router = APIRouter(prefix="/api", dependencies=[Depends(require_admin)], responses=refusals(*_USUAL))

#: Names the newest job, as no id of one does.
_LATEST = "latest"
_NOT_FOUND = refusals(HTTPStatus.NOT_FOUND)
_CONFLICT = refusals(HTTPStatus.CONFLICT)


class JobList(BaseModel):
    """The newest hundred jobs."""

    jobs: list[Job] = Field(description="the newest first")


async def _known(
    services: UsesServices,
    job_id: Annotated[str, Path(alias="id", description="the job's, or `latest`", examples=["latest"], max_length=64)],
) -> Job:
    jobs = services.reindexing.jobs
    job = await asyncio.to_thread(jobs.latest) if job_id == _LATEST else await asyncio.to_thread(jobs.get, job_id)
    if job is None and job_id == _LATEST:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "there was no job yet", reason="no_such_job")
    if job is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no job {job_id}", reason="no_such_job")
    return job


Known = Annotated[Job, Depends(_known)]
Prefer = Annotated[str, Header(description="`respond-async`: answer when the job has begun")]
_BEGUN: dict[int | str, dict[str, object]] = {
    202: {
        "model": Job,
        "description": "the job has begun (`Prefer: respond-async`)",
        "headers": {"Location": {"description": "where to watch it", "schema": {"type": "string"}}},
    }
}


@router.post(
    "/reindex",
    tags=["reindexing"],
    summary="Build, publish and serve a new index version",
    operation_id="reindex",
    response_model=Switched,
    responses={
        **_BEGUN,
        **_CONFLICT,
        **refusals(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.INTERNAL_SERVER_ERROR),
    },
)
async def reindex(
    asked: ReindexRequest,
    services: UsesServices,
    response: Response,
    prefer: Prefer = "",
) -> Switched | Response:
    """Answers when every worker serves the new version; serving goes on meanwhile. With another model than the served
    one, the model is switched too. Whatever fails, the model and the version before stay."""
    await _stop_folding(services)
    job = await services.reindexing.start(asked)
    services.source_pictures.admit(await asyncio.to_thread(services.reindexing.sources))
    services.metrics.reindexed.inc()
    return await _outcome(job, services, response, prefer)


async def _outcome(job: Job, services: Services, response: Response, prefer: str) -> Switched | Response:
    """Returns how ``job`` ended, or at once where it is to be watched if the request's header ``Prefer`` says so."""
    location = f"{services.settings.root_path}/api/jobs/{job.id}"
    if any(each.strip().lower() == "respond-async" for each in prefer.split(",")):
        return Response(
            job.model_dump_json(), HTTPStatus.ACCEPTED, {"Location": location}, media_type="application/json"
        )
    response.headers["Location"] = location
    job = await services.reindexing.ended(job.id)
    if job.result is None:
        status = HTTPStatus.INTERNAL_SERVER_ERROR if job.state == "failed" else HTTPStatus.CONFLICT
        raise RequestRefused(status, f"{job.state}: {job.message or job.phase}", {"Location": location})
    return job.result


@router.get("/jobs", tags=["reindexing"], summary="List the jobs", operation_id="listJobs")
async def list_jobs(services: UsesServices) -> JobList:
    return JobList(jobs=await asyncio.to_thread(services.reindexing.jobs.all))


@router.get("/jobs/{id}", tags=["reindexing"], summary="One job", operation_id="getJob", responses=_NOT_FOUND)
async def get_job(job: Known) -> Job:
    return job


@router.get(
    "/jobs/{id}/log",
    tags=["reindexing"],
    summary="What a job has said",
    operation_id="getJobLog",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "the last 64 KiB", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **json_refusals(*_USUAL, HTTPStatus.NOT_FOUND),
    },
)
async def get_job_log(job: Known, services: UsesServices) -> PlainTextResponse:
    """Its steps with their times, and what failed processes wrote to their standard error. Empty for a job whose log is
    no longer kept."""
    return PlainTextResponse(await asyncio.to_thread(services.reindexing.log, job))


@router.get(
    "/jobs/{id}/events",
    tags=["reindexing"],
    summary="Watch a job: server-sent events",
    operation_id="watchJob",
    response_class=EventSourceResponse,
    responses=json_refusals(*_USUAL, HTTPStatus.NOT_FOUND),
)
async def watch_job(job: Known, services: UsesServices) -> AsyncIterator[ServerSentEvent]:
    """An event `job` with the job as JSON, now and whenever it has changed, until it has ended."""
    async for each in services.reindexing.watch(job.id):
        yield ServerSentEvent(event="job", data=each)


@router.delete(
    "/jobs/{id}",
    tags=["reindexing"],
    summary="Cancel a running job",
    operation_id="cancelJob",
    status_code=HTTPStatus.ACCEPTED,
    responses=_NOT_FOUND | _CONFLICT,
)
async def cancel_job(job: Known, services: UsesServices) -> Job:
    """It ends at its next step; what has been hashed is kept for resuming. Once a switched model takes requests, the
    job is finished instead."""
    await services.reindexing.cancel(job)
    return job


@router.post(
    "/jobs/{id}/resume",
    tags=["reindexing"],
    summary="Go on with a job that was interrupted, cancelled or failed",
    operation_id="resumeJob",
    status_code=HTTPStatus.ACCEPTED,
    responses=_NOT_FOUND | _CONFLICT,
)
async def resume_job(job: Known, services: UsesServices) -> Job:
    await _stop_folding(services)
    job = await services.reindexing.resume(job)
    services.metrics.reindexed.inc()
    return job


async def _stop_folding(services: Services) -> None:
    """End a fold of ``default``: an indexer needs the store to itself, and folds the collection's changes too."""
    await services.collections.folding.stop(DEFAULT_COLLECTION)


@router.post(
    "/versions/{name}/promote",
    tags=["versions"],
    summary="Serve another version, forwards or back",
    operation_id="promoteVersion",
    response_model=Switched,
    responses=_BEGUN | _NOT_FOUND | _CONFLICT | refusals(HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY),
)
async def promote(
    name: Annotated[str, Path(description="the index version's name", examples=["1.1.0"])],
    services: UsesServices,
    response: Response,
    prefer: Prefer = "",
) -> Switched | Response:
    """Verifies the version, makes it current, and answers when every worker serves it. If another model than the served
    one made it, a job switches to that model, too, which takes as long as its workers take to start; serving goes on
    meanwhile, and whatever fails, the model and the version before stay. `Prefer: respond-async` counts for a job
    only."""
    versions, torchserve = services.versions, services.torchserve
    previous: str | None = None
    try:
        served = await torchserve.served_model()
    except TorchServeError as error:
        raise unreachable() from error
    if not versions.store.has(name):
        raise VersionMissing(f"there is no version {name}")
    manifest = await asyncio.to_thread(versions.store.manifest, name)
    if manifest.model.sha256 != served["sha256"]:
        await asyncio.to_thread(versions.store.verify, name)
        await _stop_folding(services)
        job = await services.reindexing.promote(name, await _model_of(manifest, services))
        return await _outcome(job, services, response, prefer)
    with suppress(VersionDamaged):  # promoting mends it
        previous = versions.current()
    await asyncio.to_thread(versions.store.promote, name)
    try:
        require_all(await torchserve.ask_workers(name, WAIT_SECONDS), name)
    except (StepFailed, TorchServeError) as error:
        raise RequestRefused(HTTPStatus.BAD_GATEWAY, f"version {name} is current, but: {error}") from error
    return Switched.now(previous, name)


async def _model_of(manifest: Manifest, services: Services) -> str:
    """Returns the path of the model that made the version, below the models' folder. Raises RequestRefused (409)."""
    for model in await asyncio.to_thread(services.models.models, manifest.model.sha256):
        if model.current:
            return model.model_path
    raise RequestRefused(
        HTTPStatus.CONFLICT,
        f"version {manifest.version} was made with the model {manifest.model.name} (sha256 "
        f"{manifest.model.sha256[:12]}…), which is not in the models' folder: put its file there, or reindex",
    )

"""``/healthz``, ``/readyz`` and ``/metrics``: whether it is up, whether it can answer, and its figures so far."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from gateway.errors import TorchServeError, refusals
from gateway.readiness import Ready
from gateway.services import UsesServices
from gateway.torchserve.model_memory import LoadedModel

#: Models that don't say within this time what they take are left out; Prometheus waits ten seconds.
_MEASURING_SECONDS = 3.0

router = APIRouter(tags=["health"])


class Up(BaseModel):
    """The process answers."""

    status: str = Field(default="up", description="always this", examples=["up"])


@router.get("/healthz", summary="Whether this process is up", operation_id="healthz")
async def healthz() -> Up:
    return Up()


@router.get(
    "/readyz",
    summary="Whether every worker answers from the current version",
    operation_id="readyz",
    response_model=Ready,
    responses={
        503: {"model": Ready, "description": "not every worker does; the message says why"},
        **refusals(HTTPStatus.UNPROCESSABLE_ENTITY),
    },
)
async def readyz(
    services: UsesServices,
    version: Annotated[
        str | None, Query(description="the version that must be the current one", examples=["1.2.0"])
    ] = None,
) -> Response:
    """With `version`, it is ready with that version only: so a balancer over replicas sends requests to those that have
    it."""
    ready = await services.readiness.now()
    if ready.ready and version not in (None, ready.version):
        message = f"the current version is {ready.version}, and {version} is asked for"
        ready = ready.model_copy(update={"ready": False, "message": message})
    status = HTTPStatus.OK if ready.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(ready.model_dump(mode="json"), status)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(services: UsesServices) -> Response:
    models: list[LoadedModel] = []
    with suppress(TorchServeError, TimeoutError):  # busy for long, or not there: the other figures count
        async with asyncio.timeout(_MEASURING_SECONDS):
            models = await services.model_servers.loaded()
    return Response(await asyncio.to_thread(services.metrics.text, models), media_type=CONTENT_TYPE_LATEST)

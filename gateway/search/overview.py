"""``GET /api/overview``: what there is to search, for whoever has just come: how many, since when, and some."""

import random
from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from gateway.access.guards import require_search
from gateway.errors import refusals
from gateway.images.open_versions import images_of
from gateway.services import Services, UsesServices

router = APIRouter(prefix="/api", tags=["search"], dependencies=[Depends(require_search)])

Pictures = Annotated[int, Query(ge=0, le=60, description="how many pictures, taken at random")]


class Sample(BaseModel):
    """One image."""

    row: int = Field(description="its number in the version", examples=[17])
    path: str = Field(description="as the listing spells it", examples=["data/abc.com/69_abc_com.jpg"])
    image: str = Field(description="URL of the original", examples=["/images/17?version=1.2.0"])
    thumbnail: str = Field(description="URL of a small picture", examples=["/thumbnails/17?version=1.2.0"])


class Overview(BaseModel):
    """The current version of the datalake's index."""

    version: str = Field(examples=["1.2.0"])
    created: datetime = Field(description="when it was made, UTC", examples=["2026-11-20T09:30:00Z"])
    count: int = Field(description="how many images it has", examples=[4332])
    model: str = Field(examples=["relahash-small-64bits"])
    pictures: list[Sample] = Field(description="some of its images, drawn anew each time")


@router.get(
    "/overview",
    summary="What there is to search",
    operation_id="getOverview",
    responses=refusals(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
async def overview(services: UsesServices, pictures: Pictures = 12) -> Overview:
    """404 while no version is published."""
    return await run_in_threadpool(_overview, services, pictures)


def _overview(services: Services, pictures: int) -> Overview:
    version = services.versions.get()
    manifest = version.manifest
    rows = random.sample(range(manifest.count), min(pictures, manifest.count))
    with images_of(version) as images:
        paths = images.paths(rows)
    return Overview(
        version=version.name,
        created=manifest.created,
        count=manifest.count,
        model=manifest.model.name,
        pictures=[
            Sample(row=row, path=path, **links_of(services, version.name, row))
            for row, path in zip(rows, paths, strict=True)
        ],
    )


def links_of(services: Services, version: str, row: int) -> dict[str, str]:
    """Returns where the picture of ``row`` is, and a small one of it."""
    root, at = services.settings.root_path, urlencode({"version": version})
    return {"image": f"{root}/images/{row}?{at}", "thumbnail": f"{root}/thumbnails/{row}?{at}"}

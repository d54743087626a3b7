"""``GET /api/map``: all pictures of the index on one map, which is looked at tile by tile.

Pictures that show alike things lie beside each other. Where a part of the map has many, one stands for them; nearer by,
its neighbours appear (searcher/versions/picture_map.py).
"""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from gateway.access.guards import require_search
from gateway.errors import RequestRefused, refusals
from gateway.images.downloads import client_has
from gateway.images.open_versions import OpenVersion, images_of
from gateway.search.maps import map_name
from gateway.search.overview import Sample, links_of
from gateway.services import Services, UsesServices
from searcher.versions.picture_map import CELLS, PictureMap

router = APIRouter(
    prefix="/api",
    tags=["search"],
    dependencies=[Depends(require_search)],
    responses=refusals(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)

_FARTHEST = 2**16

Version = Annotated[str | None, Query(description="the index version; without it, the current one", examples=["1.2.0"])]
Zoom = Annotated[int, Path(ge=0, le=16, description="0 is the whole map in one tile", examples=[0])]
Column = Annotated[int, Path(ge=0, lt=_FARTHEST, description="the tile's column, 0 at the left", examples=[0])]
Line = Annotated[int, Path(ge=0, lt=_FARTHEST, description="the tile's row, 0 at the top", examples=[0])]
IfNoneMatch = Annotated[str | None, Header(description="the ETag of what the client has")]


class MapFacts(BaseModel):
    """The map of one index version."""

    version: str = Field(examples=["1.2.0"])
    count: int = Field(description="how many pictures it has", examples=[4332])
    deepest: int = Field(description="the zoom at which each cell has one picture at most", examples=[7])
    cells: int = Field(description="cells of a tile along each side", examples=[CELLS])


class MapCell(Sample):
    """A part of a tile, and the picture that stands for those in it."""

    x: int = Field(description="the cell's column in the tile", examples=[0])
    y: int = Field(description="the cell's row in the tile", examples=[2])
    count: int = Field(description="how many pictures lie in it", examples=[31])


class MapTile(BaseModel):
    """A square of the map, as large as its 2^zoom-th part."""

    version: str = Field(examples=["1.2.0"])
    zoom: int = Field(examples=[0])
    x: int = Field(examples=[0])
    y: int = Field(examples=[0])
    count: int = Field(description="how many pictures lie in it", examples=[4332])
    cells: list[MapCell] = Field(description=f"those of its {CELLS} × {CELLS} cells in which pictures lie")


@router.get("/map", summary="The map of the index", operation_id="getMap")
async def picture_map(services: UsesServices, version: Version = None) -> MapFacts:
    """The map is drawn when it is asked for first, and kept. 503 while it is being drawn: ask again."""
    opened = await run_in_threadpool(services.versions.get, version)
    found = await services.maps.of(opened)
    return MapFacts(version=opened.name, count=len(found), deepest=found.deepest, cells=CELLS)


@router.get(
    "/map/{zoom}/{x}/{y}",
    summary="A tile of the map",
    operation_id="getMapTile",
    response_model=MapTile,
    responses={304: {"description": "the client has it already, as its If-None-Match says"}},
)
async def tile(
    response: Response,
    services: UsesServices,
    zoom: Zoom,
    x: Column,
    y: Line,
    version: Version = None,
    if_none_match: IfNoneMatch = None,
) -> MapTile | Response:
    """At most 16 pictures, each with the number of those that it stands for."""
    opened = await run_in_threadpool(services.versions.get, version)
    found = await services.maps.of(opened)
    if zoom > found.deepest:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"the map's deepest zoom is {found.deepest}, not {zoom}")
    if max(x, y) >= 1 << zoom:
        raise RequestRefused(
            HTTPStatus.NOT_FOUND,
            f"at zoom {zoom} the map has {1 << zoom} × {1 << zoom} tiles, from 0 on, and none at {x}, {y}",
        )
    headers = {
        "ETag": f'"{map_name(opened.manifest)}-{opened.name}"',
        "Cache-Control": "private, no-cache" if version is None else "private, max-age=86400",
    }
    if client_has(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return await run_in_threadpool(_tile, services, opened, found, zoom, x, y)


def _tile(services: Services, version: OpenVersion, found: PictureMap, zoom: int, x: int, y: int) -> MapTile:
    cells = list(found.cells(zoom, x, y))
    with images_of(version) as images:
        paths = images.paths([cell.row for cell in cells])
    return MapTile(
        version=version.name,
        zoom=zoom,
        x=x,
        y=y,
        count=sum(cell.count for cell in cells),
        cells=[
            MapCell(
                x=cell.x,
                y=cell.y,
                count=cell.count,
                row=cell.row,
                path=path,
                **links_of(services, version.name, cell.row),
            )
            for cell, path in zip(cells, paths, strict=True)
        ],
    )

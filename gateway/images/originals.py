"""``/images/{row}`` and ``/thumbnails/{row}``: the pictures behind the rows of an index version.

    row → path, by the version's image table → the file, opened only if it lies in the datalake → original or thumbnail
                                             → s3://…, photos.zip#…, a.pdf#page=3: read again from HASHLAKE_SOURCE alone

Clients send a row, never a path: paths come only from the indexed listing.
"""

import os
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from io import BufferedReader, BytesIO
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from gateway.access.guards import require_search
from gateway.errors import RequestRefused, refusals
from gateway.images.downloads import OpenFileResponse, client_has, content_disposition, content_type
from gateway.images.open_versions import images_of
from gateway.images.thumbnails import MAKING, SIDE
from gateway.services import Services, UsesServices
from pictures.errors import ImageError
from pictures.formats import HEAD
from searcher.versions.images import ImageFile
from sources.errors import SourceError, Unreadable
from sources.open_inside import OutsideFolder, open_inside

router = APIRouter(
    tags=["pictures"],
    dependencies=[Depends(require_search)],
    responses={
        304: {"description": "the client has it already, as its If-None-Match says"},
        307: {"description": "it is in an object store, and there is a link to it for a while"},
        **refusals(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.CONFLICT,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.BAD_GATEWAY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)

Row = Annotated[int, Path(ge=0, description="the image's number in the index version", examples=[17])]
Version = Annotated[str | None, Query(description="the index version; without it, the current one", examples=["1.2.0"])]
IfNoneMatch = Annotated[str | None, Header(description="the ETag of what the client has")]

_GONE = "the picture is no longer there"


@dataclass(frozen=True)
class Picture:
    """The open file of one row, its first bytes, and its record in the version's image table. ``digest``: of its
    content, None if that may have changed since. ``tag`` changes when the content does; letters, digits and dashes."""

    indexed: ImageFile
    file: BinaryIO
    size: int
    head: bytes
    digest: bytes | None
    tag: str


@router.head("/images/{row}", include_in_schema=False)
@router.get(
    "/images/{row}",
    summary="The picture on a row, as it is in the datalake",
    operation_id="getImage",
    response_class=Response,
    responses={
        200: {"description": "the file's own bytes", "content": {"image/*": {}, "application/octet-stream": {}}}
    },
)
def image(services: UsesServices, row: Row, version: Version = None, if_none_match: IfNoneMatch = None) -> Response:
    seconds = services.settings.presigned_seconds
    if seconds and (link := _link(services, row, version, seconds)):
        return RedirectResponse(link, HTTPStatus.TEMPORARY_REDIRECT, {"Cache-Control": "private, no-store"})
    picture = _open(services, row, version)
    etag = f'"{picture.tag}"'
    headers = _headers(etag, version, seconds=3600)
    if client_has(etag, if_none_match):
        picture.file.close()
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = content_disposition(picture.indexed.path)
    headers["Content-Type"] = content_type(picture.head)
    return OpenFileResponse(picture.file, picture.size, headers)


@router.head("/thumbnails/{row}", include_in_schema=False)
@router.get(
    "/thumbnails/{row}",
    summary=f"The picture on a row as WebP, upright, at most {SIDE} pixels a side",
    operation_id="getThumbnail",
    response_class=Response,
    responses={
        200: {"description": "the thumbnail", "content": {"image/webp": {}}},
        **refusals(HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    },
)
async def thumbnail(
    request: Request, services: UsesServices, row: Row, version: Version = None, if_none_match: IfNoneMatch = None
) -> Response:
    picture = await run_in_threadpool(_open, services, row, version)
    with picture.file:
        etag = f'"thumbnail-{MAKING}-{picture.tag}"'
        headers = _headers(etag, version, seconds=86400)
        if client_has(etag, if_none_match):
            return Response(status_code=304, headers=headers)
        try:
            content = await services.thumbnails.of(picture.file, picture.digest)
        except ImageError as error:
            raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from error
        except OSError as error:
            raise RequestRefused(HTTPStatus.NOT_FOUND, _GONE) from error
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Type": "image/webp", "Content-Length": str(len(content))})
    return Response(content, headers=headers, media_type="image/webp")


def _open(services: Services, row: int, name: str | None) -> Picture:
    """Opens the picture on ``row`` of version ``name``. Raises RequestRefused (404) unless there is one that may be
    shown."""
    indexed = _indexed(services, row, name)
    if services.originals.has(indexed.path):
        return _from_source(services, indexed)
    settings = services.settings
    try:
        file = open_inside(settings.pictures, settings.datalake_root / indexed.path)
        try:
            return _of_file(indexed, file)
        except OSError:
            file.close()
            raise
    except OutsideFolder as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "the picture does not lie in the datalake") from error
    except OSError as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, _GONE) from error


def _indexed(services: Services, row: int, name: str | None) -> ImageFile:
    version = services.versions.get(name)
    indexed = None
    if row < version.manifest.count:  # checked first: SQLite takes no numbers of 2^63 and above
        with images_of(version) as images:
            indexed = images.file(row)
    if indexed is None:
        raise RequestRefused(
            HTTPStatus.NOT_FOUND, f"version {version.name} has no row {row}: it has {version.manifest.count} rows"
        )
    return indexed


def _of_file(indexed: ImageFile, file: BufferedReader) -> Picture:
    status = os.fstat(file.fileno())
    known = (indexed.size, indexed.mtime_ns) == (status.st_size, status.st_mtime_ns)
    tag = indexed.digest.hex() if known else f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
    return Picture(indexed, file, status.st_size, file.peek(HEAD)[:HEAD], indexed.digest if known else None, tag)


def _from_source(services: Services, indexed: ImageFile) -> Picture:
    """Reads a picture from where it was indexed. Raises RequestRefused: 404 if it is gone, 502 if the source fails."""
    try:
        data = services.originals.read(indexed.path)
    except Unreadable as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, _GONE) from error
    except SourceError as error:
        raise RequestRefused(HTTPStatus.BAD_GATEWAY, "the place that the picture comes from cannot be read") from error
    digest = blake2b(data, digest_size=16).digest()
    return Picture(indexed, BytesIO(data), len(data), data[:HEAD], digest, digest.hex())


def _link(services: Services, row: int, name: str | None, seconds: int) -> str | None:
    path = _indexed(services, row, name).path
    if not services.originals.has(path):
        return None
    try:
        return services.originals.link(path, seconds)
    except SourceError as error:
        raise RequestRefused(HTTPStatus.BAD_GATEWAY, "the place that the picture comes from gives no links") from error


def _headers(etag: str, version: str | None, *, seconds: int) -> dict[str, str]:
    """Clients may cache pictures of a named version; those of the current one change with the next version."""
    return {
        "ETag": etag,
        "Cache-Control": "private, no-cache" if version is None else f"private, max-age={seconds}",
        "X-Content-Type-Options": "nosniff",
    }

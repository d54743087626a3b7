"""``/images/{row}`` and ``/thumbnails/{row}``: the pictures behind the rows of an index version.

    row → path, by the version's image table → the file, opened only if it lies in the datalake → original or thumbnail
                                             → a.pdf#page=3: that file's page; a.jpg#xywh=…: that region of it, or,
                                               with whole=true, the picture that it is on
                                             → s3://…, photos.zip#…, http://…: read again where it was found
                                               (source_pictures.py)

Clients send a row, never a path: paths come only from the indexed listing. A thumbnail of what must be fetched is kept
by the picture's name and the digest of what was indexed, and shown without asking again.
"""

import os
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from io import BufferedReader, BytesIO
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from contract.regions import region_of
from gateway.access.guards import require_search
from gateway.errors import OriginFault, PictureRefused, RequestRefused, refusals
from gateway.images.collection_thumbnails import thumbnail_name
from gateway.images.downloads import HeldBytes, OpenFileResponse, client_has, content_disposition, content_type
from gateway.images.open_versions import images_of
from gateway.images.thumbnails import MAKING, SIDE
from gateway.services import Services, UsesServices
from pictures.errors import ImageError
from pictures.formats import HEAD
from pictures.limits import DEFAULT_LIMITS
from searcher.versions.images import ImageFile
from sources.errors import SourceError
from sources.open_inside import OutsideFolder, open_inside
from sources.part_names import file_of
from sources.parts import part_of

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
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
    },
)

Row = Annotated[int, Path(ge=0, description="the image's number in the index version", examples=[17])]
Version = Annotated[str | None, Query(description="the index version; without it, the current one", examples=["1.2.0"])]
Whole = Annotated[bool, Query(description="of a region, the picture that it is on")]
IfNoneMatch = Annotated[str | None, Header(description="the ETag of what the client has")]

_GONE = "the picture is no longer there"


@dataclass(frozen=True)
class Indexed:
    """One row: its ``file`` as the image table has it, and what its source said of it, JSON text."""

    file: ImageFile
    metadata: str | None

    @property
    def path(self) -> str:
        return self.file.path


@dataclass(frozen=True)
class Picture:
    """The open file of one row, and its first bytes. ``digest``: of its content, None if that may have changed since.
    ``tag`` changes when the content does; letters, digits and dashes. ``modified``: seconds since 1970, of a file that
    is shown as it is."""

    file: BinaryIO
    size: int
    head: bytes
    digest: bytes | None
    tag: str
    modified: float | None = None


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
async def image(
    services: UsesServices, row: Row, version: Version = None, whole: Whole = False, if_none_match: IfNoneMatch = None
) -> Response:
    indexed = await run_in_threadpool(_indexed, services, row, version, whole)
    seconds = services.settings.presigned_seconds
    if seconds and (link := await run_in_threadpool(services.source_pictures.link, indexed.path, seconds)):
        return RedirectResponse(link, HTTPStatus.TEMPORARY_REDIRECT, {"Cache-Control": "private, no-store"})
    picture = await _opened(services, indexed)
    etag = f'"{picture.tag}"'
    headers = _headers(etag, version, seconds=3600)
    if client_has(etag, if_none_match):
        picture.file.close()
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = content_disposition(indexed.path)
    headers["Content-Type"] = content_type(picture.head)
    if picture.modified is not None:
        headers["Last-Modified"] = formatdate(picture.modified, usegmt=True)
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
    request: Request,
    services: UsesServices,
    row: Row,
    version: Version = None,
    whole: Whole = False,
    if_none_match: IfNoneMatch = None,
) -> Response:
    indexed = await run_in_threadpool(_indexed, services, row, version, whole)
    if services.source_pictures.has(indexed.path, indexed.metadata):
        name = thumbnail_name(indexed.path, indexed.file.digest)
        headers = _headers(f'"thumbnail-{name}"', version, seconds=86400)
        if client_has(headers["ETag"], if_none_match):
            return Response(status_code=304, headers=headers)
        making = partial(_kept_thumbnail, services, indexed, name)
    else:
        picture = await run_in_threadpool(_in_datalake, services, indexed)
        headers = _headers(f'"thumbnail-{MAKING}-{picture.tag}"', version, seconds=86400)
        if client_has(headers["ETag"], if_none_match):
            picture.file.close()
            return Response(status_code=304, headers=headers)
        making = partial(_thumbnail_of_file, services, picture)
    try:
        content = await making()
    except ImageError as error:
        raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from error
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Type": "image/webp", "Content-Length": str(len(content))})
    return Response(content, headers=headers, media_type="image/webp")


async def _kept_thumbnail(services: Services, indexed: Indexed, name: str) -> bytes:
    """Returns the thumbnail of a picture from a source, kept as ``name``. Raises ImageError and RequestRefused."""
    kept = await services.thumbnails.kept(name)
    if kept is not None:
        return kept
    with await _from_source(services, indexed) as file:
        return await services.thumbnails.make(file.getvalue(), name)


async def _thumbnail_of_file(services: Services, picture: Picture) -> bytes:
    with picture.file:
        try:
            return await services.thumbnails.of(picture.file, picture.digest)
        except OSError as error:
            raise RequestRefused(HTTPStatus.NOT_FOUND, _GONE) from error


def _indexed(services: Services, row: int, name: str | None, whole: bool) -> Indexed:
    version = services.versions.get(name)
    file = metadata = None
    if row < version.manifest.count:  # checked first: SQLite takes no numbers of 2^63 and above
        with images_of(version) as images:
            if (file := images.file(row)) is not None and (said := images.sourced([file.path])):
                metadata = said[file.path].metadata
    if file is None:
        raise RequestRefused(
            HTTPStatus.NOT_FOUND, f"version {version.name} has no row {row}: it has {version.manifest.count} rows"
        )
    region = region_of(file.path) if whole else None
    if region is not None:  # whose file was never indexed itself, as far as this row tells
        file = ImageFile(region.parent, -1, -1, file.digest)
    return Indexed(file, metadata)


async def _opened(services: Services, indexed: Indexed) -> Picture:
    """Opens the picture of a row. Raises RequestRefused: 404 unless there is one that may be shown."""
    if services.source_pictures.has(indexed.path, indexed.metadata):
        return _of_bytes(await _from_source(services, indexed))
    return await run_in_threadpool(_in_datalake, services, indexed)


async def _from_source(services: Services, indexed: Indexed) -> HeldBytes:
    """Reads a picture from where it was indexed. Raises RequestRefused: 404 if it is gone, 502 and 504 if its place
    fails, 503 if too many are read at once."""
    try:
        return HeldBytes(await services.source_pictures.read(indexed.path, indexed.metadata), services.bodies)
    except OriginFault as error:
        raise RequestRefused(error.status, str(error), error.headers) from error
    except PictureRefused as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"{_GONE}: {error}") from error


def _in_datalake(services: Services, indexed: Indexed) -> Picture:
    """Opens a file of the datalake, or the page of one. Raises RequestRefused (404) unless there is one there."""
    folder, path = services.settings.pictures, services.settings.datalake_root / indexed.path
    try:
        file = open_inside(folder, path)
        try:
            return _of_file(indexed.file, file)
        except OSError:
            file.close()
            raise
    except OutsideFolder as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "the picture does not lie in the datalake") from error
    except OSError as error:
        if (whole := file_of(indexed.path)) is None:
            raise RequestRefused(HTTPStatus.NOT_FOUND, _GONE) from error
    try:
        with open_inside(folder, services.settings.datalake_root / whole) as file:
            return _of_bytes(BytesIO(part_of(indexed.path, file.read(DEFAULT_LIMITS.max_bytes + 1))))
    except OutsideFolder as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "the picture does not lie in the datalake") from error
    except (OSError, SourceError) as error:
        raise RequestRefused(HTTPStatus.NOT_FOUND, _GONE) from error


def _of_file(indexed: ImageFile, file: BufferedReader) -> Picture:
    status = os.fstat(file.fileno())
    known = (indexed.size, indexed.mtime_ns) == (status.st_size, status.st_mtime_ns)
    tag = indexed.digest.hex() if known else f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
    digest = indexed.digest if known else None
    return Picture(file, status.st_size, file.peek(HEAD)[:HEAD], digest, tag, status.st_mtime)


def _of_bytes(file: BytesIO) -> Picture:
    data = file.getvalue()
    digest = blake2b(data, digest_size=16).digest()
    return Picture(file, len(data), data[:HEAD], digest, digest.hex())


def _headers(etag: str, version: str | None, *, seconds: int) -> dict[str, str]:
    """Clients may cache pictures of a named version; those of the current one change with the next version."""
    return {
        "ETag": etag,
        "Cache-Control": "private, no-cache" if version is None else f"private, max-age={seconds}",
        "X-Content-Type-Options": "nosniff",
    }

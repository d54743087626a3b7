"""A gateway for the browser test: the page's own files, and every route that it calls, answered from memory.

The pictures are drawn garments. Their codes are made so that a reader computes distances by hand: picture i differs
from ``QUERY_CODE`` in the last i bits, so it is at distance i from an uploaded picture (each has that code), and
pictures i and j are |i − j| apart. By detail the order is the opposite one.
"""

import asyncio
import hashlib
import io
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cache
from mimetypes import guess_type
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, Form, Request, Response, UploadFile
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from PIL import Image
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from indexer.sample_datalake import COLOURS, SHAPES, draw_garment

PAGE = Path(__file__).resolve().parents[3] / "gateway" / "page"
POLICY = "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self'"

BITS = 64
QUERY_CODE = 0x9F3A5C7E1B2D4F60
DETAIL_CODE = "5a" * 32
MODEL = {"name": "relahash-small-64bits", "sha256": "0a1b2c3d4e5f" + "6" * 52, "bits": BITS, "detail_bits": 256}
MILLISECONDS = {"decode": 1.1, "hash": 1.9, "search": 0.1, "torchserve": 5.2, "total": 6.0}
#: The picture whose code the one class has.
DRESS = 4
SKIPPED = 243

SEARCH_KEY = "search-key-of-the-test"
ADMIN_KEY = "admin-key-of-the-test"

#: Paths that a careless page would break on: markup, several alphabets, no place to break the line.
_AWKWARD = {
    6: "data/<img src=x onerror=alert(1)>.jpg",
    9: "data/vêtement d'été/日本 — 👗👗👗👗👗👗👗👗 robe.jpg",
    11: "data/" + "a-folder-in-a-folder/" * 6 + "the-file-itself-0011.jpg",
}


def _path(number: int) -> str:
    shape, colour = _product(number)
    return _AWKWARD.get(number, f"data/{shape}/{colour}-{number:04d}.jpg")


def _product(number: int) -> tuple[str, str]:
    return list(SHAPES)[number // 3 % len(SHAPES)], list(COLOURS)[(number // 3 + number % 2) % len(COLOURS)]


PATHS = [_path(number) for number in range(40)]


def code_of(row: int) -> int:
    return QUERY_CODE ^ ((1 << row) - 1)


@cache
def photograph(row: int) -> Image.Image:
    shape, colour = _product(row)
    return draw_garment(shape, colour, ("plain", "stripes", "dots", "checks")[row % 4], random.Random(row))


def file_of(picture: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


@cache
def thumbnail_of(row: int) -> bytes:
    """``photograph(row)``, small, as WebP."""
    small = photograph(row).copy()
    small.thumbnail((256, 256))
    return file_of(small, "WEBP")


@dataclass
class Search:
    """One request to /api/search: its fields, and the uploaded file where there was one."""

    fields: dict[str, str]
    file: bytes = b""

    @property
    def picture(self) -> Image.Image:
        return Image.open(io.BytesIO(self.file))


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message


def version_entry(version: str, *, count: int = 4332, skipped: int = 0, current: bool = False) -> dict[str, Any]:
    return {
        "version": version,
        "created": "2026-11-20T09:30:00Z",
        "count": count,
        "skipped": skipped,
        "mode": "default",
        "model": MODEL,
        "bytes": count * 171,
        "current": current,
    }


def model_entry(name: str, *, current: bool = False) -> dict[str, Any]:
    return {
        "model_path": f"{name}.pt",
        "bytes": 13_100_000,
        "sha256": MODEL["sha256"] if current else hashlib.sha256(name.encode()).hexdigest(),
        "card": {
            "format": 1,
            "name": name,
            "bits": BITS,
            "detail_bits": 256,
            "classes": ["Dress", "Hat", "Longsleeve", "Pants", "Shoes", "Shorts", "Skirt", "T-Shirt"],
            "preprocessing": {"image_size": 128, "resize": "stretch", "mean": [0.485, 0.456, 0.406]},
            "training": {"images": 3676, "mAP@all": 0.802, "labels left out": ["Not sure", "Other"]},
        },
        "current": current,
        "served": {"name": "image-retrieval-v1.0", "workers": 2, "memory_bytes": 540_000_000} if current else None,
    }


Guard = Callable[[Request], None]


@dataclass(frozen=True)
class Guards:
    """FastAPI dependencies: who may search, see pictures, change things."""

    searcher: Guard
    picture_viewer: Guard
    admin: Guard


@dataclass
class Backend:
    """What the routes answer from, and what they were asked. Tests change the first and read the second."""

    needs_key: bool = False
    model: dict[str, Any] = field(default_factory=lambda: dict(MODEL))
    versions: list[dict[str, Any]] = field(
        default_factory=lambda: [
            version_entry("1.2.0", count=4335, skipped=SKIPPED, current=True),
            version_entry("1.1.0", count=4332),
            version_entry("1.0.0", count=1200, skipped=3),
        ]
    )
    damaged: list[dict[str, str]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(
        default_factory=lambda: [
            model_entry("relahash-small-64bits", current=True),
            model_entry("relahash-small-128bits"),
        ]
    )
    jobs: list[dict[str, Any]] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    #: Of the results of a search, the rest being 0; None: it wasn't measured.
    closeness: list[float] | None = None
    #: Of the pictures by row; the others have none.
    metadata: dict[int, dict[str, Any]] = field(default_factory=dict)
    #: Rows of regions: the picture that each is on, and its box there.
    regions: dict[int, tuple[str, list[int]]] = field(default_factory=dict)
    #: Whether the model takes any words; it then makes embeddings, and 1 − cos is a 64th of the differing bits.
    any_words: bool = False
    pictures_without_key: int = 0
    created: str = "2026-11-20T09:30:00Z"
    #: So many of the pictures are on the map: eight in a row, each in a cell of its own at zoom 1.
    mapped: int = 40
    #: What /api/map answers instead, (status, message), the last first; and the tiles that were asked for.
    map_refusals: list[tuple[int, str]] = field(default_factory=list)
    tiles: list[tuple[int, int, int]] = field(default_factory=list)
    #: Streams of events break off and none begins.
    down: bool = False

    def begin(self, request: dict[str, Any]) -> dict[str, Any]:
        job = {
            "id": f"job-{len(self.jobs) + 1}",
            "state": "running",
            "phase": "listing",
            "done": 0,
            "total": 0,
            "rate": 0.0,
            "skipped": 0,
            "eta_seconds": None,
            "message": "",
            "request": request,
            "created": "2026-11-21T10:00:00Z",
            "finished": None,
            "result": None,
        }
        self.jobs.insert(0, job)
        return job

    def end(self, job: dict[str, Any], state: str, message: str = "") -> None:
        job.update(finished="2026-11-21T10:01:15Z", message=message, eta_seconds=None)
        if state == "succeeded":
            name = job["request"]["new_index_database_version"]
            self.versions.insert(0, version_entry(name, count=job["done"], skipped=job["skipped"]))
            self.make_current(name)
            job["phase"] = "done"
        job["state"] = state

    def add_routes(self, app: FastAPI, guards: Guards) -> None:
        """The collections, of which there is but the datalake; more is for backends that answer more."""

        @app.get("/api/collections", dependencies=[Depends(guards.searcher)])
        async def collections() -> dict[str, Any]:
            return {"collections": [{"name": "default"}]}

    def code_in(self, name: str, url: str) -> int:
        raise Refused(404, f"there is no collection {name}")

    def results_in(self, name: str, filter: str | None, wanted: int, top_k: int) -> list[Any]:
        """The results of a search in a collection other than the datalake's."""
        raise Refused(404, f"there is no collection {name}")

    def make_current(self, name: str) -> str | None:
        before = next((each["version"] for each in self.versions if each["current"]), None)
        for each in self.versions:
            each["current"] = each["version"] == name
        return before


@cache
def _answers(folder: Path) -> dict[str, Response]:
    """The answer for each file in ``folder``, by its name."""
    return {
        path.name: Response(path.read_bytes(), media_type=guess_type(path.name)[0])
        for path in folder.iterdir()
        if path.is_file()
    }


class _Files:
    """The files in ``folder``, read once: each visitor asks for dozens, and StaticFiles takes milliseconds for one."""

    def __init__(self, folder: Path) -> None:
        self._answers = _answers(folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].rpartition("/")[2]
        await self._answers.get(name, Response(status_code=404))(scope, receive, send)


class _Policy:
    """Adds the page's policy to all answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self._app(scope, receive, send_with_policy)


def create_app(backend: Backend) -> FastAPI:
    app = FastAPI(openapi_url=None)
    app.mount("/page", _Files(PAGE))
    app.mount("/reference", _Files(PAGE.parent / "reference"))
    app.add_middleware(_Policy)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        body = {"code": error.status, "type": "Refused", "message": error.message}
        return JSONResponse(body, error.status)

    def searcher(request: Request) -> None:
        if backend.needs_key and request.headers.get("X-API-Key") not in (SEARCH_KEY, ADMIN_KEY):
            raise Refused(401, "this key is not known" if "X-API-Key" in request.headers else "a key is needed")

    def picture_viewer(request: Request) -> None:
        try:
            searcher(request)
        except Refused:
            backend.pictures_without_key += 1
            raise

    def admin(request: Request) -> None:
        key = request.headers.get("X-API-Key")
        if key == SEARCH_KEY:
            raise Refused(403, "this route needs an admin key")
        if key != ADMIN_KEY:
            raise Refused(401, "this key is not known")

    def version_of(name: str) -> dict[str, Any]:
        for each in backend.versions:
            if each["version"] == name:
                return each
        raise Refused(404, f"there is no version {name}")

    def job_of(id: str) -> dict[str, Any]:
        return next(job for job in backend.jobs if job["id"] == id)

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.post("/api/search", dependencies=[Depends(searcher)])
    async def search(
        top_k: Annotated[int, Form()],
        rank: Annotated[str, Form()],
        image: Annotated[UploadFile | None, File()] = None,
        path: Annotated[str | None, Form()] = None,
        text: Annotated[str | None, Form()] = None,
        text_weight: Annotated[str | None, Form()] = None,
        code: Annotated[str | None, Form()] = None,
        detail_code: Annotated[str | None, Form()] = None,
        turned: Annotated[str | None, Form()] = None,
        url: Annotated[str | None, Form()] = None,
        collection: Annotated[str | None, Form()] = None,
        filter: Annotated[str | None, Form()] = None,
    ) -> dict[str, Any]:
        given = {
            "url": url,
            "path": path,
            "text": text,
            "text_weight": text_weight,
            "code": code,
            "detail_code": detail_code,
            "top_k": str(top_k),
            "rank": rank,
            "turned": turned,
            "collection": collection,
            "filter": filter,
        }
        search = Search({name: value for name, value in given.items() if value is not None})
        wanted = QUERY_CODE
        if image is not None:
            search.file = await image.read()
        backend.searches.append(search)
        if path is not None:
            wanted = backend.code_in(collection, path) if collection else code_of(PATHS.index(path))
        elif text is not None:
            if text != "Dress" and not backend.any_words:
                raise Refused(400, f"the model knows no class {text}")
            wanted = code_of(DRESS)
        elif code is not None:
            wanted = int(code, 16)
        rows = list(range(len(PATHS)))
        distances = {row: (code_of(row) ^ wanted).bit_count() for row in rows}
        rows.sort(key=distances.__getitem__) if rank == "distance" else rows.reverse()
        return {
            "version": next(each["version"] for each in backend.versions if each["current"]),
            "model": backend.model,
            "query": {"code": f"{wanted:016x}", "detail_code": None if text else DETAIL_CODE},
            "results": backend.results_in(collection, filter, wanted, top_k)
            if collection
            else [
                {
                    "row": row,
                    "path": PATHS[row],
                    "distance": distances[row] / 64 if backend.any_words else distances[row],
                    "cosine": 1 - distances[row] / 64 if backend.any_words else None,
                    "closeness": backend.closeness and (backend.closeness + [0.0] * 40)[place],
                    "code": f"{code_of(row):016x}",
                    "image": f"/images/{row}?version=1.2.0",
                    "thumbnail": f"/thumbnails/{row}?version=1.2.0",
                    "metadata": backend.metadata.get(row),
                    "parent": backend.regions.get(row, (None, None))[0],
                    "box": backend.regions.get(row, (None, None))[1],
                }
                for place, row in enumerate(rows[:top_k])
            ],
            "nothing_like_it": None if backend.closeness is None else backend.closeness[0] < 0.25,
            "milliseconds": MILLISECONDS,
        }

    @app.get("/api/overview", dependencies=[Depends(searcher)])
    async def overview(pictures: int) -> dict[str, Any]:
        return {
            "version": "1.2.0",
            "created": backend.created,
            "count": len(PATHS),
            "model": backend.model["name"],
            "pictures": [
                {"row": row, "path": PATHS[row], "image": f"/images/{row}", "thumbnail": f"/thumbnails/{row}"}
                for row in range(pictures)
            ],
        }

    @app.get("/api/map", dependencies=[Depends(searcher)])
    async def picture_map() -> Any:
        if backend.map_refusals:
            status, message = backend.map_refusals.pop()
            body = {"code": status, "type": "Refused", "message": message}
            return JSONResponse(body, status, {"Retry-After": "1"} if status == 503 else None)
        return {"version": "1.2.0", "count": backend.mapped, "deepest": 1, "cells": 4}

    @app.get("/api/map/{zoom}/{x}/{y}", dependencies=[Depends(searcher)])
    async def tile(zoom: int, x: int, y: int, version: str) -> dict[str, Any]:
        assert version == "1.2.0"
        backend.tiles.append((zoom, x, y))
        cells: dict[tuple[int, int], list[int]] = {}
        for row in range(backend.mapped):
            column, line = row % 8 >> (1 - zoom), row // 8 >> (1 - zoom)
            if (column // 4, line // 4) == (x, y):
                cells.setdefault((column % 4, line % 4), []).append(row)
        return {
            "version": version,
            "zoom": zoom,
            "x": x,
            "y": y,
            "count": sum(map(len, cells.values())),
            "cells": [
                {
                    "x": column,
                    "y": line,
                    "count": len(rows),
                    "row": rows[0],
                    "path": PATHS[rows[0]],
                    "image": f"/images/{rows[0]}?version=1.2.0",
                    "thumbnail": f"/thumbnails/{rows[0]}?version=1.2.0",
                }
                for (column, line), rows in cells.items()
            ],
        }

    @app.get("/api/words", dependencies=[Depends(searcher)])
    async def words() -> dict[str, Any]:
        classes = ["Dress", "Hat", "Shoes", "Shorts", "Skirt", "Socks"]
        return {"any_words": backend.any_words, "suggestions": classes}

    @app.get("/images/{row}", dependencies=[Depends(picture_viewer)])
    def original(row: int) -> Response:
        return Response(file_of(photograph(row), "JPEG"), media_type="image/jpeg")

    @app.get("/thumbnails/{row}", dependencies=[Depends(picture_viewer)])
    def thumbnail(row: int) -> Response:
        return Response(thumbnail_of(row), media_type="image/webp")

    @app.get("/api/versions", dependencies=[Depends(admin)])
    async def versions() -> dict[str, Any]:
        current = next((each["version"] for each in backend.versions if each["current"]), None)
        return {"current": current, "versions": backend.versions, "damaged": backend.damaged}

    @app.get("/api/versions/{name}/skipped", dependencies=[Depends(admin)])
    async def skipped(name: str, offset: int = 0, limit: int = 100) -> dict[str, Any]:
        total = version_of(name)["skipped"]
        numbers = range(total)[offset : offset + limit]
        return {
            "total": total,
            "skipped": [{"path": f"data/broken/{n:04d}.jpg", "reason": "the file ends too early"} for n in numbers],
        }

    @app.post("/api/versions/{name}/promote", dependencies=[Depends(admin)])
    async def promote(name: str) -> dict[str, Any]:
        version_of(name)
        before = backend.make_current(name)
        return {"result": "success", "previous_index_database_version": before, "index_database_version": name}

    @app.post("/api/versions/{name}/verify", dependencies=[Depends(admin)])
    async def verify(name: str) -> dict[str, Any]:
        version_of(name)
        if name == "1.0.0":
            return {"version": name, "whole": False, "files": 3, "message": "images.db is not what was published"}
        return {"version": name, "whole": True, "files": 3, "message": None}

    @app.delete("/api/versions/{name}", dependencies=[Depends(admin)], status_code=204)
    async def delete(name: str) -> None:
        if version_of(name)["current"]:
            raise Refused(409, f"version {name} is served")
        backend.versions.remove(version_of(name))

    @app.get("/api/models", dependencies=[Depends(admin)])
    async def models() -> dict[str, Any]:
        return {"models": backend.models}

    @app.post("/api/reindex", dependencies=[Depends(admin)])
    async def reindex(request: Request) -> JSONResponse:
        assert request.headers["Prefer"] == "respond-async"
        asked = await request.json()
        if any(job["state"] == "running" for job in backend.jobs):
            raise Refused(409, "another reindexing is running")
        if asked["new_index_database_version"] in [each["version"] for each in backend.versions]:
            raise Refused(409, f"version {asked['new_index_database_version']} exists already")
        return JSONResponse(backend.begin(asked), 202)

    @app.get("/api/jobs", dependencies=[Depends(admin)])
    async def jobs() -> dict[str, Any]:
        return {"jobs": backend.jobs}

    @app.get("/api/jobs/{id}/events", dependencies=[Depends(admin)])
    async def events(id: str) -> StreamingResponse:
        if backend.down:
            raise Refused(503, "the gateway is starting")
        return StreamingResponse(_events(backend, job_of(id)), media_type="text/event-stream")

    @app.delete("/api/jobs/{id}", dependencies=[Depends(admin)], status_code=202)
    async def cancel(id: str) -> dict[str, Any]:
        backend.end(job_of(id), "cancelled")
        return job_of(id)

    @app.post("/api/jobs/{id}/resume", dependencies=[Depends(admin)], status_code=202)
    async def resume(id: str) -> dict[str, Any]:
        return backend.begin(job_of(id)["request"])

    backend.add_routes(app, Guards(searcher, picture_viewer, admin))
    return app


async def _events(backend: Backend, job: dict[str, Any]) -> AsyncIterator[bytes]:
    """The job's state, and again whenever it has changed, until it is final."""
    sent = b""
    yield b": a comment comes first\r\n\r\n"
    while not backend.down:
        state = job["state"]
        event = b"event: job\ndata: " + JSONResponse(job).body + b"\n\n"
        if event != sent:
            half = len(event) // 2  # as the network may deliver it
            yield event[:half]
            yield event[half:]
            sent = event
        if state != "running":
            return
        await asyncio.sleep(0.02)

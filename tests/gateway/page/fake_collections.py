"""Collections for the browser test: the routes that the page's tab calls, answered from memory.

Picture ``row`` of a collection shows ``photograph(row)`` and has its code, so two pictures are as many bits apart as
their rows. Addresses that are added say by their names what becomes of them: ``…/row-17.jpg`` shows picture 17, and
whatever holds ``gone`` can't be reached.
"""

import asyncio
import io
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from PIL import Image

from contract.names import NOTHING_LIKE_IT_HEADER
from searcher.errors import FilterError
from searcher.filters import parse_filter
from searcher.live.sqlite_filter import sql_of
from tests.gateway.page.fake_backend import BITS, PATHS, Backend, Guards, Refused, code_of, thumbnail_of

SEASONS = ("spring", "summer", "autumn", "winter")


@dataclass
class Picture:
    row: int
    metadata: Any = None


@dataclass
class Collection:
    pictures: dict[str, Picture] = field(default_factory=dict)
    #: Those that were removed: a browser may be about to fetch their thumbnails.
    gone: dict[str, Picture] = field(default_factory=dict)
    changes: int = 0
    versions: list[str] = field(default_factory=lambda: ["0"])

    def matching(self, given: Any) -> list[str]:
        """The addresses of the pictures that the filter holds for, sorted; FilterError for none of the language."""
        urls = sorted(self.pictures)
        if given is None:
            return urls
        condition = sql_of(parse_filter(given))
        database = sqlite3.connect(":memory:")
        asked = f"SELECT 1 FROM (SELECT ? AS metadata) WHERE {condition.text}"
        return [
            url
            for url in urls
            if database.execute(asked, (_text(self.pictures[url].metadata), *condition.parameters)).fetchone()
        ]


def _text(metadata: Any) -> str | None:
    return None if metadata is None else json.dumps(metadata, ensure_ascii=False)


def garment(row: int) -> str:
    """The address of picture ``row`` of the collection ``garments``; their order is that of the rows."""
    return f"https://shop.example/garments/{row:04d}.jpg"


def garments(number: int) -> Collection:
    metadata = [{"season": SEASONS[row % 4], "price": 10 + row, "size": {"chest": 80 + row}} for row in range(number)]
    return Collection({garment(row): Picture(row, metadata[row]) for row in range(number)}, changes=12)


class Invalid(Exception):
    """A request that the routes below /models/ refuse, in FastAPI's words."""


@dataclass
class CollectionsBackend(Backend):
    collections: dict[str, Collection] = field(
        default_factory=lambda: {
            "default": Collection({path: Picture(row) for row, path in enumerate(PATHS)}, versions=["1.1.0", "1.2.0"]),
            "garments": garments(130),
        }
    )
    #: What was added, and what was asked to be removed: (collection, url).
    added: list[tuple[str, str]] = field(default_factory=list)
    removed: list[tuple[str, str]] = field(default_factory=list)
    #: After so many groups a report goes on for ever.
    groups_before_pause: int | None = None
    #: Of the reports that are being sent, how many.
    reports: int = 0
    #: Additions wait while this is set.
    adding_waits: bool = False
    folding: bool = False
    #: Whether searches find nothing but the picture itself; None: nobody measured it.
    nothing_like_it: bool | None = None

    def results_in(self, name: str, filter: str | None, wanted: int, top_k: int) -> list[Any]:
        return search_in(self, name, filter, wanted, top_k)

    def code_in(self, name: str, url: str) -> int:
        return code_of(self.collection(name).pictures[url].row)

    def add_routes(self, app: FastAPI, guards: Guards) -> None:
        _management_routes(app, self, guards)
        _model_routes(app, self, guards)

        @app.exception_handler(Invalid)
        async def invalid(request: Request, error: Invalid) -> JSONResponse:
            return JSONResponse({"detail": [{"loc": ["body", "url"], "msg": str(error), "type": "value_error"}]}, 422)

    def info(self, name: str) -> dict[str, Any]:
        collection = self.collection(name)
        return {
            "name": name,
            "count": len(collection.pictures),
            "model": self.model,
            "copies": {"space": "detail", "bits": 256, "max_distance": 4},
            "version": collection.versions[-1],
            "versions": collection.versions,
            "journal": {"changes": collection.changes, "bytes": 4096 + 512 * collection.changes},
            "bytes": 171 * len(collection.pictures),
            "created": None if name == "default" else "2026-11-20T09:30:00Z",
        }

    def collection(self, name: str) -> Collection:
        if name not in self.collections:
            raise Refused(404, f"there is no collection {name}")
        return self.collections[name]


def search_in(backend: "CollectionsBackend", name: str, filter: str | None, wanted: int, top_k: int) -> list[Any]:
    """The results of /api/search in a collection other than the datalake's, by the code ``wanted``."""
    pictures = backend.collection(name).pictures
    urls = backend.collection(name).matching(json.loads(filter) if filter else None)
    urls.sort(key=lambda url: (code_of(pictures[url].row) ^ wanted).bit_count())
    return [
        {
            "row": None,
            "path": url,
            "distance": (code_of(pictures[url].row) ^ wanted).bit_count(),
            "cosine": None,
            "closeness": None,
            "code": f"{code_of(pictures[url].row):016x}",
            "image": f"/api/collections/{name}/thumbnail?{urlencode({'url': url})}",
            "thumbnail": f"/api/collections/{name}/thumbnail?{urlencode({'url': url})}",
            "metadata": pictures[url].metadata,
        }
        for url in urls[:top_k]
    ]


def _management_routes(app: FastAPI, backend: CollectionsBackend, guards: Guards) -> None:
    reading, changing = Depends(guards.searcher), Depends(guards.admin)

    @app.get("/api/collections", dependencies=[reading])
    async def collections() -> dict[str, Any]:
        return {"collections": [backend.info(name) for name in backend.collections]}

    @app.post("/api/collections", dependencies=[changing], status_code=201)
    async def create(request: Request) -> dict[str, Any]:
        name = (await request.json())["name"]
        if name in backend.collections:
            raise Refused(409, f"collection {name} exists already")
        backend.collections[name] = Collection()
        return backend.info(name)

    @app.delete("/api/collections/{name}", dependencies=[changing], status_code=204)
    async def delete(name: str) -> None:
        del backend.collections[name]

    @app.post("/api/collections/{name}/fold", dependencies=[changing])
    async def fold(name: str) -> dict[str, Any]:
        collection = backend.collection(name)
        if backend.folding:
            raise Refused(409, "another fold is at work")
        folded, collection.changes = collection.changes, 0
        collection.versions.append(f"0-f{len(collection.versions)}")
        return {"version": collection.versions[-1], "count": len(collection.pictures), "folded": folded}

    @app.get("/api/collections/{name}/images", dependencies=[reading])
    async def images(name: str, cursor: str = "", limit: int = 50, filter: str = "") -> dict[str, Any]:
        collection = backend.collection(name)
        try:
            urls = collection.matching(json.loads(filter) if filter else None)
        except (FilterError, ValueError) as error:
            raise Refused(422, f"{error}") from error
        page = [url for url in urls if url > cursor][:limit]
        return {
            "images": [
                {
                    "url": url,
                    "metadata": collection.pictures[url].metadata,
                    "code": f"{code_of(collection.pictures[url].row):016x}",
                    "thumbnail": f"/api/collections/{name}/thumbnail?{urlencode({'url': url})}",
                }
                for url in page
            ],
            "cursor": page[-1] if page and page[-1] != urls[-1] else None,
            "count": len(urls),
        }

    @app.get("/api/collections/{name}/thumbnail", dependencies=[Depends(guards.picture_viewer)])
    def collection_thumbnail(name: str, url: str) -> Response:
        collection = backend.collection(name)
        picture = collection.pictures.get(url) or collection.gone.get(url)
        if picture is None:
            raise Refused(404, f"the collection {name} has no such image")
        return Response(thumbnail_of(picture.row), media_type="image/webp")

    @app.get("/api/collections/{name}/duplicates", dependencies=[reading])
    async def duplicates(name: str, max_distance: int, view: str) -> StreamingResponse:
        assert view == "groups"
        lines = _groups(backend, backend.collection(name), max_distance)
        return StreamingResponse(lines, media_type="application/x-ndjson")


async def _groups(backend: CollectionsBackend, collection: Collection, distance: int) -> AsyncIterator[bytes]:
    """The pictures in the order of their rows, ``distance`` + 1 to a group: 0, 1, … bits from its first one. The second
    is the same file as the first."""
    urls = sorted(collection.pictures, key=lambda url: collection.pictures[url].row)
    backend.reports += 1
    try:
        for number, start in enumerate(range(0, len(urls) - distance, distance + 1)):
            if number == backend.groups_before_pause:
                await asyncio.Event().wait()
            group = urls[start : start + distance + 1]
            first = collection.pictures[group[0]].row
            images = [
                {
                    "url": url,
                    "metadata": collection.pictures[url].metadata,
                    "distance": collection.pictures[url].row - first,
                    "same_file": place < 2,
                }
                for place, url in enumerate(group)
            ]
            line = json.dumps({"images": images}).encode() + b"\n"
            yield line[:20]  # as the network may deliver it
            yield line[20:]
    finally:
        backend.reports -= 1


def _model_routes(app: FastAPI, backend: CollectionsBackend, guards: Guards) -> None:
    @app.post("/models/{name}/search_add", dependencies=[Depends(guards.admin)], status_code=204)
    @app.post("/models/{name}/add", dependencies=[Depends(guards.admin)], status_code=204)
    async def add(name: str, request: Request) -> None:
        url, picture = await _addition(request)
        while backend.adding_waits:
            await asyncio.sleep(0.01)
        collection = backend.collection(name)
        collection.pictures[url] = picture
        collection.changes += 1
        backend.added.append((name, url))

    @app.post("/models/{name}/remove", dependencies=[Depends(guards.admin)], status_code=204, response_model=None)
    async def remove(name: str, request: Request) -> JSONResponse | None:
        url = (await request.json())["url"]
        backend.removed.append((name, url))
        collection = backend.collection(name)
        if url not in collection.pictures:
            return JSONResponse({"detail": "Image not found"}, 404)
        collection.gone[url] = collection.pictures.pop(url)
        collection.changes += 1
        return None

    @app.post("/models/{name}/search", dependencies=[Depends(guards.searcher)])
    async def search(name: str, request: Request, response: Response) -> list[dict[str, Any]]:
        asked = await request.json()
        collection = backend.collection(name)
        if asked["url"] not in collection.pictures:
            raise Invalid(f"{asked['url']} can't be reached")
        row = collection.pictures[asked["url"]].row
        urls = collection.matching(asked.get("filter"))
        urls.sort(key=lambda url: abs(collection.pictures[url].row - row))
        if backend.nothing_like_it is not None:
            response.headers[NOTHING_LIKE_IT_HEADER] = json.dumps(backend.nothing_like_it)
        return [
            {
                "url": url,
                "metadata": collection.pictures[url].metadata,
                "similarity": max(0.0, 100 * (1 - 2 * abs(collection.pictures[url].row - row) / BITS)),
            }
            for url in urls[: asked["limit"]]
        ]


async def _addition(request: Request) -> tuple[str, Picture]:
    """What a request adds. Invalid for addresses that hold ``gone``, and for files that are no pictures or small."""
    if request.headers["Content-Type"] == "application/json":
        asked = await request.json()
        url = asked["url"]
        if not isinstance(asked.get("metadata", {}), dict):
            raise Invalid("Input should be a valid dictionary")
        if "gone" in url:
            raise Invalid(f"{url} answers 404 Not Found")
        found = re.search(r"row-(\d+)", url)
        return url, Picture(int(found[1]) if found else 0, asked.get("metadata"))
    async with request.form() as form:
        file = await form["image"].read()  # type: ignore[union-attr]
        metadata = json.loads(str(form["metadata"])) if "metadata" in form else None
    try:
        Image.open(io.BytesIO(file))
    except OSError as error:
        raise Invalid("the file is no picture that can be read") from error
    return str(form["url"]), Picture(0, metadata)

"""A gateway's collections, kept in memory and served over a real socket, so that a reader computes every answer.

A URL has the code that ``WEB`` gives it; an uploaded picture's code is its first eight bytes. A filter is
``{"field": value}``, and means equality.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import UploadFile

BITS = 64
SHA256 = "0a1b2c3d4e5f" + "6" * 52
MODEL = {"name": "relahash-small-64bits", "sha256": SHA256, "bits": BITS, "detail_bits": None}
KEY = "hlk_00000000_" + "k" * 32
WEB = {
    "https://example.org/boot.jpg": 0x0,
    "https://example.org/bootee.jpg": 0x1,
    "https://example.org/clog.jpg": 0xFFFF,
    "https://example.org/sandal.jpg": 0xFFFFFFFF00000000,
    "https://example.org/été.jpg": 0xFF,
}
SHOES = {
    "https://example.org/boot.jpg": {"colour": "black"},
    "https://example.org/bootee.jpg": {"colour": "black"},
    "https://example.org/sandal.jpg": {"colour": "red"},
}


def picture(code: int) -> bytes:
    """A file that has this code."""
    return code.to_bytes(8, "big") + b" the rest of the file"


@dataclass
class Image:
    code: int
    metadata: Any = None


@dataclass
class Fake:
    """What the routes answer from, and what they were asked. Tests change the first and read the second."""

    collections: dict[str, dict[str, Image]] = field(
        default_factory=lambda: {
            "default": {},
            "shoes": {url: Image(WEB[url], metadata) for url, metadata in SHOES.items()},
        }
    )
    #: Further names of the collections.
    aliases: dict[str, str] = field(default_factory=dict)
    folds: int = 0
    #: Bodies of requests to build a version.
    reindexed: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[dict[str, str]] = field(default_factory=list)
    #: The words of searches of the datalake.
    searched: list[dict[str, str]] = field(default_factory=list)
    #: Whether answers to searches have a closeness: 1 − distance / bits, and 0.9 is little.
    calibrated: bool = False
    #: What a collection's description says of copies; None for an older gateway's.
    copies: Any = None
    #: The most that a page has, whatever is asked for.
    page: int = 2
    #: Which of the collections are in another engine, and what their descriptions say of it.
    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Method, path, and the body's bytes.
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)

    def bodies(self, route: str) -> list[Any]:
        """The JSON bodies of the requests to a path that ends so, in their order."""
        return [json.loads(body) for _, path, body in self.asked if path.endswith(route)]

    def listed(self, name: str) -> list[tuple[str, int, Any]]:
        """Everything in a collection: URL, code, metadata."""
        return [(url, image.code, image.metadata) for url, image in sorted(self.collections[name].items())]


class Refused(Exception):
    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status, self.body = status, body


def managing(status: int, message: str) -> Refused:
    return Refused(status, {"code": status, "type": "Refused", "message": message})


def invalid(message: str, *place: str | int) -> Refused:
    return Refused(422, {"detail": [{"loc": ["body", *place], "msg": message, "type": "value_error"}]})


@dataclass
class Given:
    """A request's fields, and its files, whichever way they came."""

    fields: dict[str, Any]
    files: dict[str, bytes]

    def code(self, collection: dict[str, Image], name: str = "url", file: str = "image") -> int:
        if file in self.files:
            return int.from_bytes(self.files[file][:8], "big")
        return code_at(self.fields[name], collection, name)

    def url(self) -> str:
        digest = hashlib.blake2b(self.files.get("image", b""), digest_size=16).hexdigest()
        return str(self.fields.get("url", f"upload:{digest}"))


def code_at(url: str, collection: dict[str, Image], *place: str | int) -> int:
    if url in collection:
        return collection[url].code
    if url not in WEB:
        raise invalid("status 404", *place)
    return WEB[url]


def positions(code: int, fields: dict[str, Any]) -> list[int]:
    """The codes of a picture that is asked about: turned, it is the other way round."""
    return [code, int(f"{code:064b}"[::-1], 2)] if fields.get("turned") else [code]


async def given(request: Request) -> Given:
    if not request.headers["Content-Type"].startswith("multipart/form-data"):
        return Given(await request.json(), {})
    fields: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    async with request.form() as form:
        for name, value in form.items():
            if isinstance(value, UploadFile):
                files[name] = await value.read()
            else:
                fields[name] = json.loads(value) if name in ("metadata", "limit", "filter") else value
    return Given(fields, files)


def passing(collection: dict[str, Image], condition: dict[str, Any] | None) -> dict[str, Image]:
    """Sorted by URL."""
    for operator in condition or {}:
        if operator.startswith("$"):
            raise invalid(f"{operator} is no operator", "filter")
    return {
        url: image
        for url, image in sorted(collection.items())
        if all((image.metadata or {}).get(name) == value for name, value in (condition or {}).items())
    }


def similarity(one: int, other: int) -> float:
    return max(0.0, 100 * (1 - 2 * (one ^ other).bit_count() / BITS))


def require_short(metadata: Any, *place: str | int) -> None:
    if not isinstance(metadata, dict | None):
        raise invalid("Input should be a valid dictionary", *place, "metadata")
    if len(json.dumps(metadata)) > 65_535:
        raise invalid("metadata json too long", *place, "metadata")


def create_app(fake: Fake) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.middleware("http")
    async def remember(request: Request, call_next: Any) -> Response:
        fake.asked.append((request.method, request.scope["path"], await request.body()))
        if request.headers.get("X-API-Key") != KEY:
            return JSONResponse({"code": 401, "type": "Unauthorized", "message": "this takes an API key"}, 401)
        response: Response = await call_next(request)
        return response

    @app.exception_handler(Refused)
    async def refused(_request: Request, error: Refused) -> JSONResponse:
        return JSONResponse(error.body, error.status)

    def managed(name: str) -> dict[str, Image]:
        name = fake.aliases.get(name, name)
        if name not in fake.collections:
            raise managing(404, f"there is no collection {name}")
        return fake.collections[name]

    def model(name: str) -> dict[str, Image]:
        name = fake.aliases.get(name, name)
        if name not in fake.collections:
            problem = {"loc": ["path", "model_name"], "msg": f"there is no collection {name}", "type": "enum"}
            raise Refused(422, {"detail": [problem]})
        return fake.collections[name]

    def info(name: str) -> dict[str, Any]:
        return (
            {
                "name": name,
                "aliases": [alias for alias, to in fake.aliases.items() if to == name],
                "count": len(managed(name)),
                "model": MODEL,
                "version": f"0-f{fake.folds}",
                "versions": ["0", f"0-f{fake.folds}"],
                "journal": {"changes": 12, "bytes": 4096},
                "bytes": 8192,
                "created": None if name == "default" else "2026-11-21T10:00:00Z",
                "of a later release": True,
            }
            | ({"copies": fake.copies} if fake.copies else {})
            | kept(name)
        )

    def kept(name: str) -> dict[str, Any]:
        """In another engine, where that was asked for."""
        if name not in fake.engines:
            return {}
        return {"engine": fake.engines[name], "version": None, "versions": [], "journal": None, "bytes": None}

    @app.get("/ping")
    async def ping() -> str:
        return "pong"

    # --- Managing

    @app.get("/api/collections")
    async def collections() -> dict[str, Any]:
        return {"collections": [info(name) for name in fake.collections]}

    @app.post("/api/collections", status_code=201)
    async def create(request: Request) -> dict[str, Any]:
        name = (await request.json())["name"]
        if name in fake.collections:
            raise managing(409, f"there is a collection {name} already")
        fake.collections[name] = {}
        asked = await request.json()
        if "engine" in asked:
            place = asked.get("place", name)
            shown = {"name": "postgresql", "address": "postgresql://db:5432/pictures"}
            fake.engines[name] = {**shown, "place": place, "made": "place" not in asked, "index": None}
        return info(name)

    @app.get("/api/collections/{name}/properties")
    async def properties(name: str) -> dict[str, Any]:
        managed(name)
        return {"properties": {"tables": 3, "indexes": ["one", "other"]} if name in fake.engines else {}}

    @app.post("/api/collections/{name}/copy")
    async def copy(name: str, request: Request) -> dict[str, Any]:
        to = (await request.json())["to"]
        fake.collections[to] = dict(managed(name))
        count = len(fake.collections[to])
        return {"count": count, "added": count, "removed": 0, "checksum": "c0ffee" * 8}

    @app.post("/api/collections/{name}/index")
    async def index(name: str, request: Request) -> dict[str, Any]:
        managed(name)
        if name not in fake.engines:
            raise managing(409, f"the collection {name} is searched exactly as it is")
        kind = (await request.json()).get("kind")
        figures = {"recall": 0.987, "queries": 100, "images": 3000, "measured": "2026-11-30T10:00:00Z"}
        fake.engines[name]["index"] = kind and {"kind": kind, **figures}
        return info(name)

    @app.get("/api/aliases")
    async def aliases() -> dict[str, Any]:
        return {"aliases": [{"name": name, "collection": to} for name, to in fake.aliases.items()]}

    @app.put("/api/aliases/{name}")
    async def set_alias(name: str, request: Request) -> dict[str, Any]:
        asked = await request.json()
        if name in fake.collections:
            if "keep" not in asked:
                raise managing(409, f"{name} is a collection: say by `keep` what that is called from then on")
            fake.collections[asked["keep"]] = fake.collections.pop(name)
        managed(asked["collection"])
        fake.aliases[name] = asked["collection"]
        return {"name": name, "collection": asked["collection"]}

    @app.delete("/api/aliases/{name}", status_code=204)
    async def remove_alias(name: str) -> None:
        if fake.aliases.pop(name, None) is None:
            raise managing(404, f"there is no alias {name}")

    @app.get("/api/collections/{name}")
    async def one(name: str) -> dict[str, Any]:
        return info(name)

    @app.delete("/api/collections/{name}", status_code=204)
    async def delete(name: str) -> None:
        managed(name)
        if name == "default":
            raise managing(409, "the collection default is never deleted")
        del fake.collections[name]

    @app.post("/api/search")
    async def search_datalake(request: Request) -> dict[str, Any]:
        async with request.form() as form:
            fake.searched.append({name: value for name, value in form.items() if isinstance(value, str)})
        result: dict[str, Any] = {
            "row": 0, "path": "data/boot.jpg", "distance": 0, "closeness": 0.93, "code": "00" * 8,
            "image": "/images/0?version=1.2.0", "thumbnail": "/thumbnails/0?version=1.2.0",
        }  # fmt: skip
        query = {"code": "00" * 8, "detail_code": None}
        cropped: dict[str, Any] = {}
        if form.get("crop") == "auto":
            result |= {"parent": "data/boots.jpg", "box": [1, 2, 30, 40]}
            box = {"x": 5, "y": 6, "width": 30, "height": 40, "score": 0.9, "label": "object"}
            cropped = {"cropped_image": base64.b64encode(b"JPEG").decode(), "cropped_box": box}
        return {"version": "1.2.0", "query": query, "results": [result], "nothing_like_it": False} | cropped

    @app.get("/thumbnails/{row}")
    async def thumbnail_of_row(row: int) -> Response:
        return Response(b"RIFF of %d" % row, media_type="image/webp")

    @app.get("/api/versions")
    async def versions() -> dict[str, Any]:
        model = {"name": "relahash-small-64bits", "sha256": SHA256, "bits": 64, "detail_bits": None}
        versions = [
            {
                "version": name, "created": "2026-11-21T10:00:00Z", "count": 3, "skipped": 0, "mode": "default",
                "model": model, "bytes": 8192, "current": name == "1.2.0", "damaged": None,
            }
            for name in ("1.2.0", "1.1.0")
        ]  # fmt: skip
        return {"current": "1.2.0", "versions": versions, "damaged": []}

    @app.post("/api/versions/{name}/promote")
    async def promote(name: str) -> dict[str, Any]:
        return {"result": "success", "previous_index_database_version": "1.2.0", "index_database_version": name}

    def the_job() -> dict[str, Any]:
        return {
            "id": "3f9c01ab", "state": "succeeded", "phase": "done", "done": 4332, "total": 4332, "message": "",
            "created": "2026-11-21T10:00:00Z", "finished": "2026-11-21T10:01:00Z",
        }  # fmt: skip

    @app.get("/api/jobs")
    async def jobs() -> dict[str, Any]:
        return {"jobs": [the_job()]}

    @app.get("/api/jobs/{id}")
    async def job(id: str) -> dict[str, Any]:
        if id != "3f9c01ab":
            raise Refused(404, {"code": 404, "type": "NotFound", "message": f"there is no job {id}"})
        return the_job()

    @app.get("/api/jobs/{id}/log")
    async def job_log(id: str) -> Response:
        if id != "3f9c01ab":
            raise Refused(404, {"code": 404, "type": "NotFound", "message": f"there is no job {id}"})
        return Response("2026-11-21 10:00:00 reindex 1.2.0\n2026-11-21 10:01:00 succeeded done\n")

    @app.get("/api/machine")
    async def machine() -> dict[str, Any]:
        return {
            "cores": 2, "disks": [{"folder": "index_store", "bytes": 8192, "free": 5 << 30, "total": 9 << 30}],
            "memory": {"total": 8 << 30, "available": 4 << 30, "gateway": 110 << 20, "models": None},
            "checksums": {"whole": 2, "unread": 0, "damaged": fake.damaged, "oldest": "2026-11-21T10:00:00Z"},
        }  # fmt: skip

    @app.post("/api/reindex")
    async def reindex(request: Request) -> Response:
        asked = await request.json()
        if "@" in asked.get("source", ""):
            return JSONResponse({"code": 422, "type": "x", "message": "source holds credentials"}, 422)
        fake.reindexed.append(asked)
        return JSONResponse(
            {
                "result": "success", "previous_index_database_version": "1.1.0" if len(fake.reindexed) == 1 else None,
                "index_database_version": asked["new_index_database_version"], "timestamp": "2020-05-02 12:00:00",
            }
        )  # fmt: skip

    @app.post("/api/collections/{name}/fold")
    async def fold(name: str) -> dict[str, Any]:
        fake.folds += 1
        return {"version": f"0-f{fake.folds}", "count": len(managed(name)), "folded": 3}

    @app.get("/api/collections/{name}/images")
    async def images(name: str, limit: int, cursor: str = "", filter: str = "null") -> dict[str, Any]:
        assert 1 <= limit <= 1000
        found = passing(managed(name), json.loads(filter))
        rest = [
            {"url": url, "metadata": image.metadata, "code": f"{image.code:016x}", "thumbnail": f"/t?url={url}"}
            for url, image in found.items()
            if url > cursor
        ]
        page = rest[: fake.page]
        return {"images": page, "cursor": page[-1]["url"] if len(rest) > len(page) else None, "count": len(found)}

    @app.get("/api/collections/{name}/thumbnail")
    async def thumbnail(name: str, url: str) -> Response:
        if url not in managed(name):
            raise managing(404, f"there is no image {url}")
        return Response(b"RIFF....WEBP", media_type="image/webp")

    @app.get("/api/collections/{name}/duplicates")
    async def duplicates(name: str, view: str, max_distance: int = 2) -> StreamingResponse:
        lines = _pairs(managed(name), max_distance) if view == "pairs" else _groups(managed(name), max_distance)
        text = (json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
        return StreamingResponse(text, media_type="application/x-ndjson")

    # --- Idios' routes

    async def put(name: str, request: Request, *, replace: bool) -> None:
        collection, image = model(name), await given(request)
        if not replace and image.url() in collection:
            raise Refused(409, {"detail": "Image already inserted"})
        metadata = image.fields.get("metadata")
        require_short(metadata)
        collection[image.url()] = Image(image.code(collection), metadata)

    @app.post("/models/{name}/add", status_code=204)
    async def add(name: str, request: Request) -> None:
        await put(name, request, replace=True)

    @app.post("/models/{name}/search_add", status_code=204)
    async def search_add(name: str, request: Request) -> None:
        await put(name, request, replace=False)

    @app.post("/models/{name}/add_bulk")
    async def add_bulk(name: str, request: Request) -> dict[str, Any]:
        collection, asked = model(name), await request.json()
        for position, image in enumerate(asked):
            require_short(image.get("metadata"), position)
        added, found, failed = [], [], []
        for image in asked:
            try:
                code = code_at(image["url"], collection)
            except Refused as error:
                failed.append({"url": image["url"], "error": error.body["detail"][0]["msg"]})
            else:
                (found if image["url"] in collection else added).append(image["url"])
                collection.setdefault(image["url"], Image(code, image.get("metadata")))
        return {"added": added, "found": found, "failed": failed}

    @app.post("/models/{name}/search")
    async def search(name: str, request: Request, response: Response) -> list[dict[str, Any]]:
        collection, query = model(name), await given(request)
        if "text" in query.fields:
            if query.fields["text"] != "Boots":
                raise Refused(422, {"detail": f"the model knows no class {query.fields['text']}"})
            code = 0
        else:
            code = query.code({} if query.fields.get("turned") else collection)
        found = []
        for url, image in passing(collection, query.fields.get("filter")).items():
            distance = min((each ^ image.code).bit_count() for each in positions(code, query.fields))
            if distance <= query.fields.get("max_distance", BITS):
                close = {"closeness": 1 - distance / BITS} if fake.calibrated else {}
                alike = {"similarity": similarity(0, (1 << distance) - 1)} | close
                if query.fields.get("turned"):
                    alike |= {"differing_bits": distance}
                found.append((distance, {"url": url, "metadata": image.metadata} | alike))
        found.sort(key=lambda match: match[0])
        best = [match for _, match in found[: query.fields.get("limit", 10)]]
        if fake.calibrated:
            response.headers["X-Hashlake-Nothing-Like-It"] = json.dumps(not best or best[0]["closeness"] < 0.9)
        return best

    @app.post("/models/{name}/compare")
    async def compare(name: str, request: Request) -> float:
        collection, both = model(name), await given(request)
        return similarity(both.code(collection), both.code(collection, "other", "other_image"))

    async def page(name: str, request: Request) -> list[tuple[str, Image]]:
        asked = await request.json()
        assert 1 <= asked["limit"] <= 16_384
        found = passing(model(name), asked.get("filter"))
        rest = [(url, image) for url, image in found.items() if url > asked.get("cursor", "")]
        return rest[: min(asked["limit"], fake.page)]

    @app.post("/models/{name}/urls")
    async def urls(name: str, request: Request) -> list[str]:
        return [url for url, _ in await page(name, request)]

    @app.post("/models/{name}/dump")
    async def dump(name: str, request: Request) -> list[dict[str, Any]]:
        return [
            {
                "url": url,
                "metadata": image.metadata,
                "embedding": base64.b64encode(image.code.to_bytes(8, "big")).decode(),
            }
            for url, image in await page(name, request)
        ]

    @app.post("/models/{name}/restore", status_code=204)
    async def restore(name: str, request: Request) -> None:
        restored = {
            image["url"]: Image(_code_of(image["embedding"], position), image.get("metadata"))
            for position, image in enumerate(await request.json())
        }
        model(name).update(restored)

    @app.post("/models/{name}/count")
    async def count(name: str, request: Request) -> int:
        return len(passing(model(name), (await request.json()).get("filter")))

    @app.post("/models/{name}/remove", status_code=204)
    async def remove(name: str, request: Request, response: Response) -> None:
        removed = model(name).pop((await request.json())["url"], None) is not None
        response.headers["X-Hashlake-Removed"] = json.dumps(removed)

    return app


def _code_of(embedding: Any, position: int) -> int:
    if isinstance(embedding, list):
        code = int("".join("1" if value > 0 else "0" for value in embedding), 2)
        width = len(embedding) // 8
    else:
        whole = base64.b64decode(embedding) if len(embedding) % 16 else bytes.fromhex(embedding)
        code, width = int.from_bytes(whole, "big"), len(whole)
    if width != BITS // 8:
        raise invalid(f"has {8 * width} bits, and the collection's codes have {BITS}", position, "embedding")
    return code


def _pairs(collection: dict[str, Image], most: int) -> Iterator[dict[str, Any]]:
    found = sorted(collection.items())
    for at, (url, image) in enumerate(found):
        for other, another in found[at + 1 :]:
            if (distance := (image.code ^ another.code).bit_count()) <= most:
                yield {"url": url, "other": other, "distance": distance}


def _groups(collection: dict[str, Image], most: int) -> Iterator[dict[str, Any]]:
    """Each with the first, where no group overlaps another."""
    taken: set[str] = set()
    for url, image in sorted(collection.items()):
        near = [pair for pair in _pairs(collection, most) if pair["url"] == url and url not in taken]
        if near:
            taken |= {url, *(pair["other"] for pair in near)}
            members = [{"url": pair["other"], "distance": pair["distance"]} for pair in near]
            yield {"images": [{"url": url, "distance": (image.code ^ image.code).bit_count()}, *members]}

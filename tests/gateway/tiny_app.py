"""An application of just the routers under test, and a client that calls it in this process."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry

from gateway.access import require_admin, require_search
from gateway.collection_metrics import CollectionMetrics
from gateway.errors import RequestRefused, error_body
from gateway.live import Live
from gateway.models import ModelFolder
from gateway.open_versions import OpenVersions
from gateway.settings import Settings
from gateway.thumbnail_cache import ThumbnailCache
from gateway.thumbnails import Thumbnails
from searcher.collections_store import Collections
from searcher.errors import BadVersionName, SearcherError, VersionMissing
from searcher.store import IndexStore
from tests.searcher.versions_by_hand import file_of


def settings_in(folder: Path, datalake: Path | None = None) -> Settings:
    """Settings of folders below ``folder``, which are made; pictures are in ``folder``/lake, or in its ``datalake``."""
    for name in ("lake", "models", "state", "store"):
        (folder / name).mkdir(exist_ok=True)
    return Settings(
        index_store=folder / "store",
        models=folder / "models",
        state=folder / "state",
        datalake_root=folder / "lake",
        datalake=datalake,
    )


def tiny_app(settings: Settings, *routers: APIRouter, key: bool = True) -> FastAPI:
    """``routers``, with the application's state. Requests have every right, or none without ``key``."""
    app = FastAPI()
    app.state.settings = settings
    app.state.versions = OpenVersions(IndexStore(settings.index_store))
    app.state.thumbnails = Thumbnails(ThumbnailCache(settings.state / "thumbnails", settings.thumbnail_cache_mb << 20))
    app.state.models = ModelFolder(settings.models)
    collections = Collections(settings.index_store)
    app.state.live = Live(collections, CollectionMetrics(collections, CollectorRegistry()), settings.fold_after)
    for router in routers:
        app.include_router(router)

    def let_pass() -> None:
        if not key:
            raise RequestRefused(HTTPStatus.UNAUTHORIZED, "no key")

    app.dependency_overrides = {require_admin: let_pass, require_search: let_pass}

    @app.exception_handler(RequestRefused)
    def refused(_request: Request, error: RequestRefused) -> JSONResponse:
        return JSONResponse(error_body(error.status, str(error)).model_dump(), error.status, error.headers)

    @app.exception_handler(SearcherError)
    def not_in_the_store(_request: Request, error: SearcherError) -> JSONResponse:
        status = {VersionMissing: 404, BadVersionName: 422}.get(type(error), 409)
        return JSONResponse(error_body(status, str(error)).model_dump(), status)

    return app


class Client:
    """Calls ``app`` without a network. ``urls`` asked for together are answered together."""

    def __init__(self, app: FastAPI) -> None:
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://hashlake")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, url, **options))

    def get(self, url: str, **headers: str) -> httpx.Response:
        return self.request("GET", url, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def get_all(self, urls: Sequence[str]) -> list[httpx.Response]:
        async def ask() -> list[httpx.Response]:
            return await asyncio.gather(*(self._client.get(url) for url in urls))

        return self._runner.run(ask())


def damage_first_images(table: Path) -> None:
    """Overwrite the page that holds the first rows of a large enough image table; sizes stay as they are."""
    content = bytearray(table.read_bytes())
    page = content.index(file_of("").digest) // 4096 * 4096
    content[page : page + 4096] = bytes(4096)
    table.write_bytes(content)

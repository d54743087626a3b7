"""An application of just the routers under test, and a client that calls it in this process."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from fastapi import APIRouter, FastAPI, Request, Response

from gateway.access.guards import require_admin, require_search
from gateway.errors import RequestRefused
from gateway.services import Services
from gateway.settings import GatewaySettings
from gateway.statuses import REFUSED, error_response, refusal_of
from tests.searcher.versions.versions_by_hand import file_of


def settings_in(folder: Path, datalake: Path | None = None) -> GatewaySettings:
    """Settings of folders below ``folder``, which are made; pictures are in ``folder``/lake, or in its ``datalake``."""
    for name in ("lake", "models", "state", "store"):
        (folder / name).mkdir(exist_ok=True)
    return GatewaySettings(
        index_store=folder / "store",
        models=folder / "models",
        state=folder / "state",
        datalake_root=folder / "lake",
        datalake=datalake,
    )


def tiny_app(settings: GatewaySettings, *routers: APIRouter, key: bool = True) -> FastAPI:
    """``routers``, with the gateway's services. Requests have every right, or none without ``key``."""
    app = FastAPI()
    app.state.services = Services.create(settings)
    for router in routers:
        app.include_router(router)

    def let_pass() -> None:
        if not key:
            raise RequestRefused(HTTPStatus.UNAUTHORIZED, "no key")

    app.dependency_overrides = {require_admin: let_pass, require_search: let_pass}

    def refused(_request: Request, error: Exception) -> Response:
        return error_response(refusal_of(error, settings.index_store))

    for kind in REFUSED:
        app.add_exception_handler(kind, refused)
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

    @contextmanager
    def running(self, services: AbstractAsyncContextManager[None]) -> Iterator[None]:
        """The application's services work within the block."""
        self._runner.run(services.__aenter__())
        try:
            yield
        finally:
            self._runner.run(services.__aexit__(None, None, None))

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, url, **options))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` where the application's services live."""
        self._runner.run(work)

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

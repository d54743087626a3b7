"""The gateway: one FastAPI application beside TorchServe.

    people, programs ─▶ /  /api/search  /predictions/…  /images  /thumbnails ─▶ TorchServe, the store's image tables
    curators         ─▶ /models/{model}/…  /api/collections                  ─▶ journals, TorchServe for codes
    operators        ─▶ /api/reindex  /api/jobs  /api/versions  /api/models  ─▶ the indexer, the store, TorchServe

It holds no model, and searches nothing. What curators do can have a port of its own, where Idios' clients find it.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway import collection_routes, health, idios, job_routes, models, passing, pictures, search, versions
from gateway.access import FailedTries, require_admin, require_own_site, require_search
from gateway.adding import Adding
from gateway.body_limit import BodyLimit
from gateway.collection_metrics import CollectionMetrics
from gateway.collection_thumbnails import CollectionThumbnails
from gateway.duplicates import Duplicates
from gateway.errors import RequestRefused, error_body
from gateway.fetching import Fetcher
from gateway.hashing import Hashing
from gateway.health import Measure, Metrics, Readiness
from gateway.keys import KEYS_FILE, KeyStore
from gateway.live import Live
from gateway.model_servers import ModelServers
from gateway.models import ModelFolder
from gateway.open_versions import OpenVersions
from gateway.reindexing import Reindexing
from gateway.settings import Settings
from gateway.store_errors import message_of, status_of
from gateway.thumbnail_cache import ThumbnailCache
from gateway.thumbnails import Thumbnails
from gateway.torchserve import TorchServe
from searcher.collections_store import Collections
from searcher.errors import SearcherError
from searcher.store import IndexStore

_PAGE = Path(__file__).parent / "page"
#: The page is made of this server's own files and of pictures that it makes itself.
_CONTENT_POLICY = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'"


def create_app(settings: Settings) -> FastAPI:
    """The application. Raises GatewayError when the file of the keys cannot be used."""
    keys = KeyStore(settings.state / KEYS_FILE)
    keys.has_admin()
    store = OpenVersions(IndexStore(settings.index_store))
    metrics = Metrics(store)
    collections = Collections(settings.index_store)
    collection_metrics = CollectionMetrics(collections, metrics.registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            TorchServe(settings.inference, settings.management) as torchserve,
            Fetcher(settings.fetching) as fetcher,
        ):
            app.state.torchserve = torchserve
            app.state.readiness = Readiness(torchserve, store)
            app.state.reindexing = reindexing = Reindexing(settings, torchserve)
            app.state.live = live = Live(collections, collection_metrics, settings.fold_after)
            app.state.model_servers = servers = ModelServers(torchserve, settings, collections)
            hashing = Hashing(torchserve, servers)
            app.state.adding = Adding(live, hashing, fetcher, settings)
            app.state.collection_thumbnails = small = CollectionThumbnails(app.state.thumbnails)
            live.folding.start()
            yield
            await hashing.close()
            await live.close()
            await small.close()
            await reindexing.close()

    app: FastAPI = FastAPIOffline(
        title="hashlake",
        version=version("hashlake"),
        description="Image retrieval: search, index versions, reindexing.",
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.settings = settings
    app.state.keys = keys
    app.state.failed_tries = FailedTries()
    app.state.versions = store
    app.state.models = ModelFolder(settings.models)
    app.state.thumbnails = Thumbnails(
        ThumbnailCache(settings.state / "thumbnails", settings.thumbnail_cache_mb * 1024 * 1024)
    )
    app.state.metrics = metrics
    app.state.duplicates = Duplicates(settings.index_store)
    for room in (passing, search, pictures, job_routes, versions, models, health):
        app.include_router(room.router)
    app.include_router(collection_routes.reading)
    app.include_router(collection_routes.managing)
    app.include_router(idios.reading, dependencies=[Depends(require_search)])
    app.include_router(idios.changing, dependencies=[Depends(require_admin)])
    app.include_router(idios.pinging)
    app.add_api_route("/", _index, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")
    app.add_exception_handler(RequestRefused, _refused)
    app.add_exception_handler(SearcherError, _searcher_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)
    app.add_middleware(BodyLimit)
    app.add_middleware(Measure, metrics=metrics)
    return app


def create_idios_app(gateway: FastAPI) -> FastAPI:
    """Only the routes that Idios has, as ``gateway`` answers them, for a port where no key is asked."""
    app = FastAPI(openapi_url=None)
    app.state = gateway.state
    for router in (idios.reading, idios.changing, idios.pinging):
        app.include_router(router, dependencies=[Depends(require_own_site)])
    app.add_middleware(BodyLimit)
    app.add_middleware(Measure, metrics=gateway.state.metrics)
    return app


async def _index() -> FileResponse:
    return FileResponse(_PAGE / "index.html", headers={"Content-Security-Policy": _CONTENT_POLICY})


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(error_body(status, message).model_dump(), status, headers)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    return _error(error.status, str(error), error.headers)


async def _searcher_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SearcherError)
    return _error(status_of(error), message_of(error, request.app.state.settings.index_store))


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return _error(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}")


async def _unforeseen(_request: Request, _unknown: Exception) -> Response:
    """The log has what it was."""
    return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "the gateway failed to answer; its log says why")


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, str(error.detail), error.headers)

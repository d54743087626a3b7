"""The gateway: one FastAPI application beside TorchServe.

    people, programs ─▶ /  /api/search  /predictions/…  /images  /thumbnails ─▶ TorchServe, the store's image tables
    curators         ─▶ /models/{model}/…  /api/collections                  ─▶ journals, TorchServe for codes
    operators        ─▶ /api/reindex  /api/jobs  /api/versions  /api/models  ─▶ the indexer, the store, TorchServe

It holds no model and does no searching itself. The curators' routes can also have a port of their own, for Idios'
clients. The extraction of elements has one, for extractorAPI's clients and others.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from contract.names import CODE_HEADER, DETAIL_HEADER, WORKER_HEADER
from gateway import health
from gateway.access.answer_headers import PAGE, AnswerHeaders
from gateway.access.guards import require_admin, require_own_site, require_search
from gateway.access.hosts import KnownHosts, own_names
from gateway.access.whole_bodies import WholeBodies
from gateway.collections import aliases, browsing, managing
from gateway.errors import RequestRefused
from gateway.extractor import app_keys
from gateway.extractor import job_routes as extractor_jobs
from gateway.extractor import routes as extractor_routes
from gateway.idios import changing, listing, searching
from gateway.idios.errors import DETAIL_ALONE
from gateway.idios.model_collections import made_when_asked
from gateway.images import originals
from gateway.metrics import Measure
from gateway.operations import job_routes, machine, models, versions
from gateway.prefix import RelativeRedirects
from gateway.reference_pages import documented_app
from gateway.search import api as search
from gateway.search import map_tiles, overview, predictions, search_form, words
from gateway.services import Services, services_of
from gateway.settings import GatewaySettings
from gateway.statuses import REFUSED, Unforeseen, error_response, refusal_of

_ROOMS = (
    predictions, search, words, overview, map_tiles, search_form, originals, job_routes, versions, models, machine,
    health,
)  # fmt: skip
_PAGE = Path(__file__).parent / "page"
#: What pages of HASHLAKE_ALLOWED_ORIGINS may read besides the body.
_EXPOSED = (
    "Content-Disposition", "ETag", "Location", "Retry-After", "Server-Timing",
    CODE_HEADER, DETAIL_HEADER, WORKER_HEADER, changing.REMOVED_HEADER,
)  # fmt: skip


def create_app(settings: GatewaySettings) -> FastAPI:
    """Returns the application. Raises GatewayError when the keys file or the jobs file cannot be used."""
    services = Services.create(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with services.running():
            yield

    app = documented_app(
        "hashlake",
        "Image retrieval: search, collections, index versions, reindexing.",
        version=version("hashlake"),
        servers=[{"url": settings.root_path}] if settings.root_path else None,
        lifespan=lifespan,
    )
    app.state.services = services
    for room in (predictions, health) if settings.shards else _ROOMS:
        app.include_router(room.router)
    if not settings.shards:  # what shards have in parts, their own gateways show and change
        _add_collections(app)
        app.add_api_route("/", _index, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")
    _add_refusals(app)
    app.add_middleware(predictions.PredictionsFirst)
    _add_doors(app, services)
    return app


def _add_collections(app: FastAPI) -> None:
    app.include_router(browsing.router)
    app.include_router(managing.router)
    app.include_router(aliases.router)
    app.include_router(searching.router, dependencies=[Depends(require_search)])
    app.include_router(listing.router, dependencies=[Depends(require_search)])
    app.include_router(changing.router, dependencies=[Depends(require_admin)])
    app.include_router(listing.pinging)


def create_idios_app(gateway: FastAPI) -> FastAPI:
    """Returns an application with Idios' routes only, sharing ``gateway``'s services, for a port that asks no key."""
    app = documented_app(
        "hashlake, as Idios",
        "The routes of Idios, for its clients. There is no key; `{model_name}` is a collection's name.",
        version=version("hashlake"),
    )
    app.state.services = gateway.state.services
    setattr(app.state, DETAIL_ALONE, True)
    for router in (searching.router, listing.router, changing.router):
        app.include_router(router, dependencies=[Depends(require_own_site), Depends(made_when_asked)])
    app.include_router(listing.pinging, dependencies=[Depends(require_own_site)])
    _add_doors(app, gateway.state.services)
    return app


def create_extractor_app(gateway: FastAPI) -> FastAPI:
    """Returns an application with the routes of the extraction API and a page that shows comparisons, sharing
    ``gateway``'s services, for a port of its own."""
    app = documented_app(
        "hashlake, elements of documents",
        "The routes of extractorAPI, for its clients, and jobs beside them.",
        version=version("hashlake"),
    )
    app.state = gateway.state
    app.include_router(extractor_routes.router)
    app.include_router(extractor_jobs.router)
    app.add_api_route("/", _documents, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE), name="page")
    app.add_exception_handler(app_keys.NoAppKey, app_keys.answer)
    _add_refusals(app)
    _add_doors(app, gateway.state.services)
    return app


def _add_refusals(app: FastAPI) -> None:
    for kind in REFUSED:
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)


def _add_doors(app: FastAPI, services: Services) -> None:
    """Adds what every request passes on its way in and every answer on its way out, from the inside outwards."""
    settings = services.settings
    app.add_middleware(WholeBodies, budget=services.bodies)
    app.add_middleware(Unforeseen)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=_EXPOSED,
        )
    app.add_middleware(KnownHosts, allowed=settings.allowed_hosts.with_names(settings.gateway_host, *own_names()))
    app.add_middleware(RelativeRedirects)
    app.add_middleware(Measure, metrics=services.metrics)
    app.add_middleware(AnswerHeaders)


async def _index() -> FileResponse:
    return FileResponse(_PAGE / "index.html", headers={"Content-Security-Policy": PAGE})


async def _documents() -> FileResponse:
    return FileResponse(_PAGE / "documents.html", headers={"Content-Security-Policy": PAGE})


async def _refused(request: Request, error: Exception) -> Response:
    return error_response(refusal_of(error, services_of(request).settings.index_store))


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        why = f"the body is not JSON: {first['ctx']['error']} at character {first['loc'][-1]}"
        return error_response(RequestRefused(HTTPStatus.BAD_REQUEST, why))
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    message = f"{where}: {first['msg']}"
    if first["loc"] == ("body",) and first["type"].endswith("attributes_type"):  # text, as FastAPI takes it for
        message = "the body must be a JSON object, and come with Content-Type: application/json"
    return error_response(RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, message))


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    reason = "no_such_route" if status == HTTPStatus.NOT_FOUND else None
    return error_response(RequestRefused(status, str(error.detail), error.headers, reason=reason))

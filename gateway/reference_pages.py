"""``/docs``: the routes for people, from the OpenAPI document, without an outside address."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline

from gateway.access.answer_headers import DOCS

_FOLDER = Path(__file__).parent / "reference"


def documented_app(title: str, description: str, **options: object) -> FastAPI:
    """Returns an application with its document at ``/openapi.json`` and that page; ``options`` are FastAPI's."""
    app: FastAPI = FastAPIOffline(
        title=title, description=description, docs_url=None, redoc_url=None,
        separate_input_output_schemas=False, **options,
    )  # fmt: skip
    app.add_api_route("/docs", _docs, include_in_schema=False)
    app.add_api_route("/redoc", _redoc, include_in_schema=False)
    app.mount("/reference", StaticFiles(directory=_FOLDER), name="reference")
    return app


async def _docs() -> FileResponse:
    return FileResponse(_FOLDER / "docs.html", headers={"Content-Security-Policy": DOCS})


async def _redoc() -> RedirectResponse:
    """FastAPI has a second page there, whose script asks elsewhere for a logo."""
    return RedirectResponse("docs")

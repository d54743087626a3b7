"""A store's version behind real HTTP, answered by the worker's own code, as a shard's gateway has it."""

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contract.names import PREDICTIONS
from embedding.embedder import Embedder
from gateway.readiness import Ready
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from searcher.versions.store import IndexStore
from tests.served_app import ServedApp


class ServedShard(ServedApp):
    """The current version of ``store``, asked with pictures and codes of ``model``."""

    def __init__(self, store: IndexStore, model: Embedder) -> None:
        self.store = store
        self._retrieval = Retrieval(model, Served(store.folder, model.identity), Metrics())
        routes = [Route(PREDICTIONS, self._predict, methods=["POST"]), Route("/readyz", self._readyz)]
        super().__init__(Starlette(routes=routes))

    async def _predict(self, request: Request) -> Response:
        item: dict[str, Any]
        if request.headers.get("content-type", "").startswith("multipart/"):
            async with request.form() as form:  # TorchServe gives parts as bytes
                item = {
                    name: value.encode() if isinstance(value, str) else await value.read()
                    for name, value in form.items()
                }
        else:
            item = {"body": await request.body()}
        (answer,) = await asyncio.to_thread(self._retrieval.answer, [item])
        return Response(answer.body, answer.status, dict(answer.headers), "application/json")

    async def _readyz(self, _request: Request) -> Response:
        return JSONResponse(Ready(ready=True, version=self.store.current(), workers=[]).model_dump(mode="json"))

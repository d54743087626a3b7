"""A search in one collection: asked of the served model that made its codes."""

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus

from anyio import to_thread
from pydantic import JsonValue

from gateway.errors import ModelGone
from gateway.services import Services
from gateway.torchserve.http import Answer
from searcher.open_collection import OpenCollection


async def ask(
    services: Services, collection: OpenCollection, fields: Mapping[str, JsonValue], data: bytes | None
) -> Answer:
    """Returns TorchServe's answer to a search with ``fields`` and the picture ``data`` in ``collection``."""
    torchserve, servers = services.torchserve, services.model_servers
    with suppress(ModelGone):
        async with servers.serving(await to_thread.run_sync(collection.identity)) as model:
            found = await torchserve.predict(fields, data, model)
        if found.status_code != HTTPStatus.CONFLICT:
            return found
    # That model was replaced or unloaded: look up again which one serves the collection.
    async with servers.serving_anew(collection.name) as model:
        return await torchserve.predict(fields, data, model)

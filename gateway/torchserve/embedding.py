"""Hashes pictures, and completes embeddings, with the model of the collection they are for."""

from collections.abc import Sequence
from contextlib import suppress

from contract.model import ModelIdentity
from contract.query import MAX_COMPLETED
from gateway.errors import ModelGone
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.model_servers import ModelServers
from gateway.torchserve.queue import Hashed, HashingQueue, completed


class Hashing:
    """One queue for each of ``torchserve``'s models, whose names ``servers`` knows. Belongs to one event loop."""

    def __init__(self, torchserve: TorchServeClient, servers: ModelServers) -> None:
        self._torchserve = torchserve
        self._servers = servers
        self._queues: dict[str, HashingQueue] = {}

    async def hash(self, data: bytes, model: ModelIdentity, lane: object = None) -> Hashed:
        """Returns the codes of the picture in ``data`` by ``model``, like ``HashingQueue.hash``; the result says which
        model really made them."""
        with suppress(ModelGone):
            hashed = await self._hash(data, model, lane)
            if hashed.model.sha256 == model.sha256:
                return hashed
        self._servers.forget(model)  # that model was replaced or unloaded
        return await self._hash(data, model, lane)

    async def complete(self, embeddings: Sequence[bytes], model: ModelIdentity) -> list[Hashed]:
        """Returns all vectors of pictures whose ``embeddings``, rows of float16, ``model`` made; the results say which
        model completed them. Raises RequestRefused (503) while nothing does."""
        with suppress(ModelGone):
            found = await self._complete(embeddings, model)
            if all(each.model.sha256 == model.sha256 for each in found):
                return found
        self._servers.forget(model)  # that model was replaced or unloaded
        return await self._complete(embeddings, model)

    async def close(self) -> None:
        """Give up pictures in progress and waiting."""
        for queue in self._queues.values():
            await queue.close()

    async def _complete(self, embeddings: Sequence[bytes], model: ModelIdentity) -> list[Hashed]:
        found = list[Hashed]()
        async with self._servers.serving(model) as name:
            for start in range(0, len(embeddings), MAX_COMPLETED):
                part = embeddings[start : start + MAX_COMPLETED]
                found += completed(await self._torchserve.complete(part, name), len(part))
        return found

    async def _hash(self, data: bytes, model: ModelIdentity, lane: object) -> Hashed:
        async with self._servers.serving(model) as name:
            queue = self._queues.get(name)
            if queue is None:
                queue = self._queues[name] = HashingQueue(self._torchserve, name)
            return await queue.hash(data, lane)

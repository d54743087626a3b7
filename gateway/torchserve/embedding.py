"""Hashes pictures with the model of the collection they are for."""

from contextlib import suppress

from contract.model import ModelIdentity
from gateway.errors import ModelGone
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.model_servers import ModelServers
from gateway.torchserve.queue import Hashed, HashingQueue


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

    async def close(self) -> None:
        """Give up pictures in progress and waiting."""
        for queue in self._queues.values():
            await queue.close()

    async def _hash(self, data: bytes, model: ModelIdentity, lane: object) -> Hashed:
        name = await self._servers.name_of(model)
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = HashingQueue(self._torchserve, name)
        return await queue.hash(data, lane)

"""Pictures hashed by the model of the collection that they are for."""

from contextlib import suppress

from gateway.hashing_queue import Hashed, HashingQueue
from gateway.model_servers import ModelServers
from gateway.torchserve import ModelGone, TorchServe
from searcher.manifest import ModelIdentity


class Hashing:
    """One queue for each of ``torchserve``'s models, which ``servers`` knows. Belongs to one event loop."""

    def __init__(self, torchserve: TorchServe, servers: ModelServers) -> None:
        self._torchserve = torchserve
        self._servers = servers
        self._queues: dict[str, HashingQueue] = {}

    async def hash(self, data: bytes, model: ModelIdentity, lane: object = None) -> Hashed:
        """The codes of the picture in ``data`` by ``model``, as ``HashingQueue.hash``; the answer says by which model
        they really are."""
        with suppress(ModelGone):
            hashed = await self._hash(data, model, lane)
            if hashed.model.sha256 == model.sha256:
                return hashed
        self._servers.forget(model)  # another model has taken that one's place, or it was unloaded
        return await self._hash(data, model, lane)

    async def close(self) -> None:
        """Give up what is under way and what waits."""
        for queue in self._queues.values():
            await queue.close()

    async def _hash(self, data: bytes, model: ModelIdentity, lane: object) -> Hashed:
        name = await self._servers.name_of(model)
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = HashingQueue(self._torchserve, name)
        return await queue.hash(data, lane)

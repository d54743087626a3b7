"""The collections as the gateway holds them: opened once, read in threads, written by one writer each.

read(collection, ask) ─▶ a thread ─▶ the newest view ─▶ answer
writer(collection)    ─▶ group commit ─▶ metrics ─▶ folding, past a threshold
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread

from gateway.collection_metrics import CollectionMetrics
from gateway.folding import Folding
from gateway.writer import Writer
from searcher.collection import Collection
from searcher.collections_store import Collections
from searcher.errors import CollectionMissing, SearcherError
from searcher.manifest import ModelIdentity
from searcher.overlay import View

Answer = TypeVar("Answer")


class Live:
    """Collections of ``collections``. Belongs to one event loop."""

    def __init__(self, collections: Collections, metrics: CollectionMetrics, fold_after: int) -> None:
        self.collections = collections
        self._metrics = metrics
        self.folding = Folding(fold_after, metrics)
        self._writers: dict[str, Writer] = {}

    async def close(self) -> None:
        """Write what was asked for, and end the fold that is under way."""
        for writer in list(self._writers.values()):
            await writer.close()
        await self.folding.close()

    async def open(self, name: str) -> Collection:
        """The collection ``name``. CollectionMissing where there is none."""
        return await to_thread.run_sync(self.collections.open, name)

    async def named(self, model: str) -> Collection:
        """The collection called ``model``, or else the only one with a model of that name. CollectionMissing."""
        return await to_thread.run_sync(self._named, model)

    async def delete(self, name: str) -> None:
        """Delete the collection ``name``. CollectionMissing, or CollectionInUse for ``default``."""
        await self.folding.stop(name)
        await to_thread.run_sync(self.collections.delete, name)
        self._writers.pop(name, None)

    async def read(self, collection: Collection, ask: Callable[[View], Answer]) -> Answer:
        """What ``ask`` makes, in a thread, of all that is in ``collection`` now."""
        return await to_thread.run_sync(lambda: ask(collection.view()))

    def writer(self, collection: Collection) -> Writer:
        """The one that writes ``collection``."""
        writer = self._writers.get(collection.name)
        if writer is None or writer.collection is not collection:  # it was deleted and made anew
            loop = asyncio.get_running_loop()

            def changed(added: int, removed: int) -> None:
                self._metrics.changed(collection.name, added, removed)
                loop.call_soon_threadsafe(self.folding.changed, collection)

            writer = self._writers[collection.name] = Writer(collection, changed)
        return writer

    def _named(self, model: str) -> Collection:
        try:
            return self.collections.open(model)
        except CollectionMissing:
            found = [each for name in self.collections.names() if (each := self._of(name, model)) is not None]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(each.name for each in found)
            raise CollectionMissing(f"several collections have the model {model}: name one of {names}")
        raise CollectionMissing(f"there is no collection {model[:100]}, and none with a model of that name")

    def _of(self, name: str, model: str) -> Collection | None:
        """The collection ``name``, if its model is called ``model``."""
        try:
            collection = self.collections.open(name)
            identity: ModelIdentity = collection.identity()
        except SearcherError:
            return None
        return collection if identity.name == model else None

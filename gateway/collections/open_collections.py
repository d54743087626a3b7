"""The gateway's collections: opened once, read in threads, written by one writer each.

read(collection, ask) ─▶ a thread ─▶ the newest view ─▶ answer
writer(collection)    ─▶ group commit ─▶ metrics ─▶ folding, past a threshold
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from weakref import WeakKeyDictionary

from anyio import to_thread

from contract.model import ModelIdentity
from contract.names import plain_model_name
from gateway.collections.folding import Folding
from gateway.collections.metrics import CollectionMetrics
from gateway.collections.writer import Writer
from gateway.torchserve.model_folder import ModelFolder
from searcher.collections import Collections
from searcher.copying import copy
from searcher.errors import CollectionMissing, SearcherError
from searcher.live.collection import Collection
from searcher.open_collection import OpenCollection, OpenView

Answer = TypeVar("Answer")


class OpenCollections:
    """Readers and writers of ``collections``. Belongs to one event loop."""

    def __init__(
        self, collections: Collections, models: ModelFolder, metrics: CollectionMetrics, fold_after: int
    ) -> None:
        self.collections = collections
        self._models = models
        self._metrics = metrics
        self.folding = Folding(fold_after, metrics)
        self._writers: dict[str, Writer] = {}
        # What was opened before a name moved → what the name means since.
        self._followed = WeakKeyDictionary[OpenCollection, OpenCollection]()

    async def close(self) -> None:
        """Write the changes that wait, and end a fold in progress."""
        for writer in list(self._writers.values()):
            await writer.close()
        await self.folding.close()

    async def open(self, name: str) -> OpenCollection:
        """Returns the collection ``name``. Raises CollectionMissing."""
        return await to_thread.run_sync(self.collections.open, name)

    async def named(self, model: str) -> OpenCollection:
        """Returns the collection called ``model``, or else the only one whose model answers to that name. Raises
        CollectionMissing."""
        return await to_thread.run_sync(self._named, model)

    async def delete(self, name: str) -> None:
        """Delete the collection ``name``. Raises CollectionMissing, and CollectionInUse for ``default``."""
        await self.folding.stop(name)
        await self._close_writer(name)
        await to_thread.run_sync(self.collections.delete, name)
        await self._close_writer(name)  # what was added meanwhile is refused

    async def give_name(self, name: str, to: str, *, keep: str | None, catch_up: bool) -> None:
        """As ``Collections.give_name``. With ``catch_up``, ``to`` first becomes a copy of what ``name`` means; changes
        to that wait meanwhile, and are then made to ``to``. Raises as ``copy``, too."""

        def given() -> None:
            self.collections.give_name(name, to, keep)

        try:
            before, after = await self.open(name), await self.open(to)
        except CollectionMissing:  # ``to`` is, or there is nothing to follow
            await to_thread.run_sync(given)
            return
        if not catch_up or before.folder == after.folder:
            await to_thread.run_sync(given)
            return
        writer = self.writer(before)
        async with writer.held():
            await to_thread.run_sync(copy, before, after)
            await to_thread.run_sync(given)
            after = await self.open(to)
            self._followed[before] = after
            writer.leave_to(self.writer(after))

    async def _close_writer(self, name: str) -> None:
        writer = self._writers.pop(name, None)
        if writer is not None:
            await writer.close()

    async def read(self, collection: OpenCollection, ask: Callable[[OpenView], Answer]) -> Answer:
        """Returns the result of ``ask``, called in a thread with the newest view of ``collection``."""
        return await to_thread.run_sync(lambda: ask(collection.view()))

    def writer(self, collection: OpenCollection) -> Writer:
        """Returns the one writer of ``collection``, or of what came in its place since it was opened."""
        collection = self._followed.get(collection, collection)
        writer = self._writers.get(collection.name)
        if writer is None or writer.collection is not collection:  # it was deleted and created again
            loop = asyncio.get_running_loop()

            def changed(added: int, removed: int) -> None:
                self._metrics.changed(collection.name, added, removed)
                if isinstance(collection, Collection):
                    loop.call_soon_threadsafe(self.folding.changed, collection)

            writer = self._writers[collection.name] = Writer(collection, changed)
        return writer

    def _named(self, model: str) -> OpenCollection:
        try:
            return self.collections.open(model)
        except CollectionMissing:
            having = self.with_models()
        plain = plain_model_name(model)
        found = [collection for collection, identity in having if plain_model_name(identity.name) == plain]
        if not found:  # further names are in the model's card
            called = {each.sha256 for each in self._models.called(model)}
            found = [collection for collection, identity in having if identity.sha256 in called]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(each.name for each in found)
            raise CollectionMissing(f"several collections have the model {model}: name one of {names}")
        raise CollectionMissing(f"there is no collection {model[:100]}, and none with a model of that name")

    def with_models(self) -> list[tuple[OpenCollection, ModelIdentity]]:
        """Returns all collections that can be read, and their models."""
        found: list[tuple[OpenCollection, ModelIdentity]] = []
        for name in self.collections.names():
            with suppress(SearcherError):
                collection = self.collections.open(name)
                found.append((collection, collection.identity()))
        return found

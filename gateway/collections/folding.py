"""Folding: a child process turns a collection's changes into a new version, one collection at a time.

    change ─▶ checked a second later: at least 50,000 changes, and a quarter of the collection? ─▶ fold

Reading a journal gets slower with its length, and a fold with the collection's size, so folding waits for both. Nobody
waits for such a fold, so it runs at low priority.
"""

import asyncio
import logging
import sys
from collections import Counter
from dataclasses import dataclass

from anyio import to_thread

from gateway.collections.metrics import CollectionMetrics
from gateway.errors import CommandFailed, FoldFailed
from gateway.processes import ChildProcess
from searcher.errors import SearcherError, VersionDamaged
from searcher.live.collection import Collection
from searcher.live.fold import DAMAGED

_log = logging.getLogger(__name__)

#: Changes within this time are checked together.
_LOOK_SECONDS = 1.0
#: Wait after a fold that failed, or found an indexer at work.
_RETRY_SECONDS = 60.0
_NICE = 15


@dataclass(frozen=True)
class Folded:
    """The version that is current now, its number of images, and the number of changes folded into it."""

    version: str
    count: int
    changes: int


class Folding:
    """Folds collections that have ``after`` changes or more. Belongs to one event loop."""

    def __init__(self, after: int, metrics: CollectionMetrics) -> None:
        self._after = after
        self._metrics = metrics
        self._changed: dict[str, Collection] = {}
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._child: ChildProcess | None = None
        self._folding: str | None = None
        self._ended: asyncio.Future[None] | None = None
        self._stops: Counter[str] = Counter()
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fold collections whose journals grow too long."""
        self._watch = asyncio.create_task(self._fold_what_is_due())

    async def close(self) -> None:
        """End a fold in progress, which leaves the collection as it was."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._end_child()

    async def stop(self, name: str) -> None:
        """End the fold of the collection ``name``, if one is in progress or waits, to make way for something else.
        Folding is tried again when the collection changes, or a minute later."""
        self._changed.pop(name, None)
        self._stops[name] += 1
        if self._folding == name and self._ended is not None:
            await self._end_child()  # one that is about to start notices by itself
            await asyncio.wait([self._ended])

    def changed(self, collection: Collection) -> None:
        """Check soon whether to fold ``collection``."""
        self._changed[collection.name] = collection
        self._wake.set()

    async def fold(self, collection: Collection, nice: int = 0) -> Folded:
        """Fold ``collection`` as soon as no other fold runs, in a process with the niceness ``nice``. Raises
        SearcherError (among them StoreBusy) and FoldFailed."""
        stops = self._stops[collection.name]
        async with self._one_at_a_time:
            self._folding, self._ended = collection.name, asyncio.get_running_loop().create_future()
            try:
                self._require_not_stopped(collection, stops)
                changes = await to_thread.run_sync(_changes, collection)
                if changes:
                    await self._run(collection, nice, stops)
                manifest = await to_thread.run_sync(lambda: collection.view().version.manifest)
                return Folded(manifest.version, manifest.count, changes)
            finally:
                self._folding = None
                self._ended.set_result(None)

    def _require_not_stopped(self, collection: Collection, stops: int) -> None:
        if self._stops[collection.name] != stops:
            raise FoldFailed("it was stopped")

    async def _run(self, collection: Collection, nice: int, stops: int) -> None:
        command = [sys.executable, "-m", "searcher.live.fold", str(collection.folder.absolute())]
        result = "failed"
        try:
            self._require_not_stopped(collection, stops)
            async with ChildProcess.started(command, nice=nice) as self._child:
                self._require_not_stopped(collection, stops)
                await self._child.succeeded()
            result = "succeeded"
        except CommandFailed as error:
            raise (VersionDamaged if error.status == DAMAGED else FoldFailed)(str(error)) from error
        except asyncio.CancelledError:
            result = ""
            raise
        finally:
            self._child = None
            if result:
                self._metrics.folded(collection.name, result)

    async def _end_child(self) -> None:
        if self._child is not None:
            await self._child.end()

    async def _fold_what_is_due(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_LOOK_SECONDS)
            self._wake.clear()
            changed, self._changed = self._changed, {}
            for collection in changed.values():
                try:
                    if await to_thread.run_sync(self._is_due, collection):
                        await self.fold(collection, _NICE)
                except (SearcherError, FoldFailed, OSError) as error:
                    if not collection.folder.is_dir():
                        continue  # deleted
                    _log.warning("the collection %s is not folded for now: %s", collection.name, error)
                    asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.changed, collection)

    def _is_due(self, collection: Collection) -> bool:
        changes = collection.unfolded()
        if changes < self._after:
            return False
        most = collection.require_changeable().count + changes
        return 4 * changes >= most or 4 * changes >= collection.view().count  # which reads all the changes


def _changes(collection: Collection) -> int:
    """Returns the number of changes to fold. Raises StoreBusy while an indexer, or a fold elsewhere, is at work, and
    VersionDamaged or JournalDamaged if there is nothing whole to fold."""
    with collection.store.indexing():
        collection.require_changeable()
        return collection.unfolded()

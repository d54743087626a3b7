"""Folding: a collection's changes become part of a new version, in a process of their own, one at a time.

    change ─▶ looked at a second later: 50,000 changes or more, and a quarter of the collection? ─▶ fold

Reading a journal costs with its length, a fold with the collection's, so folding waits for both. Nobody waits for such
a fold, and it takes what time the processor has left.
"""

import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import dataclass

from anyio import to_thread

from gateway.collection_metrics import CollectionMetrics
from searcher.collection import Collection
from searcher.errors import SearcherError

_log = logging.getLogger(__name__)

#: Changes are looked at together.
_LOOK_SECONDS = 1.0
#: After a fold that failed, or found an indexer at work.
_RETRY_SECONDS = 60.0
_NICE = 15


class FoldFailed(Exception):
    """A fold that was not done; the message says why, in one line."""


@dataclass(frozen=True)
class Folded:
    """The version that is current now, its images, and how many changes have become part of it."""

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
        self._child: asyncio.subprocess.Process | None = None
        self._folding: str | None = None
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to fold what grows too long."""
        self._watch = asyncio.create_task(self._fold_what_is_due())

    async def close(self) -> None:
        """End a fold that is under way, which leaves the collection as it was."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._end_child()

    async def stop(self, name: str) -> None:
        """End the fold of the collection ``name``, if one is under way: something else is to be done with it. It is
        begun again when the collection has changed, or a minute later."""
        self._changed.pop(name, None)
        if self._folding == name:
            await self._end_child()

    def changed(self, collection: Collection) -> None:
        """Look at ``collection`` soon."""
        self._changed[collection.name] = collection
        self._wake.set()

    async def fold(self, collection: Collection, nice: int = 0) -> Folded:
        """Fold ``collection`` now, after what is being folded; ``nice`` is how much everything else goes first.
        SearcherError, StoreBusy among them, or FoldFailed."""
        async with self._one_at_a_time:
            changes = await to_thread.run_sync(_changes, collection)
            if changes:
                self._folding = collection.name
                try:
                    await self._run(collection, nice)
                finally:
                    self._folding = None
            manifest = await to_thread.run_sync(lambda: collection.view().version.manifest)
            return Folded(manifest.version, manifest.count, changes)

    async def _run(self, collection: Collection, nice: int) -> None:
        try:
            self._child = child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "searcher.fold", str(collection.folder.absolute()),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the gateway, which ends it in order
            )  # fmt: skip
            with contextlib.suppress(OSError):  # it has ended already
                os.setpriority(os.PRIO_PROCESS, child.pid, nice)
            _, said = await child.communicate()
        except asyncio.CancelledError:
            await self._end_child()
            raise
        except OSError as error:
            self._metrics.folded(collection.name, "failed")
            raise FoldFailed(f"no process could be started ({error.strerror})") from error
        self._metrics.folded(collection.name, "failed" if child.returncode else "succeeded")
        if child.returncode:
            stopped = "it was stopped" if child.returncode < 0 else f"status {child.returncode}"
            lines = said.decode(errors="replace").strip().splitlines() or [stopped]
            raise FoldFailed(lines[-1].removeprefix("Error: "))

    async def _end_child(self) -> None:
        if self._child is not None and self._child.returncode is None:
            self._child.terminate()
            await self._child.wait()

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
                    _log.warning("the collection %s is not folded for now: %s", collection.name, error)
                    asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.changed, collection)

    def _is_due(self, collection: Collection) -> bool:
        changes = collection.unfolded()
        return changes >= self._after and 4 * changes >= collection.view().count


def _changes(collection: Collection) -> int:
    """How many changes there are to fold. StoreBusy while an indexer, or a fold elsewhere, is at work."""
    with collection.store.indexing():
        return collection.unfolded()

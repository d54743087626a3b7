"""Changes to one collection, in order of arrival: those that wait share a transaction, and so one sync to the disk.

    add, add_new, remove ─▶ queue ─▶ all that wait ─▶ Collection.add or .remove, in a thread ─▶ each caller's answer

While one transaction is written, the next one gathers: a lone change doesn't wait, and a thousand at once cost a few
syncs. Only this process adds and removes images (a fold doesn't change them), so whether an image is new is checked
just before it is written, and stays true.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from anyio import to_thread

from searcher.entry import Entry
from searcher.errors import ModelMismatch
from searcher.open_collection import OpenCollection


class MadeWith(Protocol):
    """The model that made a code."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True, eq=False)
class _Adding:
    """``made_with``: the model that made the codes; None if unknown."""

    additions: Sequence[Entry]
    made_with: MadeWith | None
    only_new: bool
    done: asyncio.Future[bool]


@dataclass(frozen=True, eq=False)
class _Removing:
    path: str
    done: asyncio.Future[bool]


class Writer:
    """Writes ``collection``. After each transaction, calls ``changed``, in a thread, with the numbers of images added
    and removed. Belongs to one event loop."""

    def __init__(self, collection: OpenCollection, changed: Callable[[int, int], None]) -> None:
        self.collection = collection
        self._changed = changed
        self._waiting: deque[_Adding | _Removing] = deque()
        self._task: asyncio.Task[None] | None = None
        self._at_work = asyncio.Lock()

    async def add(self, additions: Sequence[Entry], made_with: MadeWith | None) -> None:
        """Add ``additions``, or replace images of the same paths; they are on the disk when it returns. Raises as
        ``Collection.add``, and ModelMismatch if the collection's model isn't ``made_with``."""
        await self._put(_Adding(additions, made_with, False, asyncio.get_running_loop().create_future()))

    async def add_new(self, addition: Entry, made_with: MadeWith) -> bool:
        """Like ``add``, but does nothing and returns False if the path is there already."""
        return await self._put(_Adding([addition], made_with, True, asyncio.get_running_loop().create_future()))

    async def remove(self, path: str) -> bool:
        """Remove ``path``; the change is on the disk when it returns. Returns False if it wasn't there."""
        return await self._put(_Removing(path, asyncio.get_running_loop().create_future()))

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Within the block nothing is written, and changes wait."""
        async with self._at_work:
            yield

    def leave_to(self, other: "Writer") -> None:
        """Have ``other`` write what waits."""
        other._waiting.extend(self._waiting)
        self._waiting.clear()
        other._begin()

    async def close(self) -> None:
        """Write the changes that wait."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _put(self, change: _Adding | _Removing) -> bool:
        self._waiting.append(change)
        self._begin()
        return await change.done

    def _begin(self) -> None:
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._waiting:
            async with self._at_work:
                changes = [change for change in self._waiting if not change.done.cancelled()]
                self._waiting.clear()
                await self._written(changes)

    async def _written(self, changes: Sequence[_Adding | _Removing]) -> None:
        for _, alike in groupby(changes, key=type):
            together = list(alike)
            answers = await to_thread.run_sync(self._commit, together)
            for change, answer in zip(together, answers, strict=True):
                if change.done.done():  # its caller has gone
                    continue
                if isinstance(answer, Exception):
                    change.done.set_exception(answer)
                else:
                    change.done.set_result(answer)

    def _commit(self, changes: Sequence[_Adding | _Removing]) -> list[bool | Exception]:
        """Returns the answer to each of ``changes``, all of one kind. If they fail together, each is tried alone, so
        that one cannot spoil the others."""
        try:
            return [
                *self._add([change for change in changes if isinstance(change, _Adding)]),
                *self._remove([change for change in changes if isinstance(change, _Removing)]),
            ]
        except Exception as error:
            return [error] if len(changes) == 1 else [answer for each in changes for answer in self._commit([each])]

    def _add(self, changes: Sequence[_Adding]) -> list[bool]:
        if not changes:
            return []
        model = self.collection.identity()
        view = self.collection.view() if any(change.only_new for change in changes) else None
        together: dict[str, Entry] = {}
        answers = []
        for change in changes:
            if change.made_with is not None:
                require_model(self.collection.name, model, change.made_with)
            if change.only_new:
                assert view is not None
                path = change.additions[0].path
                if path in together or view.image(path) is not None:
                    answers.append(False)
                    continue
            together |= {addition.path: addition for addition in change.additions}
            answers.append(True)
        if together:
            try:
                self.collection.add(list(together.values()))
            except ValueError as error:  # another width: the model has changed since they were hashed
                raise ModelMismatch(str(error)) from error
            self._changed(len(together), 0)
        return answers

    def _remove(self, changes: Sequence[_Removing]) -> list[bool]:
        if not changes:
            return []
        view = self.collection.view()
        there = {change.path for change in changes if view.image(change.path) is not None}
        if there:
            self._changed(0, self.collection.remove(list(there)))
        answers = []
        for change in changes:
            answers.append(change.path in there)
            there.discard(change.path)
        return answers


def require_model(collection: str, model: MadeWith, made_with: MadeWith) -> None:
    """Raises ModelMismatch, naming both models, unless ``model``, which is ``collection``'s, is ``made_with``."""
    if model.sha256 != made_with.sha256:
        raise ModelMismatch(
            f"the collection {collection} holds codes of the model {model.name} (sha256 {model.sha256[:12]}…), and "
            f"{made_with.name} (sha256 {made_with.sha256[:12]}…) is served"
        )

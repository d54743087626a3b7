"""Changes to one collection, in the order they came: those that wait share a transaction, and so one sync to the disk.

    add, add_new, remove ─▶ queue ─▶ all that waits ─▶ Collection.add or .remove, in a thread ─▶ everybody's answer

While one transaction is written the next one gathers: a lone change waits for nobody, and a thousand at once cost a few
syncs. This process is the only one that adds and removes (a fold changes nothing of what is there), so whether an image
is new is asked just before it is written, and stays true.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from anyio import to_thread

from searcher.collection import Collection
from searcher.errors import ModelMismatch
from searcher.journal import Addition


class MadeWith(Protocol):
    """A model, as far as a writer asks."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True, eq=False)
class _Adding:
    """``made_with``: the model that made the codes; None where nobody can know."""

    additions: Sequence[Addition]
    made_with: MadeWith | None
    only_new: bool
    done: asyncio.Future[bool]


@dataclass(frozen=True, eq=False)
class _Removing:
    path: str
    done: asyncio.Future[bool]


class Writer:
    """Writes ``collection``; ``changed`` hears, after each transaction, how many images were added and removed. Belongs
    to one event loop."""

    def __init__(self, collection: Collection, changed: Callable[[int, int], None]) -> None:
        self.collection = collection
        self._changed = changed
        self._waiting: deque[_Adding | _Removing] = deque()
        self._task: asyncio.Task[None] | None = None

    async def add(self, additions: Sequence[Addition], made_with: MadeWith | None) -> None:
        """Add ``additions``, or replace images of the same paths; on the disk when it returns. As ``Collection.add``,
        and ModelMismatch where the collection's model isn't ``made_with``."""
        await self._put(_Adding(additions, made_with, False, asyncio.get_running_loop().create_future()))

    async def add_new(self, addition: Addition, made_with: MadeWith) -> bool:
        """As ``add``, but False, and nothing done, where the path is there already."""
        return await self._put(_Adding([addition], made_with, True, asyncio.get_running_loop().create_future()))

    async def remove(self, path: str) -> bool:
        """Remove ``path``; on the disk when it returns. False where it wasn't there."""
        return await self._put(_Removing(path, asyncio.get_running_loop().create_future()))

    async def close(self) -> None:
        """Write what was asked for."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _put(self, change: _Adding | _Removing) -> bool:
        self._waiting.append(change)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())
        return await change.done

    async def _write(self) -> None:
        while self._waiting:
            changes = [change for change in self._waiting if not change.done.cancelled()]
            self._waiting.clear()
            for _, alike in groupby(changes, key=type):
                together = list(alike)
                answers = await to_thread.run_sync(self._commit, together)
                for change, answer in zip(together, answers, strict=True):
                    if change.done.done():  # its asker has gone
                        continue
                    if isinstance(answer, Exception):
                        change.done.set_exception(answer)
                    else:
                        change.done.set_result(answer)

    def _commit(self, changes: Sequence[_Adding | _Removing]) -> list[bool | Exception]:
        """What to answer to each of ``changes``, which are alike: one that cannot be done isn't to spoil the others."""
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
        together: dict[str, Addition] = {}
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
            except ValueError as error:  # another width: a model has taken over since they were hashed
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
    """Raise ModelMismatch, naming both, unless ``model``, that of ``collection``, is the one that made a code."""
    if model.sha256 != made_with.sha256:
        raise ModelMismatch(
            f"the collection {collection} holds codes of the model {model.name} (sha256 {model.sha256[:12]}…), and "
            f"{made_with.name} (sha256 {made_with.sha256[:12]}…) is served"
        )

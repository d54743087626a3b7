"""Keeps a collection up to date with a source: passes that embed what was not embedded before.

    list, fixed first ─▶ what is new or has changed ─▶ read, embed ─▶ into the collection ─▶ recorded (watch_state.py)
                     └▶ what is gone ─▶ out of the collection, if wanted

The collection has one image for each name, so whatever is embedded twice replaces itself. What failed is recorded with
its reason, and tried again when its version changes.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.model import ModelIdentity
from contract.names import DEFAULT_COLLECTION
from embedding.embedder import Embedder
from indexer.changes import KnownVectors, names_of
from indexer.errors import IndexingError
from indexer.outcome import Embedded, Outcome, Skipped
from indexer.progress import Progress
from indexer.watch_state import Known, WatchState
from indexer.workers import Task, hash_here
from searcher.collections import Collections
from searcher.entry import Entry
from searcher.errors import CollectionMissing, StoreBusy
from searcher.live.collection import Collection
from searcher.open_collection import OpenCollection
from sources.errors import Unreadable
from sources.regions import Regions
from sources.source import Item, Source, Splitter

#: Changes of a collection after which a pass folds them into a version, as the gateway does.
_FOLD_AFTER = 50_000
#: Items that are forgotten in one transaction.
_GONE_AT_ONCE = 500


@dataclass(frozen=True)
class Pass:
    """What a pass came to: items ``listed``, images ``added`` or replaced, images ``removed``, items ``failed``, in
    this pass and ``failing`` altogether."""

    listed: int
    added: int
    removed: int
    failed: int
    failing: int


@dataclass(frozen=True)
class Watch:
    """Embeds a source's items with ``model`` into ``collection``. ``remove_gone``: what the source no longer has is
    removed. ``only_parts``: of the items only those that ``splitters`` take apart are embedded."""

    collection: OpenCollection
    model: Embedder
    splitters: Sequence[Splitter] = ()
    threads: int | None = None
    remove_gone: bool = False
    only_parts: bool = False

    def run(
        self,
        source: Source,
        name: str,
        done: Callable[[float], None] = lambda share: None,
        progress: Callable[[int, int], Progress] = Progress,
    ) -> Pass:
        """Make one pass over ``source``, whose state is kept under ``name``. ``done`` gets the share that is done.

        Raises IndexingError, the errors of the collection, and SourceError if the source fails as a whole.
        """
        try:
            with WatchState(self.collection.folder, name) as state:
                return self._run(source, state, done, progress)
        except sqlite3.Error as error:
            raise IndexingError(f"the state in {self.collection.folder} cannot be used: {error}") from error

    def _run(
        self,
        source: Source,
        state: WatchState,
        done: Callable[[float], None],
        progress: Callable[[int, int], Progress],
    ) -> Pass:
        state.regions_are(names_of([each for each in self.splitters if isinstance(each, Regions)]))
        listed, wanted = state.list_anew(self._listed(source))
        added = failed = worked = 0
        task = Task(source, KnownVectors(None, checksum=False), self.splitters)
        with (
            hash_here(self.model, task, threads=self.threads) as workers,
            progress(wanted, 0) if wanted else contextlib.nullcontext() as shown,
        ):
            for outcomes in workers.map(state.wanted()):
                new, bad = self._take(outcomes, state)
                added, failed, worked = added + new, failed + bad, worked + len(outcomes)
                done(worked / wanted)
                if shown is not None:
                    shown.advance(len(outcomes), bad)
        removed = self._remove_gone(state) if self.remove_gone else 0
        with contextlib.suppress(StoreBusy):  # somebody else folds
            if isinstance(self.collection, Collection) and self.collection.unfolded() >= _FOLD_AFTER:
                self.collection.fold()
        return Pass(listed, added, removed, failed, state.failed())

    def _listed(self, source: Source) -> Iterator[Item]:
        """Yields the items with their versions. What is unreadable already is listed too, to be recorded so."""
        for item in source.items():
            if self.only_parts and not any(each.splits(item) for each in self.splitters):
                continue
            try:
                item.name.encode()
            except UnicodeEncodeError:  # neither the state nor an answer could spell it
                continue
            with contextlib.suppress(Unreadable):
                item = source.with_version(item)
            yield item

    def _take(self, outcomes: Sequence[Outcome], state: WatchState) -> tuple[int, int]:
        """Put images into the collection, take out what earlier versions of their items had beyond them, and record
        both. Returns the numbers of images and of items without any."""
        entries: dict[str, Entry] = {}
        known, left, new = [], [], False
        for outcome in outcomes:
            names = []
            reasons = [image.reason for image in outcome.images if isinstance(image, Skipped)]
            for image in outcome.images:
                if isinstance(image, Embedded):
                    metadata = image.sourced.metadata
                    entries[image.file.path] = Entry(image.file.path, image.vectors, metadata, image.file.digest)
                    names.append(image.file.path)
            known.append(Known(outcome.item, "; ".join(reasons) or None if not names else None, names))
            before = state.images_of(outcome.item.name)
            left += [name for name in before if name not in names]
            new = new or not set(names).issubset(before)
        if new:
            state.intend(known)
        if entries:
            self.collection.add(list(entries.values()))
        if left:
            self.collection.remove(left)
        state.record(known)
        return len(entries), sum(not each.parts for each in known)

    def _remove_gone(self, state: WatchState) -> int:
        removed = 0
        while names := state.gone(_GONE_AT_ONCE):
            removed += self.collection.remove([image for name in names for image in state.images_of(name)])
            state.forget(names)
        return removed


def open_collection(store: Path, name: str, model: ModelIdentity, *, clean: bool = False) -> OpenCollection:
    """Returns the collection ``name`` for vectors of ``model``, made if there is none, or anew if ``clean``.

    Raises ModelMismatch if it holds those of another model, and IndexingError where ``default`` has no version yet or
    should be cleaned: its images are the datalake's.
    """
    collections = Collections(store)
    if clean:
        if name == DEFAULT_COLLECTION:
            raise IndexingError(
                "the collection default is the datalake's and is not cleaned: name another --collection"
            )
        with contextlib.suppress(CollectionMissing):
            collections.delete(name)
    collection: OpenCollection
    try:
        collection = collections.open(name)
    except CollectionMissing:
        store.mkdir(parents=True, exist_ok=True)
        collection = collections.create(name, model)
    collection.require_model(model)
    return collection

"""A collection: images that come and go while it is searched.

    collection = version (immutable) + journal (what has changed since) ─▶ view() ─▶ search, look up, list

The datalake's own index store is the collection ``default``; the others are index stores of their own below it.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

from searcher.errors import ChangesFolded, SearcherError, VersionMissing
from searcher.journal import JOURNAL_FILE, Addition, Journal
from searcher.manifest import Manifest, ModelIdentity
from searcher.overlay import Overlay, View
from searcher.store import IndexStore

#: How often a view is tried anew while versions change under it.
_TRIES = 5


class Collection:
    """The collection ``name`` in ``folder``; a search may use up to ``threads``. Threads may share it."""

    def __init__(self, name: str, folder: Path, threads: int = 1) -> None:
        self.name = name
        self.folder = folder
        self.store = IndexStore(folder)
        self.journal = Journal(folder)
        self._threads = threads
        self._lock = threading.Lock()
        self._overlay: Overlay | None = None
        self._signature: tuple[int, int] | None = None

    def view(self) -> View:
        """All that was acknowledged before this call. VersionMissing while there is no version; VersionDamaged,
        ModelMismatch or JournalDamaged where version and changes cannot be read, or don't go together."""
        for _ in range(_TRIES):
            overlay = self._current()
            try:
                return overlay.view()
            except ChangesFolded:
                with self._lock:
                    if self._overlay is overlay:
                        self._overlay = None
        return self._current().view()

    def identity(self) -> ModelIdentity:
        """The model whose codes the collection holds. VersionMissing while the datalake has no version."""
        return self._current().version.manifest.model

    def add(self, additions: Sequence[Addition]) -> None:
        """Add ``additions``, replacing images of the same path, in one transaction: on the disk, and part of every
        view, when this returns.

        Of two with one path the later counts. ValueError for codes of another width, texts that cannot be stored and
        metadata that is no JSON; ModelMismatch where the collection holds additions of another model than its version.
        """
        manifest = self._current().version.manifest
        for addition in additions:
            _check(addition, manifest.model)
        self.journal.add(additions, manifest)

    def remove(self, paths: Sequence[str]) -> int:
        """Remove ``paths``, in one transaction, as durably as ``add``. Answers how many of them were there."""
        view = self.view()
        there = [path for path in dict.fromkeys(paths) if view.image(path) is not None]
        if there:
            self.journal.remove(there, view.version.manifest)
        return len(there)

    def fold(self) -> Manifest | None:
        """Make version and changes a new version, the current one; the collection stays what it is. None where nothing
        has changed. StoreBusy while an indexer, or another fold, is at work."""
        from searcher.fold import fold  # writes with FAISS, which a server never needs

        return fold(self.store, self.journal)

    def unfolded(self) -> int:
        """How many images have changed since the current version was built."""
        return self.journal.changes(self._current().version.manifest.folded)

    def rest(self) -> None:
        """Close the files until they are needed again. Views that somebody has stay what they are."""
        with self._lock:
            self._overlay = None
        self.journal.close()

    def _current(self) -> Overlay:
        with self._lock:
            signature = self.store.signature()
            while self._overlay is None or signature != self._signature:
                if signature is None:
                    raise VersionMissing(f"no version is published in {self.folder} yet")
                try:
                    self._overlay = Overlay(self.store.open(threads=self._threads), self.folder / JOURNAL_FILE)
                    self._signature = signature
                except SearcherError:
                    if self.store.signature() == signature:
                        raise
                    signature = self.store.signature()  # another version became current, and this one was deleted
            return self._overlay


def _check(addition: Addition, model: ModelIdentity) -> None:
    path, detail_bytes = addition.path, (model.detail_bits or 0) // 8
    if not path or "\0" in path:
        raise ValueError("an image needs a path or URL, without zero bytes")
    for what, text in (("path or URL", path), ("metadata", addition.metadata), ("state of fetching", addition.fetched)):
        try:
            (text or "").encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"the {what} is no valid Unicode") from error
    if len(addition.code) * 8 != model.bits or len(addition.detail or b"") != detail_bytes:
        given = f"{8 * len(addition.code)}" + (f" + {8 * len(addition.detail)}" if addition.detail else "")
        wanted = f"{model.bits}" + (f" + {model.detail_bits}" if model.detail_bits else "")
        raise ValueError(f"{path}: the code has {given} bits, and codes of {model.name} have {wanted}")

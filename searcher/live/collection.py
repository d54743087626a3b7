"""A collection: images that come and go while it is searched.

    collection = version (immutable) + journal (what has changed since) ─▶ view() ─▶ search, look up, list

The datalake's own index store is the collection ``default``; the others are index stores of their own below it.
"""

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from contract.model import ModelIdentity
from searcher.entry import Entry, require_fitting
from searcher.errors import ChangesFolded, JournalDamaged, SearcherError, VersionMissing
from searcher.live.fold import fold
from searcher.live.follower import VersionFollower
from searcher.live.overlay import Overlay
from searcher.live.view import View
from searcher.versions.journal import JOURNAL_FILE, Journal
from searcher.versions.manifest import Manifest
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion

#: Attempts to make a view while versions change under it.
_TRIES = 5


class Collection:
    """The collection ``name`` in ``folder``; a search may use up to ``threads``. Threads may share it.

    ``warm_up`` and ``model`` are ``VersionFollower``'s.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        threads: int = 1,
        *,
        warm_up: bool = False,
        model: ModelIdentity | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.store = IndexStore(folder)
        self.journal = Journal(folder)
        self.follower = VersionFollower(self.store, threads, warm_up=warm_up, model=model)
        self._lock = threading.Lock()
        self._overlay: Overlay | None = None

    def view(self) -> View:
        """All changes acknowledged before this call, laid over the followed version. Raises VersionMissing while there
        is none; VersionDamaged, ModelMismatch or JournalDamaged if version and changes cannot be read, or don't fit
        each other."""
        for _ in range(_TRIES):
            overlay = self._current()
            with contextlib.suppress(ChangesFolded):
                return overlay.view()
            with self._lock:
                if self._overlay is overlay:  # there is a newer version
                    self._overlay = None
                    self.follower.look_again()
        raise JournalDamaged("the version that is used lacks changes, and no newer one can be used")

    def version(self) -> IndexVersion | None:
        """The followed version, as it was built, or None while there is none (``follower.reason``)."""
        try:
            with self._lock:
                return self.follower.version()
        except SearcherError:
            return None

    def identity(self) -> ModelIdentity:
        """The model whose codes the collection holds. VersionMissing while the datalake has no version."""
        return self._current().version.manifest.model

    def add(self, additions: Sequence[Entry]) -> None:
        """Add ``additions``, replacing images of the same path, in one transaction: on the disk, and part of every
        view, when this returns.

        Of two with one path, the later wins. Raises ValueError for codes of another width, texts that cannot be stored
        and metadata that is not JSON; ModelMismatch if there are additions of another model than the version's.
        """
        manifest = self.require_changeable()
        require_fitting(additions, manifest.model)
        self.journal.add(additions, manifest)

    def remove(self, paths: Sequence[str]) -> int:
        """Remove ``paths``, in one transaction, as durably as ``add``. Returns how many of them were there."""
        self.require_changeable()
        view = self.view()
        there = {path: image.digest for path in dict.fromkeys(paths) if (image := view.image(path)) is not None}
        if there:
            self.journal.remove(list(there), view.version.manifest, there)
        return len(there)

    def fold(self) -> Manifest | None:
        """Merge version and changes into a new current version; the collection's content stays the same. None if
        nothing has changed. Raises StoreBusy while an indexer, or another fold, is at work."""
        return fold(self.store, self.journal)

    def unfolded(self) -> int:
        """How many images have changed since the current version was built."""
        return self.journal.changes(self._current().version.manifest.folded)

    def rest(self) -> None:
        """Close the files until they are needed again. Existing views stay valid."""
        with self._lock:
            self._overlay = None
            self.follower.rest()
        self.journal.close()

    def require_model(self, model: ModelIdentity) -> None:
        """Raise ModelMismatch unless images of ``model`` may be added, and as ``view`` unless any may."""
        self.require_changeable().require_model(model)

    def require_changeable(self) -> Manifest:
        """The current version's manifest: changes are laid over that version, never over one used in its place. Raises
        as ``view``."""
        with self._lock:
            return self.follower.require_current().manifest

    def _current(self) -> Overlay:
        with self._lock:
            for _ in range(_TRIES):
                version = self.follower.version()
                if self._overlay is not None and self._overlay.version is version:
                    return self._overlay
                try:
                    self._overlay = Overlay(version, self.folder / JOURNAL_FILE)
                    return self._overlay
                except JournalDamaged:
                    if self.store.has(version.name):
                        raise
                    self.follower.look_again()  # deleted since it was opened, so another one is current
        raise VersionMissing(f"the versions of {self.folder} are deleted as soon as they are opened")

"""Lays the changes since a version was built over it, batch after batch.

    changes since the last check ─▶ hidden rows of the version, and a growing tail ─▶ a View

A view reads the version's files and the tail, and so never changes. Every batch checks for changes, and sees all that
were acknowledged before it began.
"""

import threading
from pathlib import Path

import numpy as np

from searcher.live.base_images import BaseImages
from searcher.live.bitmaps import Bitmap, number_in, with_rows
from searcher.live.changes import ChangeNumber, Changes
from searcher.live.tail import TailBuilder
from searcher.live.view import View
from searcher.versions.version import IndexVersion

#: Replaced images keep their place in the tail. It is rebuilt once they outnumber the living ones by more than this.
_SPARE = 10_000


class Overlay:
    """Lays the changes in the journal at ``journal`` over ``version``. Threads may share it."""

    def __init__(self, version: IndexVersion, journal: Path) -> None:
        self.version = version
        self._lock = threading.Lock()
        self._base = BaseImages(version)
        self._changes = Changes(version, journal)
        self._seen: ChangeNumber | None = None
        self._clear()

    def view(self) -> View:
        """The version with all changes acknowledged before this call.

        Raises ChangesFolded if the journal no longer has all changes since the version, because there is a newer one;
        JournalDamaged or ModelMismatch if the changes cannot be laid over it.
        """
        with self._lock:
            seen = self._changes.number()
            if seen != self._seen:
                if self._seen is not None and seen.file != self._seen.file:  # the old file's changes no longer hold
                    self._clear()
                self._refresh()
                self._seen = seen
            return self._current

    def _clear(self) -> None:
        manifest = self.version.manifest
        self._seq = manifest.folded
        self._hidden: Bitmap = np.zeros(-(-manifest.count // 8), np.uint8)
        self._hidden_count = 0
        self._tail = TailBuilder(manifest.model.spaces)
        self._current = self._view()

    def _refresh(self) -> None:
        read = self._changes.after(self._seq)
        if not read.changes:
            return
        if self._tail.dead > self._tail.living + _SPARE:
            self._clear()
            read = self._changes.after(self._seq)
        hidden = [change.row for change in read.changes if change.row is not None]
        if hidden:
            self._hidden = with_rows(self._hidden, hidden)  # a copy: views keep the old one
            self._hidden_count = number_in(self._hidden)
        self._tail.change(read)
        self._seq = read.changes[-1].seq
        self._current = self._view()

    def _view(self) -> View:
        count = self.version.manifest.count - self._hidden_count + self._tail.living
        hidden = self._hidden if self._hidden_count else None
        return View(self.version, self._seq, count, hidden, self._tail.tail(), self._base)

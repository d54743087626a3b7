"""Index versions kept open for reading rows: opening one maps files and opens SQLite, a page of results asks for many.

    name, or CURRENT's → forget what was deleted → the open version, or open it → forget what was asked for longest ago

Nothing is searched here: that is TorchServe's, and this process has neither the kernels nor the cores for it.
"""

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from searcher.errors import BadVersionName, VersionDamaged, VersionMissing
from searcher.images import IMAGES_FILE, ImageTable
from searcher.manifest import MANIFEST_FILE
from searcher.store import IndexStore, check_name
from searcher.version import IndexVersion

_Signature = tuple[int, int]


class OpenVersions:
    """The versions of ``store`` that were asked for last, open. Threads may share it.

    What leaves it is not closed: another thread may still be reading. The last to let go of it closes it.
    """

    LIMIT = 4

    def __init__(self, store: IndexStore) -> None:
        self.store = store
        self._open: OrderedDict[str, tuple[_Signature, IndexVersion]] = OrderedDict()
        self._lock = threading.Lock()

    def current(self) -> str | None:
        """The current version's name, or None. VersionDamaged when CURRENT holds none, which is no client's fault."""
        try:
            return self.store.current()
        except BadVersionName as error:
            raise VersionDamaged("CURRENT holds no version's name: promote a version") from error

    def get(self, name: str | None = None) -> IndexVersion:
        """Version ``name``, or the current one, for reading rows.

        Raises VersionMissing, VersionDamaged, and BadVersionName for what cannot be a name.
        """
        if name is not None:
            return self._get(check_name(name))
        while True:
            current = self.current()
            if current is None:
                raise VersionMissing("no version is published yet")
            try:
                return self._get(current)
            except (VersionMissing, VersionDamaged):
                if self.current() == current:
                    raise  # else another one was promoted, and this one deleted, in between

    def forget_deleted(self) -> None:
        """Let go of versions that are no longer in the store: until then they keep their place on the disk."""
        with self._lock:
            for name, (signature, _) in list(self._open.items()):
                if self._signature(name) != signature:
                    del self._open[name]

    def _get(self, name: str) -> IndexVersion:
        self.forget_deleted()
        with self._lock:
            kept = self._open.get(name)
            if kept is None:
                signature = self._signature(name)
                if signature is None:
                    raise VersionMissing(f"there is no version {name}")
                try:
                    kept = signature, self.store.open(name)
                except (VersionMissing, VersionDamaged, OSError) as error:
                    if isinstance(error, VersionMissing) or self._signature(name) is None:  # deleted meanwhile
                        raise VersionMissing(f"there is no version {name}") from error
                    raise
                self._open[name] = kept
                if len(self._open) > self.LIMIT:
                    self._open.popitem(last=False)
            self._open.move_to_end(name)
            return kept[1]

    def _signature(self, name: str) -> _Signature | None:
        """Tells a version from another one of its name, published after it was deleted. None when it isn't there."""
        try:
            status = os.stat(self.store.folder / name / MANIFEST_FILE)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


@contextmanager
def images_of(version: IndexVersion) -> Iterator[ImageTable]:
    """The image table of ``version``. What SQLite cannot read in the block becomes VersionDamaged."""
    try:
        yield version.images
    except sqlite3.Error as error:
        raise VersionDamaged(f"{IMAGES_FILE} of version {version.name} cannot be read ({error})") from error

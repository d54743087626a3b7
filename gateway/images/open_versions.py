"""Index versions whose image tables are kept open, since a page of results reads many rows.

    name, or CURRENT's → forget deleted versions → the open version, or open it → forget the least recently used

In place of a damaged current version, the newest whole one of its model is opened, as TorchServe's workers do. Codes
are not opened: TorchServe does the searching.
"""

import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from searcher.errors import VersionDamaged, VersionMissing
from searcher.versions.images import IMAGES_FILE, ImageTable
from searcher.versions.manifest import MANIFEST_FILE, Manifest
from searcher.versions.names import check_name
from searcher.versions.store import IndexStore
from searcher.versions.verdict import edition, refuse_if_damaged

_Signature = tuple[float, ...]


@dataclass(frozen=True)
class OpenVersion:
    """A version's manifest and its open image table."""

    manifest: Manifest
    images: ImageTable

    @property
    def name(self) -> str:
        return self.manifest.version


class OpenVersions:
    """Keeps the most recently used versions of ``store`` open. Threads may share it.

    A version that is dropped is not closed here, since another thread may still read it; it closes when the last
    reference to it goes.
    """

    LIMIT = 4

    def __init__(self, store: IndexStore) -> None:
        self.store = store
        self._open: OrderedDict[str, tuple[_Signature, OpenVersion]] = OrderedDict()
        self._lock = threading.Lock()

    def current(self) -> str | None:
        """Returns the current version's name, or None. Raises VersionDamaged if CURRENT holds no version's name."""
        return self.store.current()

    def get(self, name: str | None = None) -> OpenVersion:
        """Returns the version ``name``, or the current one, open for reading rows.

        Raises VersionMissing, VersionDamaged, and BadVersionName for an invalid name.
        """
        if name is not None:
            return self._get(check_name(name))
        while True:
            current = self.current() or self._require_current()
            try:
                return self._get(current)
            except (VersionMissing, VersionDamaged) as error:
                if self.current() == current:  # else another version was promoted, and this one deleted, in between
                    return self._substitute(current, error)

    def forget_deleted(self) -> None:
        """Drop versions that are no longer in the store: while open, they still take up disk space."""
        with self._lock:
            for name, (signature, _) in list(self._open.items()):
                if self._signature(name) != signature:
                    del self._open[name]

    def _require_current(self) -> str:
        try:
            return self.store.require_current()
        except VersionMissing as error:
            raise VersionMissing("no version is published yet") from error

    def _substitute(self, current: str, error: VersionMissing | VersionDamaged) -> OpenVersion:
        """Returns the newest whole version of the model of ``current``. Raises VersionDamaged if there is none."""
        for name in self.store.substitutes(current):
            try:
                return self._get(name)
            except (VersionMissing, VersionDamaged):
                continue
        if isinstance(error, VersionDamaged):
            raise error
        raise VersionDamaged(f"CURRENT names version {current}, which is not there: promote a version") from error

    def _get(self, name: str) -> OpenVersion:
        self.forget_deleted()
        with self._lock:
            kept = self._open.get(name)
            if kept is None:
                signature = self._signature(name)
                if signature is None:
                    raise VersionMissing(f"there is no version {name}")
                try:
                    kept = signature, _open(self.store, name)
                except (VersionMissing, VersionDamaged, OSError) as error:
                    if isinstance(error, VersionMissing) or self._signature(name) is None:  # deleted since
                        raise VersionMissing(f"there is no version {name}") from error
                    raise
                self._open[name] = kept
                if len(self._open) > self.LIMIT:
                    self._open.popitem(last=False)
            self._open.move_to_end(name)
            return kept[1]

    def _signature(self, name: str) -> _Signature | None:
        """Returns what tells a version from a later one of the same name; None if there is no such version."""
        folder = self.store.folder / name
        try:
            status = os.stat(folder / MANIFEST_FILE)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, *edition(folder)


def _open(store: IndexStore, name: str) -> OpenVersion:
    """Raises VersionDamaged if the image table is unreadable, or its size is not the manifest's."""
    manifest = store.manifest(name)
    refuse_if_damaged(store.folder / name)
    path: Path = store.folder / name / IMAGES_FILE
    with _damage(name):
        size, told = path.stat().st_size, manifest.files[IMAGES_FILE].size
        if size != told:
            raise VersionDamaged(f"{IMAGES_FILE} of version {name} has {size} bytes; its manifest says {told}")
        return OpenVersion(manifest, ImageTable(path))


@contextmanager
def images_of(version: OpenVersion) -> Iterator[ImageTable]:
    """Yields the image table of ``version``. SQLite errors in the block become VersionDamaged."""
    with _damage(version.name):
        yield version.images


@contextmanager
def _damage(name: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise VersionDamaged(f"{IMAGES_FILE} of version {name} cannot be read ({error})") from error

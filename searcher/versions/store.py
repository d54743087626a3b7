"""The index store: published versions, and which one is current.

    index_store/
      CURRENT              the served version's name, one line, replaced atomically
      1.5.0/               a published version, immutable
      .building/1.5.0/     a version being built; nothing reads it
      .deleted-…/          a deleted version, not yet gone from the disk
      CURRENT.next         the name that CURRENT gets next, to finish a publish that was killed half-way

Publishing: build in .building, sync to disk, write CURRENT.next, rename the folder, rename CURRENT.next. Whenever the
power fails, CURRENT names a whole version.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from contract.model import ModelIdentity
from searcher.errors import StoreBusy, StoreUnwritable, VersionDamaged, VersionExists, VersionInUse, VersionMissing
from searcher.scan.shortlist import Shortlist
from searcher.scan.tables import Mode
from searcher.versions import verdict
from searcher.versions.journal import Journal
from searcher.versions.manifest import MANIFEST_FILE, FileEntry, Manifest, file_entry, read_manifest, with_checksum
from searcher.versions.names import check_name, check_new_name, is_name, line_of
from searcher.versions.version import IndexVersion, verify

CURRENT_FILE = "CURRENT"
#: The first version of a collection, which is empty.
FIRST_VERSION = "0"
_NEXT_FILE = "CURRENT.next"
BUILDING = ".building"
_DELETED = ".deleted-"


class IndexStore:
    """The store in ``folder``, which need not exist yet: it is created with the first version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def current(self) -> str | None:
        """The current version's name, or None while there is none. Raises VersionDamaged if CURRENT holds no name."""
        try:
            name = (self.folder / CURRENT_FILE).read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise VersionDamaged(f"{CURRENT_FILE} cannot be read ({error.strerror})") from error
        if not is_name(name):
            raise VersionDamaged(f"{CURRENT_FILE} holds no version's name: promote a version")
        return name

    def require_current(self) -> str:
        """The current version's name. Raises VersionMissing if nothing has been published, VersionDamaged if CURRENT is
        lost or names no version."""
        name = self.current()
        if name is None and self.names():
            raise VersionDamaged(f"{CURRENT_FILE} is missing: promote a version")
        if name is None:
            raise VersionMissing(f"no version is published in {self.folder} yet")
        if not self.has(name):
            raise VersionDamaged(f"{CURRENT_FILE} names version {name}, which is not there: promote a version")
        return name

    def substitutes(self, name: str | None) -> list[str]:
        """The versions that may be served while version ``name`` is damaged, the newest first: those of its model, if
        that can be told."""
        manifests = self.manifests()
        model = next((each.model.sha256 for each in manifests if each.version == name), None)
        return [
            each.version for each in reversed(manifests) if each.version != name and model in (None, each.model.sha256)
        ]

    def signature(self) -> tuple[int, int] | None:
        """Changes whenever CURRENT is replaced; costs one stat. None while there is no CURRENT."""
        try:
            status = os.stat(self.folder / CURRENT_FILE)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def has(self, name: str) -> bool:
        return (self.folder / check_name(name) / MANIFEST_FILE).is_file()

    def manifest(self, name: str) -> Manifest:
        self._require(name)
        return read_manifest(self.folder / name)

    def names(self) -> list[str]:
        """All versions, readable or not, by name."""
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted(each.name for each in folders if is_name(each.name) and (each / MANIFEST_FILE).is_file())

    def manifests(self) -> list[Manifest]:
        """Manifests of all readable versions, oldest first."""
        found = []
        for name in self.names():
            try:
                found.append(read_manifest(self.folder / name))
            except VersionDamaged:
                continue  # `versions verify` says what is wrong with it
        return sorted(found, key=lambda manifest: (manifest.created, manifest.version))

    def open(self, name: str | None = None, threads: int = 1) -> IndexVersion:
        """Open version ``name``, or the current one, to search on up to ``threads`` threads. Raises VersionMissing or
        VersionDamaged."""
        if name is None:
            name = self.require_current()
        self._require(name)
        return IndexVersion(self.folder / name, threads)

    def verify(self, name: str) -> Manifest:
        """Compare every byte of version ``name`` with its manifest."""
        self._require(name)
        return verify(self.folder / name)

    def promote(self, name: str) -> None:
        """Make the published version ``name`` current, after verifying it. Changes to the collection since it was
        built are laid over it; raises ModelMismatch or JournalDamaged if they cannot be."""
        manifest = self.verify(name)
        with self._written(), self._switching():
            Journal(self.folder).check(manifest)
            self._require(name)  # still there: prune holds the same lock
            self._write_next(name)
            self._finish_switch()

    def previous(self) -> str:
        """The version published before the current one. Folds of the same version are skipped, since they hold the same
        images."""
        current = self.current()
        names = [manifest.version for manifest in self.manifests()]
        if current is not None and current not in names:
            raise VersionDamaged(
                f"the manifest of the current version, {current}, cannot be read, so nothing tells what was before; "
                f"promote one of: {', '.join(names) or 'none'}"
            )
        if current is None:
            raise VersionMissing(f"no version is current in {self.folder}, so there is none to go back from")
        line, _ = line_of(current)
        older = [name for name in names[: names.index(current)] if line_of(name)[0] != line]
        if not older:
            raise VersionMissing(f"no version in {self.folder} is older than the current one, {current}")
        return older[-1]

    def prune(self, keep: int) -> list[str]:
        """Delete all but the ``keep`` newest versions and the current one, and what killed builds left behind.

        A version and its folds count as one, and are kept together.

        Returns the names of the deleted versions. Processes that have one open keep their copy until they close it.
        """
        if not self.folder.is_dir():
            raise VersionMissing(f"{self.folder} is no index store")
        with self._written(), self.indexing():
            shutil.rmtree(self.folder / BUILDING, ignore_errors=True)
            with self._switching():  # no rollback to a version about to be deleted
                current = self.current()
                names = [manifest.version for manifest in self.manifests()]
                lines = list(dict.fromkeys(line_of(name)[0] for name in reversed(names)))
                kept = {*lines[:keep], *([line_of(current)[0]] if current else [])}
                doomed = [name for name in names if line_of(name)[0] not in kept]
                for name in doomed:
                    self._set_aside(name)
            self._delete_set_aside()
            return doomed

    def delete(self, name: str) -> None:
        """Delete version ``name``, whole or damaged. Raises VersionMissing, or VersionInUse for the current one.

        Works while another version is built: a process with ``name`` open, as an indexer has its base, keeps it.
        """
        self._require(name)
        with self._written(), self._switching():
            self._require(name)  # still there
            if name == self.current():
                raise VersionInUse(f"version {name} is the current one; promote another version before deleting it")
            self._set_aside(name)
        self._delete_set_aside()

    @contextmanager
    def indexing(self) -> Iterator[None]:
        """Lock the store for building or cleaning up. Raises StoreBusy at once if another process holds it.

        Promoting and rolling back remain possible. The kernel releases the lock when the process ends,
        however it ends.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".indexing.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                raise StoreBusy(f"another indexer (process {holder}) is working on {self.folder}") from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def recover(self) -> str | None:
        """Finish a publish that was killed between its two renames; returns that version's name. Needs ``indexing``."""
        try:
            name = (self.folder / _NEXT_FILE).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None
        with self._switching():
            if name in self.names():
                self._finish_switch()
                return name
            (self.folder / _NEXT_FILE).unlink(missing_ok=True)
            return None

    def building(self, name: str) -> Path:
        """The folder where version ``name`` is built. Raises VersionExists if it is already published."""
        if (self.folder / check_new_name(name)).exists():
            raise VersionExists(
                f"version {name} exists already and is never overwritten; choose another name "
                f"(`hashlake versions promote {name}` serves the existing one)"
            )
        return self.folder / BUILDING / name

    def publish(
        self,
        name: str,
        *,
        model: ModelIdentity,
        count: int,
        skipped: int,
        files: list[str],
        mode: Mode = "default",
        keep_current: bool = False,
        folded: int = 0,
        shortlists: Sequence[Shortlist] = (),
        replacing: str | None = None,
    ) -> Manifest:
        """Publish the version built as ``name``, and make it current unless ``keep_current``. ``files`` are the
        version's files; ``folded`` is the last change of the journal that they contain, and ``shortlists`` are as
        ``write_vectors`` measured them.

        Raises StoreBusy unless ``replacing``, if given, is still the current version; ModelMismatch or JournalDamaged
        if the collection's changes cannot be laid over the version.
        """
        folder = self.building(name)
        entries: dict[str, FileEntry] = {}
        for file in files:
            _sync(folder / file)
            entries[file] = file_entry(folder / file)
        manifest = with_checksum(
            Manifest(
                version=name, created=self._now(), model=model, count=count, skipped=skipped, mode=mode,
                folded=folded, shortlists=tuple(shortlists), files=entries,
            )
        )  # fmt: skip
        path = folder / MANIFEST_FILE
        path.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        _sync(path)
        _sync(folder)
        IndexVersion(folder).images.close()  # what cannot be opened is not published
        with self._switching():
            if replacing is not None and self.current() != replacing:
                raise StoreBusy(f"another version than {replacing} has become current meanwhile")
            if not keep_current:
                Journal(self.folder).check(manifest)
                self._write_next(name)
            os.rename(folder, self.folder / name)
            _sync(self.folder)
            if not keep_current:
                self._finish_switch()
        return manifest

    def _require(self, name: str) -> None:
        if not self.has(name):
            known = ", ".join(manifest.version for manifest in self.manifests()) or "none"
            raise VersionMissing(f"{self.folder} has no version {name} (it has: {known})")

    def _now(self) -> datetime:
        """The time, but later than that of every version: a clock that was set back must not change their order."""
        newest = max((manifest.created for manifest in self.manifests()), default=datetime.min.replace(tzinfo=UTC))
        return max(datetime.now(UTC), newest + timedelta(microseconds=1))

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Turns the block's OSErrors into StoreUnwritable."""
        try:
            yield
        except OSError as error:
            raise StoreUnwritable(f"{self.folder} cannot be written ({error.strerror})") from error

    @contextmanager
    def _switching(self) -> Iterator[None]:
        with (self.folder / ".current.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _set_aside(self, name: str) -> None:
        """Make version ``name`` disappear at once, however long its deletion takes. Needs ``_switching``."""
        os.rename(self.folder / name, self.folder / f"{_DELETED}{uuid4().hex}")
        verdict.forget(self.folder / name)

    def _delete_set_aside(self) -> None:
        """Delete the versions set aside, by whichever process; what fails is left to the next call."""
        for folder in self.folder.glob(f"{_DELETED}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _write_next(self, name: str) -> None:
        path = self.folder / _NEXT_FILE
        path.write_text(name + "\n", encoding="utf-8")
        _sync(path)
        _sync(self.folder)

    def _finish_switch(self) -> None:
        os.replace(self.folder / _NEXT_FILE, self.folder / CURRENT_FILE)
        _sync(self.folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The changes to a collection since its version was built: ``journal.db``, one SQLite file beside the versions.

Its tables are described in ``journal_rows.py``. A new change gets a higher number than all changes in versions, even
after a journal was lost.

Only the latest change of each image is kept, so laying changes over a version is idempotent. A version whose manifest
says ``folded`` lacks exactly the changes after that number. SQLite's write-ahead log lets every process read while one
writes, and a change is on the disk when its transaction returns. Then its number is noted beside the journal
(``acknowledged.py``), so that a journal that has lost changes is told from one that never had them.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from urllib.parse import quote

from searcher.entry import Entry
from searcher.errors import JournalDamaged, ModelMismatch
from searcher.versions.acknowledged import Acknowledged, sync_folder
from searcher.versions.journal_rows import SCHEMA, checksum_of, model, number, with_columns
from searcher.versions.manifest import Manifest

JOURNAL_FILE = "journal.db"

BUSY_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Journal:
    """The journal in ``folder``, created with the first change. Threads may share it.

    Raises JournalDamaged when SQLite fails, for example on a full disk; nothing is then half done.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE
        self.acknowledged = Acknowledged(folder)
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None
        self._files: Files | None = None

    def exists(self) -> bool:
        return self.path.exists()

    def add(self, additions: Sequence[Entry], version: Manifest) -> None:
        """Record ``additions``, made by the model of ``version``, the current one; they are on the disk when this
        returns. Raises ModelMismatch if other additions are of another model, and ValueError for metadata that is not
        JSON."""
        spaces = version.model.spaces
        with self._transaction(version) as connection:
            _claim(connection, version)
            last = _last(connection, version)
            columns = with_columns(connection, spaces)
            connection.executemany(
                f"INSERT OR REPLACE INTO entries(seq, path, removed, metadata, digest, fetched, {', '.join(columns)}) "
                f"VALUES (?, ?, 0, ?, ?, ?{', ?' * len(columns)})",
                (
                    _row(seq, each, [each.vectors[space.name] for space in spaces])
                    for seq, each in enumerate(additions, last + 1)
                ),
            )
            wrong = connection.execute(
                "SELECT path FROM entries WHERE seq > ? AND NOT "
                "(json_valid(coalesce(metadata, '0')) AND json_valid(coalesce(fetched, '0'))) LIMIT 1",
                (last,),
            ).fetchone()
            if wrong:
                raise ValueError(f"{wrong[0]}: the metadata is no JSON")
            _set_number(connection, "last", last + len(additions))

    def remove(
        self, paths: Sequence[str], version: Manifest, digests: Mapping[str, bytes | None] = MappingProxyType({})
    ) -> None:
        """Record the removal of ``paths``; it is on the disk when this returns. ``version`` is the current one, and
        ``digests`` are those of the pictures that are removed, as far as they are known."""
        with self._transaction(version) as connection:
            last = _last(connection, version)
            with_columns(connection)
            connection.executemany(
                "INSERT OR REPLACE INTO entries(seq, path, removed, digest, checksum) VALUES (?, ?, 1, ?, ?)",
                (
                    (seq, path, digests.get(path), checksum_of(seq, path, 1, None, digests.get(path), None, ()))
                    for seq, path in enumerate(paths, last + 1)
                ),
            )
            _set_number(connection, "last", last + len(paths))

    def state(self, path: str) -> bool | None:
        """Whether ``path`` is in the collection after its latest change; None if no change of it is known."""
        if not self.exists():
            return None
        with self._connected() as connection:
            found = connection.execute("SELECT removed FROM entries WHERE path = ?", (path,)).fetchone()
        return None if found is None else not found[0]

    def last(self) -> int:
        """The number of the newest change, 0 before the first."""
        if not self.exists():
            return 0
        with self._connected() as connection:
            return number(connection, "last")

    def trimmed(self) -> int:
        """The number of the newest change that is no longer kept."""
        if not self.exists():
            return 0
        with self._connected() as connection:
            return number(connection, "trimmed")

    def changes(self, after: int) -> int:
        """How many images have changed after change number ``after``."""
        if not self.exists():
            return 0
        with self._connected() as connection:
            (count,) = connection.execute("SELECT count(*) FROM entries WHERE seq > ?", (after,)).fetchone()
        return int(count)

    def removed(self) -> dict[str, bytes | None]:
        """The paths whose latest change is a removal, each with the digest of the picture that was removed; None if
        that isn't known."""
        if not self.exists():
            return {}
        with self._connected() as connection:
            return dict(connection.execute("SELECT path, digest FROM entries WHERE removed"))

    def trim(self, seq: int) -> None:
        """Drop the changes up to number ``seq``, which every version contains."""
        if not self.exists():
            return
        with self._connected() as connection, _begun(connection):
            _trim(connection, seq)

    def require_whole(self, version: Manifest) -> None:
        """Raise JournalDamaged if the journal has fewer changes than were acknowledged, and ``version`` lacks them."""
        acknowledged = self.acknowledged.read()  # first: changes may be acknowledged meanwhile
        if acknowledged > version.folded:
            require_acknowledged(acknowledged, self.last(), version)

    def check(self, manifest: Manifest) -> None:
        """Raise unless laying the changes over the version of ``manifest`` gives the collection: ModelMismatch for
        codes of another model, JournalDamaged if the version lacks changes that are no longer kept, or has more."""
        self.require_whole(manifest)
        if not self.exists():
            return
        with self._connected() as connection:
            last, trimmed, made_with = number(connection, "last"), number(connection, "trimmed"), model(connection)
            added = _additions(connection, manifest.folded)
        if added and made_with != manifest.model.sha256:
            raise ModelMismatch(
                f"{added} images were added with another model than {manifest.model.name}, which made version "
                f"{manifest.version}: remove them first"
            )
        if trimmed > manifest.folded:
            raise JournalDamaged(
                f"version {manifest.version} lacks changes of the collection that are no longer kept apart from "
                "newer versions"
            )
        if manifest.folded > last:
            raise JournalDamaged(
                f"version {manifest.version} contains changes of the collection that {self.path.name} never had: "
                "the file was lost, or is another"
            )

    def close(self) -> None:
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._create()
                if self._open is None or files_of(self.path) != self._files:
                    # A collection may be deleted and created again; and what is written to a deleted log is lost.
                    if self._open is not None:
                        self._open.close()
                    self._open = sqlite3.connect(
                        address(self.path, "rw"), timeout=BUSY_SECONDS, isolation_level=None, uri=True,
                        check_same_thread=False,
                    )  # fmt: skip
                    self._open.execute("PRAGMA synchronous = FULL")
                    self._open.execute("PRAGMA data_version").fetchone()  # opens the log
                    self._files = files_of(self.path)
                yield self._open
            except sqlite3.Error as error:
                raise JournalDamaged(f"{self.path.name} cannot be read or written ({error})") from error

    @contextmanager
    def _transaction(self, version: Manifest) -> Iterator[sqlite3.Connection]:
        """A transaction that records changes to ``version``. Raises JournalDamaged if earlier ones are lost."""
        acknowledged = self.acknowledged.read()
        if not self.exists():
            require_acknowledged(acknowledged, 0, version)
        with self._connected() as connection:
            with _begun(connection):
                before = number(connection, "last")
                require_acknowledged(acknowledged, before, version)
                try:
                    self.acknowledged.create(before)
                except OSError as error:
                    raise JournalDamaged(f"{self.path.name} cannot be written ({error.strerror})") from error
                yield connection
                last = number(connection, "last")
            try:
                self.acknowledged.write(last)
            except OSError as error:  # the changes themselves are safe
                logger.error("nothing notes which changes of the collection are safe: %s", error)

    def _create(self) -> None:
        """Create the file unless it exists. It appears whole, because readers look for it all the time."""
        if self.path.exists():
            return
        try:
            with TemporaryDirectory(prefix=".journal-", dir=self.path.parent) as folder:
                new = Path(folder) / JOURNAL_FILE
                connection = sqlite3.connect(new, isolation_level=None)
                connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {SCHEMA}")
                connection.close()
                os.link(new, self.path)
            sync_folder(self.path.parent)
        except FileExistsError:
            pass  # another process was first
        except OSError as error:
            raise JournalDamaged(f"{self.path.name} cannot be created ({error.strerror})") from error


def address(path: Path, mode: str) -> str:
    """The URI of the SQLite file at ``path``."""
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


#: Device and inode of the journal and of its write-ahead log, unique while they are open.
Files = tuple[tuple[int, int] | None, tuple[int, int] | None]


def files_of(path: Path) -> Files:
    """The files that are the journal at ``path`` now; None for one that isn't there."""
    return _identity(path), _identity(path.with_name(f"{path.name}-wal"))


def require_acknowledged(acknowledged: int, last: int, version: Manifest) -> None:
    """Raise JournalDamaged if the journal, whose newest change is ``last``, lacks changes that were ``acknowledged``
    and are not in ``version``."""
    if acknowledged > max(last, version.folded):
        raise JournalDamaged(
            f"{JOURNAL_FILE} has lost changes that were acknowledged: its last one is number {last}, and there were "
            f"{acknowledged}; bring back {JOURNAL_FILE} and {JOURNAL_FILE}-wal from a backup"
        )


@contextmanager
def _begun(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite rolls some back itself, as on a full disk
            connection.execute("ROLLBACK")
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _row(seq: int, entry: Entry, vectors: Sequence[bytes]) -> tuple[object, ...]:
    checksum = checksum_of(seq, entry.path, 0, entry.metadata, entry.digest, entry.fetched, vectors)
    return seq, entry.path, entry.metadata, entry.digest, entry.fetched, *vectors, checksum


def _claim(connection: sqlite3.Connection, version: Manifest) -> None:
    """Make this a journal of codes of ``version``'s model. Raises ModelMismatch."""
    made_with = model(connection)
    if made_with == version.model.sha256:
        return
    added = _additions(connection, version.folded)
    if added:
        raise ModelMismatch(
            f"{added} images were added with another model than {version.model.name}: remove them first"
        )
    if made_with is not None:
        # The changes in the version have the other model's codes: never lay them over an older version of this model.
        _trim(connection, version.folded)
    connection.execute("INSERT OR REPLACE INTO facts VALUES ('model', ?)", (version.model.sha256,))


def _trim(connection: sqlite3.Connection, seq: int) -> None:
    if seq > number(connection, "trimmed"):
        connection.execute("DELETE FROM entries WHERE seq <= ?", (seq,))
        _set_number(connection, "trimmed", seq)


def _additions(connection: sqlite3.Connection, after: int) -> int:
    (count,) = connection.execute("SELECT count(*) FROM entries WHERE seq > ? AND NOT removed", (after,)).fetchone()
    return int(count)


def _last(connection: sqlite3.Connection, version: Manifest) -> int:
    """The number of the newest change; if the journal was lost, of the newest that ``version`` contains."""
    last = number(connection, "last")
    if last >= version.folded:
        return last
    _set_number(connection, "trimmed", version.folded)
    return version.folded


def _set_number(connection: sqlite3.Connection, key: str, value: int) -> None:
    connection.execute("UPDATE numbers SET value = ? WHERE key = ?", (value, key))

"""What has changed in a collection since its version was built: ``journal.db``, one SQLite file beside the versions.

    entries(seq INTEGER PRIMARY KEY, path UNIQUE, removed, code, detail, metadata, digest, fetched)
    numbers(key PRIMARY KEY, value)      last: the newest change · trimmed: changes up to it are no longer kept
    facts(key PRIMARY KEY, value)        model: sha256 of the model that made the codes

A change gets a higher number than all that versions contain, even where a journal was lost.

Of each image only its latest change is kept, so laying them over a version gives the same whatever was laid over it
before: a version whose manifest says ``folded`` lacks just the changes after that one. SQLite's write-ahead log lets
every process read while one writes, and a change is on the disk when its transaction returns.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from searcher.errors import JournalDamaged, ModelMismatch
from searcher.manifest import Manifest

JOURNAL_FILE = "journal.db"

_SCHEMA = """
CREATE TABLE entries(
    seq INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, removed INTEGER NOT NULL,
    code BLOB, detail BLOB, metadata TEXT, digest BLOB, fetched TEXT);
CREATE TABLE numbers(key TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO numbers VALUES ('last', 0), ('trimmed', 0);
CREATE TABLE facts(key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class Addition:
    """An image that a collection is given: its path, or URL, ``code`` (bits / 8 bytes), and ``detail`` (detail_bits / 8
    bytes) where the model gives one.

    ``metadata`` is JSON text, ``digest`` the 16-byte BLAKE2b of the picture file, and ``fetched`` JSON text of what
    fetching it again needs.
    """

    path: str
    code: bytes
    detail: bytes | None = None
    metadata: str | None = None
    digest: bytes | None = None
    fetched: str | None = None


class Journal:
    """The journal in ``folder``, which has one as soon as something has changed. Threads may share it.

    Raises JournalDamaged for what SQLite cannot do, a full disk among it; nothing is then half done.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE
        self._lock = threading.Lock()
        self._open: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def exists(self) -> bool:
        return self.path.exists()

    def add(self, additions: Sequence[Addition], version: Manifest) -> None:
        """Note ``additions``, whose codes the model of ``version``, the current one, made, on the disk when this
        returns. ModelMismatch where other images' codes are of another model, and ValueError for metadata that is no
        JSON."""
        with self._transaction() as connection:
            _claim(connection, version)
            last = _last(connection, version)
            connection.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, 0, ?, ?, ?, ?, ?)",
                (
                    (seq, each.path, each.code, each.detail, each.metadata, each.digest, each.fetched)
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

    def remove(self, paths: Sequence[str], version: Manifest) -> None:
        """Note that ``paths`` are removed, on the disk when this returns; ``version`` is the current one."""
        with self._transaction() as connection:
            last = _last(connection, version)
            connection.executemany(
                "INSERT OR REPLACE INTO entries(seq, path, removed) VALUES (?, ?, 1)",
                ((seq, path) for seq, path in enumerate(paths, last + 1)),
            )
            _set_number(connection, "last", last + len(paths))

    def state(self, path: str) -> bool | None:
        """Whether ``path`` is in the collection by its latest change; None where no change of it is known."""
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
            return _number(connection, "last")

    def trimmed(self) -> int:
        """The number of the newest change that is no longer kept."""
        if not self.exists():
            return 0
        with self._connected() as connection:
            return _number(connection, "trimmed")

    def changes(self, after: int) -> int:
        """How many images have changed after change number ``after``."""
        if not self.exists():
            return 0
        with self._connected() as connection:
            (count,) = connection.execute("SELECT count(*) FROM entries WHERE seq > ?", (after,)).fetchone()
        return int(count)

    def removed(self) -> set[str]:
        """The paths whose latest change is that they were removed."""
        if not self.exists():
            return set()
        with self._connected() as connection:
            return {path for (path,) in connection.execute("SELECT path FROM entries WHERE removed")}

    def trim(self, seq: int) -> None:
        """Keep no changes up to number ``seq``: every version contains them."""
        if not self.exists():
            return
        with self._transaction() as connection:
            _trim(connection, seq)

    def check(self, manifest: Manifest) -> None:
        """Raise unless laying the changes over the version of ``manifest`` gives the collection: ModelMismatch for
        codes of another model, JournalDamaged where it lacks changes that are no longer kept."""
        if not self.exists():
            return
        with self._connected() as connection:
            last, trimmed, made_with = _number(connection, "last"), _number(connection, "trimmed"), _model(connection)
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
                file = identity(self.path)
                if self._open is None or file != self._file:  # a collection may be deleted and made anew
                    self._file = file
                    self._open = sqlite3.connect(
                        address(self.path, "rw"), timeout=BUSY_SECONDS, isolation_level=None, uri=True,
                        check_same_thread=False,
                    )  # fmt: skip
                    self._open.execute("PRAGMA synchronous = FULL")
                yield self._open
            except sqlite3.Error as error:
                raise JournalDamaged(f"{self.path.name} cannot be read or written ({error})") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite itself ends some, as on a full disk
                    connection.execute("ROLLBACK")
                raise

    def _create(self) -> None:
        """Make the file, unless there is one: it appears whole, for readers that look for it all the time."""
        if self.path.exists():
            return
        try:
            with TemporaryDirectory(prefix=".journal-", dir=self.path.parent) as folder:
                new = Path(folder) / JOURNAL_FILE
                connection = sqlite3.connect(new, isolation_level=None)
                connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {_SCHEMA}")
                connection.close()
                os.link(new, self.path)
            sync_folder(self.path.parent)
        except FileExistsError:
            pass  # another process was first
        except OSError as error:
            raise JournalDamaged(f"{self.path.name} cannot be created ({error.strerror})") from error


def address(path: Path, mode: str) -> str:
    """The SQLite file at ``path`` as a URI."""
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at ``path`` from others, as long as it is open. None where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _claim(connection: sqlite3.Connection, version: Manifest) -> None:
    """Make the journal one of the codes of ``version``'s model."""
    made_with = _model(connection)
    if made_with == version.model.sha256:
        return
    added = _additions(connection, version.folded)
    if added:
        raise ModelMismatch(
            f"{added} images were added with another model than {version.model.name}: remove them first"
        )
    if made_with is not None:
        # What the version contains was of the other model's codes: never to be laid over an older version of this one.
        _trim(connection, version.folded)
    connection.execute("INSERT OR REPLACE INTO facts VALUES ('model', ?)", (version.model.sha256,))


def _trim(connection: sqlite3.Connection, seq: int) -> None:
    if seq > _number(connection, "trimmed"):
        connection.execute("DELETE FROM entries WHERE seq <= ?", (seq,))
        _set_number(connection, "trimmed", seq)


def _additions(connection: sqlite3.Connection, after: int) -> int:
    (count,) = connection.execute("SELECT count(*) FROM entries WHERE seq > ? AND NOT removed", (after,)).fetchone()
    return int(count)


def _model(connection: sqlite3.Connection) -> str | None:
    found = connection.execute("SELECT value FROM facts WHERE key = 'model'").fetchone()
    return found and str(found[0])


def _number(connection: sqlite3.Connection, key: str) -> int:
    (value,) = connection.execute("SELECT value FROM numbers WHERE key = ?", (key,)).fetchone()
    return int(value)


def _last(connection: sqlite3.Connection, version: Manifest) -> int:
    """The number of the newest change. Where the journal was lost, of those that ``version`` contains."""
    last = _number(connection, "last")
    if last >= version.folded:
        return last
    _set_number(connection, "trimmed", version.folded)
    return version.folded


def _set_number(connection: sqlite3.Connection, key: str, value: int) -> None:
    connection.execute("UPDATE numbers SET value = ? WHERE key = ?", (value, key))

"""Reads a journal's changes to a version, and tells whether there are new ones.

Checking for changes costs microseconds (SQLite's ``data_version``). Only new changes are read.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from searcher.errors import ChangesFolded, JournalDamaged, ModelMismatch
from searcher.live.base_images import connected, failures
from searcher.versions.acknowledged import Acknowledged
from searcher.versions.images import close_after
from searcher.versions.journal import Files, address, files_of, require_acknowledged
from searcher.versions.journal_rows import model as model_of
from searcher.versions.journal_rows import number, read_columns, require_whole
from searcher.versions.version import IndexVersion


class Change(NamedTuple):
    """One change of the journal, and the ``row`` of its path in the version."""

    seq: int
    path: str
    removed: int
    row: int | None
    metadata: str | None
    digest: bytes | None
    fetched: str | None


class ChangesRead(NamedTuple):
    """``changes``, oldest first, and for each space the ``vectors`` of those that add an image, in the same order.

    Columns rather than an object per image, because fifty thousand may be read at once.
    """

    changes: list[Change]
    vectors: dict[str, list[bytes]]


class ChangeNumber(NamedTuple):
    """Differs after each change: ``file`` counts the files seen (0 for none); ``inside`` differs within one file."""

    file: int
    inside: int


class Changes:
    """The changes to ``version`` in the journal at ``journal``. It has its own connection: in the middle of another
    read, SQLite would not show changes made since that began.

    On a read-only file system SQLite can only read a journal that another process writes, since it cannot create the
    files that it needs beside it. Otherwise nothing changes, and the journal is read as a plain file until it does.
    """

    def __init__(self, version: IndexVersion, journal: Path) -> None:
        self._version = version
        self._journal = journal
        self._acknowledged = Acknowledged(journal.parent)
        self._attached: Files | None = None
        self._plain: tuple[int, ...] | None = None
        self._files = 0
        with failures(version):
            self._connection = connected(version)
        close_after(self, self._connection)

    def number(self) -> ChangeNumber:
        """Differs after a process, or a thread, has changed the journal or replaced its file."""
        with failures(self._version):
            self._attach()
            if self._attached is None:
                return ChangeNumber(0, 0)
            (inside,) = self._connection.execute("PRAGMA journal.data_version").fetchone()
        return ChangeNumber(self._files, int(inside))

    def after(self, seq: int) -> ChangesRead:
        """The changes after number ``seq``, oldest first. Raises ChangesFolded if some are no longer kept, and
        JournalDamaged if changes that were acknowledged are lost."""
        version, model = self._version, self._version.manifest.model
        acknowledged = self._acknowledged.read()  # first: more may be acknowledged meanwhile
        if self._attached is None:
            require_acknowledged(acknowledged, 0, version.manifest)
            return ChangesRead([], {})
        with failures(version):
            self._connection.execute("BEGIN")
            try:
                trimmed = number(self._connection, "trimmed", "journal")
                last = number(self._connection, "last", "journal")
                made_with = model_of(self._connection, "journal")
                rows = self._connection.execute(
                    "SELECT e.seq, e.path, e.removed, b.row, e.metadata, e.digest, e.fetched, "
                    f"{read_columns(self._connection, 'journal', model.spaces)} "
                    "FROM journal.entries e LEFT JOIN base.images b ON b.path = e.path WHERE e.seq > ? ORDER BY e.seq",
                    (seq,),
                ).fetchall()
            finally:
                self._connection.execute("COMMIT")
        if trimmed > seq:
            raise ChangesFolded(f"version {version.name} is older than the changes that are kept")
        if self._plain is not None and self._plain != self._unwritten():
            raise ChangesFolded(f"{self._journal.name} was written while it was read")
        require_acknowledged(acknowledged, last, version.manifest)
        added = [row for row in rows if not row[2]]
        if added and made_with != model.sha256:
            raise ModelMismatch(
                f"images were added with another model than {model.name}, which made version {version.name}"
            )
        fields = len(Change._fields)
        for row in rows:
            require_whole((*row[:3], *row[4:fields]), row[fields:-1], row[-1])
        vectors = {space.name: [row[fields + number] for row in added] for number, space in enumerate(model.spaces)}
        for space in model.spaces:
            width = space.row_bytes
            if any(len(vector or b"") != width for vector in vectors[space.name]):
                raise JournalDamaged(f"{self._journal.name} has codes of other widths than {model.name} makes")
        return ChangesRead([Change._make(row[:fields]) for row in rows], vectors)

    def _attach(self) -> None:
        """Attach the file that is there now."""
        found = files_of(self._journal)
        if found == self._attached and (self._plain is None or self._plain == self._unwritten()):
            return
        if self._attached is not None:
            self._connection.execute("DETACH journal")
            self._attached = self._plain = None
        if found[0] is None:
            return
        self._files += 1
        try:
            self._connection.execute("ATTACH ? AS journal", (address(self._journal, "rw"),))
        except sqlite3.OperationalError:
            plain = self._unwritten()
            if plain is None:
                raise
            self._connection.execute("ATTACH ? AS journal", (address(self._journal, "ro") + "&immutable=1",))
            self._plain = plain
        self._connection.execute("PRAGMA journal.data_version").fetchone()  # opens its write-ahead log
        self._attached = files_of(self._journal)

    def _unwritten(self) -> tuple[int, ...] | None:
        """Differs after the journal was written, while no process has it open; None while one has."""
        status = self._journal.stat()
        if self._journal.with_name(f"{self._journal.name}-wal").exists():
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

"""The tables of a journal, and how their rows are read: nothing that SQLite gives is taken on trust.

    entries(seq INTEGER PRIMARY KEY, path UNIQUE, removed, code, detail, metadata, digest, fetched,
            space_…,                     vectors of further spaces, once a model that has them adds images
            checksum)                    of the row, NULL in rows older than this column
    numbers(key PRIMARY KEY, value)      last: the newest change · trimmed: changes up to it are no longer kept
    facts(key PRIMARY KEY, value)        model: sha256 of the model that made the codes

SQLite has checksums in its write-ahead log, and none in the database itself.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from contract.space import CODE, DETAIL, Space
from searcher.errors import JournalDamaged

SCHEMA = """
CREATE TABLE entries(
    seq INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, removed INTEGER NOT NULL,
    code BLOB, detail BLOB, metadata TEXT, digest BLOB, fetched TEXT, checksum INTEGER);
CREATE TABLE numbers(key TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO numbers VALUES ('last', 0), ('trimmed', 0);
CREATE TABLE facts(key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_CHECKSUM = "checksum"


def checksum_of(
    seq: int,
    path: str,
    removed: int,
    metadata: str | None,
    digest: bytes | None,
    fetched: str | None,
    vectors: Iterable[bytes | None],
) -> int:
    """The CRC-32 of a row of ``entries``."""
    text = repr((seq, path, removed, metadata, fetched)).encode(errors="backslashreplace")
    return zlib.crc32(b"".join((text, digest or b"", *(vector or b"" for vector in vectors))))


def require_whole(row: Sequence[Any], vectors: Sequence[bytes | None], checksum: int | None) -> None:
    """Raise JournalDamaged unless ``row``, (seq, path, removed, metadata, digest, fetched), is what was written."""
    seq, path, removed, metadata, digest, fetched = row
    if checksum is not None and checksum != checksum_of(seq, path, removed, metadata, digest, fetched, vectors):
        raise JournalDamaged(f"journal.db: change {seq} is not what was written")


def read_columns(connection: sqlite3.Connection, schema: str, spaces: Sequence[Space]) -> str:
    """The columns of ``spaces`` and the checksum in the journal attached as ``schema``, for a SELECT from its entries
    ``e``; NULL for columns that no addition has needed yet."""
    there = _columns(connection, schema)
    wanted = [*map(column_of, spaces), _CHECKSUM]
    return ", ".join(f"e.{column}" if column in there else "NULL" for column in wanted)


def with_columns(connection: sqlite3.Connection, spaces: Sequence[Space] = ()) -> list[str]:
    """The columns of ``spaces`` and the checksum; adds the missing ones."""
    there, columns = _columns(connection, "main"), [*map(column_of, spaces), _CHECKSUM]
    for column in columns:
        if column not in there:
            kind = "INTEGER" if column == _CHECKSUM else "BLOB"
            connection.execute(f"ALTER TABLE entries ADD COLUMN {column} {kind}")
    return columns


def column_of(space: Space) -> str:
    return space.name if space.name in (CODE, DETAIL) else f"space_{space.name}"


def number(connection: sqlite3.Connection, key: str, schema: str = "main") -> int:
    """The number ``key``. Raises JournalDamaged where there is none."""
    found = connection.execute(f"SELECT value FROM {schema}.numbers WHERE key = ?", (key,)).fetchone()
    if found is None or not isinstance(found[0], int):
        raise JournalDamaged(f"journal.db doesn't say which change is its {key} one: a part of it is lost")
    return found[0]


def model(connection: sqlite3.Connection, schema: str = "main") -> str | None:
    """The sha256 of the model that made the codes, None before the first."""
    found = connection.execute(f"SELECT value FROM {schema}.facts WHERE key = 'model'").fetchone()
    return found and str(found[0])


def _columns(connection: sqlite3.Connection, schema: str) -> set[str]:
    return {name for _, name, *_ in connection.execute(f"PRAGMA {schema}.table_info(entries)")}

"""Row ↔ path: the image table of an index version, one SQLite file (``images.db``).

    images(row INTEGER PRIMARY KEY, path TEXT UNIQUE, size, mtime_ns, digest,   row i ↔ code i of index.faiss
           metadata, added, fetched)                                            of images that a collection was given
    skipped(path, reason)                                                       what has no row, and why
    build(key TEXT PRIMARY KEY, value)                                          the run that made the table

A published table is opened read-only and immutable: no locks, no journal, no surprise.
"""

import json
import sqlite3
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

IMAGES_FILE = "images.db"

#: The reason of listed images that were removed from the collection: the next index leaves them out as well.
REMOVED = "removed from the collection"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS images(
    row INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest BLOB NOT NULL,
    metadata TEXT, added INTEGER NOT NULL DEFAULT 0, fetched TEXT);
CREATE TABLE IF NOT EXISTS skipped(path TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS build(key TEXT PRIMARY KEY, value NOT NULL);
"""


@dataclass(frozen=True)
class ImageFile:
    """One indexed file: path as the listing spelled it, bytes, modification time, 16-byte BLAKE2b of its content."""

    path: str
    size: int
    mtime_ns: int
    digest: bytes


class ImageTable:
    """The image table at ``path``. Writable only while a version is built."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        if writable:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.executescript("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;" + _SCHEMA)
        else:
            # Every thread of an indexer asks its base version; SQLite itself serialises the calls.
            address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            close_after(self, self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def __len__(self) -> int:
        """Rows are 0, 1, 2, … without gaps, so the last one tells; counting would read the whole table."""
        (last,) = self._connection.execute("SELECT max(row) FROM images").fetchone()
        return 0 if last is None else int(last) + 1

    def paths(self, rows: list[int]) -> list[str]:
        """The paths of ``rows``, in their order. KeyError for a row that isn't there."""
        found = dict(
            self._connection.execute(
                "SELECT row, path FROM images WHERE row IN (SELECT value FROM json_each(?))", (json.dumps(rows),)
            )
        )
        return [found[row] for row in rows]

    def file(self, row: int) -> ImageFile | None:
        """The file on ``row``, or None."""
        found = self._connection.execute(
            "SELECT path, size, mtime_ns, digest FROM images WHERE row = ?", (row,)
        ).fetchone()
        return found and ImageFile(*found)

    def find(self, path: str) -> tuple[int, ImageFile] | None:
        """Row and file of ``path``, or None."""
        found = self._connection.execute(
            "SELECT row, size, mtime_ns, digest FROM images WHERE path = ?", (path,)
        ).fetchone()
        return found and (found[0], ImageFile(path, *found[1:]))

    def skipped_count(self) -> int:
        (count,) = self._connection.execute("SELECT count(*) FROM skipped").fetchone()
        return int(count)

    def skipped(self, limit: int, offset: int = 0) -> list[tuple[str, str]]:
        """``limit`` skipped paths from number ``offset`` on, each with its reason."""
        return self._connection.execute(
            "SELECT path, reason FROM skipped ORDER BY rowid LIMIT ? OFFSET ?", (limit, offset)
        ).fetchall()

    def build_facts(self) -> dict[str, str | int]:
        """What is known of the run that makes, or made, this table."""
        return dict(self._connection.execute("SELECT key, value FROM build"))

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def add(self, row: int, file: ImageFile) -> bool:
        """Give ``file`` the row; False, and nothing done, when its path has a row already."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO images(row, path, size, mtime_ns, digest) VALUES (?, ?, ?, ?, ?)",
            (row, file.path, file.size, file.mtime_ns, file.digest),
        )
        return cursor.rowcount == 1

    def give(self, path: str, metadata: str | None, fetched: str | None) -> bool:
        """Note what a collection was given of the image called ``path``; False where there is none."""
        cursor = self._connection.execute(
            "UPDATE images SET metadata = ?, fetched = ? WHERE path = ?", (metadata, fetched, path)
        )
        return cursor.rowcount == 1

    def add_given(self, row: int, path: str, digest: bytes, metadata: str | None, fetched: str | None) -> None:
        """Give an image that is in no listing the row."""
        self._connection.execute(
            "INSERT INTO images VALUES (?, ?, 0, 0, ?, ?, 1, ?)", (row, path, digest, metadata, fetched)
        )

    def skip(self, path: str, reason: str) -> None:
        self._connection.execute("INSERT INTO skipped VALUES (?, ?)", (path, reason))

    def note(self, facts: Iterable[tuple[str, str | int]]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO build VALUES (?, ?)", facts)


def close_after(user: object, connection: sqlite3.Connection) -> None:
    """Close ``connection`` as soon as nobody has ``user`` any more: by itself, Python would do so some time later."""
    weakref.finalize(user, connection.close)

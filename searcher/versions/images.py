"""Row ↔ path: the image table of an index version, one SQLite file (``images.db``).

    images(row INTEGER PRIMARY KEY, path TEXT UNIQUE, size, mtime_ns, digest,   row i ↔ code i of index.faiss
           metadata, added, fetched)                                            data given to a collection
    sourced(path, version, metadata)                                            what the sources say of images, where it
                                                                                isn't size and time; see Sourced
    skipped(path, reason, digest)                                               images without a row, and why; digest
                                                                                of one that was removed
    build(key TEXT PRIMARY KEY, value)                                          the run that made the table

A published table is opened read-only and immutable: no locks, no journal, no surprise.
"""

import json
import sqlite3
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

IMAGES_FILE = "images.db"

#: Why listed images that were removed from the collection are skipped: the next index leaves them out as well, unless
#: there is another picture by then.
REMOVED = "removed from the collection"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS images(
    row INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest BLOB NOT NULL,
    metadata TEXT, added INTEGER NOT NULL DEFAULT 0, fetched TEXT);
CREATE TABLE IF NOT EXISTS sourced(path TEXT PRIMARY KEY, version TEXT, metadata TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS skipped(path TEXT NOT NULL, reason TEXT NOT NULL, digest BLOB);
CREATE TABLE IF NOT EXISTS build(key TEXT PRIMARY KEY, value NOT NULL);
"""


@dataclass(frozen=True)
class ImageFile:
    """One indexed file: path as the listing spelled it, bytes, modification time, 16-byte BLAKE2b of its content."""

    path: str
    size: int
    mtime_ns: int
    digest: bytes


@dataclass(frozen=True)
class Sourced:
    """What a source says of an image: its ``version`` there, such as an ETag, and ``metadata``, JSON text."""

    version: str | None = None
    metadata: str | None = None


NOTHING_SAID = Sourced()


class ImageTable:
    """The image table at ``path``. Writable only while a version is built."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        if writable:
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.executescript("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;" + _SCHEMA)
            if not self._has_digests():  # of a build that was begun before there were any
                self._connection.execute("ALTER TABLE skipped ADD COLUMN digest BLOB")
        else:
            # All threads of an indexer query its base version; SQLite itself serialises the calls.
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
        """Rows are 0, 1, 2, … without gaps, so the last one gives the length; counting would read the whole table."""
        (last,) = self._connection.execute("SELECT max(row) FROM images").fetchone()
        return 0 if last is None else int(last) + 1

    def paths(self, rows: list[int]) -> list[str]:
        """The paths of ``rows``, in that order. Raises KeyError for a missing row."""
        found = dict(
            self._connection.execute(
                "SELECT row, path FROM images WHERE row IN (SELECT value FROM json_each(?))", (json.dumps(rows),)
            )
        )
        return [found[row] for row in rows]

    def file(self, row: int) -> ImageFile | None:
        """The file in ``row``, or None."""
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

    def find_all(self, paths: Sequence[str]) -> dict[str, tuple[int, ImageFile]]:
        """Row and file of those of ``paths`` that are there. One question for many costs two thirds of one for each."""
        marks = ",".join("?" * len(paths))
        found = self._connection.execute(
            f"SELECT row, path, size, mtime_ns, digest FROM images WHERE path IN ({marks})",  # noqa: S608 (marks alone)
            paths,
        ).fetchall()
        return {path: (row, ImageFile(path, size, mtime_ns, digest)) for row, path, size, mtime_ns, digest in found}

    def between(self, first: str, end: str) -> list[tuple[int, ImageFile]]:
        """Rows and files of the paths from ``first`` on and before ``end``, in code point order, by row."""
        found = self._connection.execute(
            "SELECT row, path, size, mtime_ns, digest FROM images WHERE path >= ? AND path < ? ORDER BY row",
            (first, end),
        ).fetchall()
        return [(row, ImageFile(*file)) for row, *file in found]

    def sourced(self, paths: Sequence[str]) -> dict[str, Sourced]:
        """What sources said of those of ``paths`` of which they said anything. Tables of files alone have none."""
        if not self._has_table("sourced"):
            return {}
        marks = ",".join("?" * len(paths))
        found = self._connection.execute(
            f"SELECT path, version, metadata FROM sourced WHERE path IN ({marks})",  # noqa: S608 (marks alone)
            paths,
        ).fetchall()
        return {path: Sourced(version, metadata) for path, version, metadata in found}

    def skipped_count(self, reason: str | None = None) -> int:
        """How many images are skipped, or how many for ``reason``."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM skipped WHERE ?1 IS NULL OR reason = ?1", (reason,)
        ).fetchone()
        return int(count)

    def removed(self) -> dict[str, bytes | None]:
        """The paths that are skipped because they were removed, each with the digest of the picture that was; None in
        older tables."""
        if not self._has_digests():
            found = self._connection.execute("SELECT path, NULL FROM skipped WHERE reason = ?", (REMOVED,))
        else:
            found = self._connection.execute("SELECT path, digest FROM skipped WHERE reason = ?", (REMOVED,))
        return dict(found)

    def skipped(self, limit: int, offset: int = 0) -> list[tuple[str, str]]:
        """Up to ``limit`` skipped paths from number ``offset`` on, each with its reason."""
        return self._connection.execute(
            "SELECT path, reason FROM skipped ORDER BY rowid LIMIT ? OFFSET ?", (limit, offset)
        ).fetchall()

    def build_facts(self) -> dict[str, str | int]:
        """Facts about the run that makes, or made, this table."""
        return dict(self._connection.execute("SELECT key, value FROM build"))

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def add(self, row: int, file: ImageFile, sourced: Sourced = NOTHING_SAID) -> bool:
        """Add ``file`` as ``row``, with what its source says of it. Returns False, and does nothing, if its path
        already has a row."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO images(row, path, size, mtime_ns, digest, metadata) VALUES (?, ?, ?, ?, ?, ?)",
            (row, file.path, file.size, file.mtime_ns, file.digest, sourced.metadata),
        )
        if cursor.rowcount == 1 and sourced != NOTHING_SAID:
            self._connection.execute(
                "INSERT INTO sourced VALUES (?, ?, ?)", (file.path, sourced.version, sourced.metadata)
            )
        return cursor.rowcount == 1

    def give(self, path: str, metadata: str | None, fetched: str | None) -> bool:
        """Set the metadata and fetch data of the image called ``path``. Returns False if there is none."""
        cursor = self._connection.execute(
            "UPDATE images SET metadata = ?, fetched = ? WHERE path = ?", (metadata, fetched, path)
        )
        return cursor.rowcount == 1

    def add_given(self, row: int, path: str, digest: bytes, metadata: str | None, fetched: str | None) -> None:
        """Add an image that is in no listing as ``row``."""
        self._connection.execute(
            "INSERT INTO images VALUES (?, ?, 0, 0, ?, ?, 1, ?)", (row, path, digest, metadata, fetched)
        )

    def take(self, other: Path, start: int, stop: int) -> None:
        """Add rows ``start`` to ``stop`` - 1 of the table at ``other``, numbered from 0, with all that is said of
        them."""
        self._connection.execute("ATTACH ? AS other", (str(other),))
        self.begin()
        self._connection.execute(
            "INSERT INTO images SELECT row - ?1, path, size, mtime_ns, digest, metadata, added, fetched"
            " FROM other.images WHERE row >= ?1 AND row < ?2 ORDER BY row",
            (start, stop),
        )
        if self._connection.execute("SELECT 1 FROM other.sqlite_schema WHERE name = 'sourced'").fetchone():
            self._connection.execute(
                "INSERT INTO sourced SELECT * FROM other.sourced WHERE path IN (SELECT path FROM main.images)"
            )
        self.commit()
        self._connection.execute("DETACH other")

    def skip(self, path: str, reason: str, digest: bytes | None = None) -> None:
        self._connection.execute("INSERT INTO skipped(path, reason, digest) VALUES (?, ?, ?)", (path, reason, digest))

    def _has_digests(self) -> bool:
        return any(name == "digest" for _, name, *_ in self._connection.execute("PRAGMA table_info(skipped)"))

    def _has_table(self, name: str) -> bool:
        return bool(self._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).fetchone())

    def note(self, facts: Iterable[tuple[str, str | int]]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO build VALUES (?, ?)", facts)


def close_after(user: object, connection: sqlite3.Connection) -> None:
    """Close ``connection`` as soon as ``user`` is freed; by itself, Python would close it some time later."""
    weakref.finalize(user, connection.close)

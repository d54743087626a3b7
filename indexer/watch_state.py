"""What a watch knows of each item, in ``watch.db`` beside the collection's journal: it goes when the collection does.

    items(source, name, version, reason)    embedded, or why it cannot be; in which version
    parts(source, name, part)               the images that an item has become, or was about to become
    regions(source, made)                   how the regions among them were made: with another detector, all are again
    listed(name, version, metadata)         the items of the present pass, fixed before any is worked on

The names of an item's images are noted before they are put into the collection, the item itself afterwards. If the
process is killed in between, the next pass embeds it again, under the same names; if the item has gone by then, or has
fewer pages, what it left in the collection is known: nothing is doubled, lost, or forgotten.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from sources.source import Item

STATE_FILE = "watch.db"
_BUSY_SECONDS = 30.0
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS items(
    source TEXT, name TEXT, version TEXT, reason TEXT, PRIMARY KEY(source, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts(
    source TEXT, name TEXT, part TEXT, PRIMARY KEY(source, name, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS regions(source TEXT PRIMARY KEY, made TEXT) WITHOUT ROWID;
CREATE TEMP TABLE listed(number INTEGER PRIMARY KEY, name TEXT UNIQUE, version TEXT, metadata TEXT);
"""
#: Wanted: what isn't known, or is known in another version. A source that tells no version has each item once.
_WANTED = """
FROM listed l LEFT JOIN items i ON i.source = :source AND i.name = l.name
WHERE (i.name IS NULL OR (l.version IS NOT NULL AND l.version IS NOT i.version))"""


class Known(NamedTuple):
    """One item and what became of it: ``reason`` why it is no image, None if it is; ``parts``: its images' names."""

    item: Item
    reason: str | None
    parts: Sequence[str]


class WatchState:
    """The state of the watch of ``source`` in the collection's ``folder``. Belongs to one thread."""

    def __init__(self, folder: Path, source: str) -> None:
        self._source = source
        self._connection = sqlite3.connect(folder / STATE_FILE, timeout=_BUSY_SECONDS, isolation_level=None)
        self._connection.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def regions_are(self, made: str) -> None:
        """Say how regions are ``made``, "" for not at all. Where they were made otherwise, all items are wanted again;
        what images they became is still known."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            before = self._connection.execute("SELECT made FROM regions WHERE source = ?", (self._source,)).fetchone()
            if (before[0] if before else "") != made:
                self._connection.execute("DELETE FROM items WHERE source = ?", (self._source,))
                self._connection.execute("INSERT OR REPLACE INTO regions VALUES (?, ?)", (self._source, made))

    def list_anew(self, items: Iterator[Item]) -> tuple[int, int]:
        """Fix the list of a pass. Returns how many items there are, and how many of them are wanted."""
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.execute("DELETE FROM listed")
            self._connection.executemany(
                "INSERT OR IGNORE INTO listed(name, version, metadata) VALUES (?, ?, ?)",
                ((item.name, item.version, item.metadata) for item in items),
            )
            (listed,) = self._connection.execute("SELECT count(*) FROM listed").fetchone()
            (wanted,) = self._connection.execute(f"SELECT count(*) {_WANTED}", {"source": self._source}).fetchone()
        return int(listed), int(wanted)

    def wanted(self) -> Iterator[Item]:
        """Yields the items to embed, in their order. What is recorded meanwhile doesn't change them."""
        last = 0
        while True:
            rows = self._connection.execute(
                f"SELECT l.number, l.name, l.version, l.metadata {_WANTED} AND l.number > :last ORDER BY l.number "
                "LIMIT 1000",
                {"source": self._source, "last": last},
            ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            for _, name, version, metadata in rows:
                yield Item(name, version=version, metadata=metadata)

    def intend(self, known: Sequence[Known]) -> None:
        """Note the images that items are about to become, beside what they were: on the disk when this returns."""
        rows = [(self._source, item.name, part) for item, _, parts in known for part in parts]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?, ?)", rows)

    def record(self, known: Sequence[Known]) -> None:
        """Record what became of items, in one transaction: on the disk when this returns."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for item, reason, parts in known:
                self._connection.execute(
                    "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", (self._source, item.name, item.version, reason)
                )
                self._connection.execute("DELETE FROM parts WHERE source = ? AND name = ?", (self._source, item.name))
                self._connection.executemany(
                    "INSERT INTO parts VALUES (?, ?, ?)", [(self._source, item.name, part) for part in parts]
                )

    def images_of(self, name: str) -> list[str]:
        """Returns the names of the images that the item called ``name`` has become, or was about to."""
        rows = self._connection.execute(
            "SELECT part FROM parts WHERE source = ? AND name = ?", (self._source, name)
        ).fetchall()
        return [part for (part,) in rows]

    def gone(self, limit: int) -> list[str]:
        """Returns up to ``limit`` names of known items that the present list lacks."""
        rows = self._connection.execute(
            "SELECT name FROM (SELECT name FROM items WHERE source = :source "
            "UNION SELECT name FROM parts WHERE source = :source) i "
            "WHERE NOT EXISTS (SELECT 1 FROM listed l WHERE l.name = i.name) LIMIT :limit",
            {"source": self._source, "limit": limit},
        ).fetchall()
        return [name for (name,) in rows]

    def forget(self, names: Sequence[str]) -> None:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            for table in ("items", "parts"):
                self._connection.executemany(
                    f"DELETE FROM {table} WHERE source = ? AND name = ?",  # noqa: S608 (two names of ours)
                    [(self._source, name) for name in names],
                )

    def failed(self) -> int:
        """Returns how many recorded items are no images."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM items WHERE source = ? AND reason IS NOT NULL", (self._source,)
        ).fetchone()
        return int(count)

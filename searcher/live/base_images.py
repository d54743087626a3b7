"""Queries on the images of a version and their metadata, by SQL over its image table."""

import contextlib
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from searcher.errors import JournalDamaged
from searcher.filters import Filter
from searcher.live.bitmaps import Bitmap, bitmap_of, packed
from searcher.live.sqlite_filter import sql_of
from searcher.versions.images import IMAGES_FILE, close_after
from searcher.versions.journal import BUSY_SECONDS, JOURNAL_FILE, address
from searcher.versions.version import IndexVersion

#: How many of the last used filters have their rows cached.
_FILTERS = 16

_HALF = re.compile("[\ud800-\udfff]")

# Older versions lack the columns of data given to a collection.
_NEW_BASE = "SELECT row, path, metadata, digest, fetched, added FROM base.images"
_OLD_BASE = "SELECT row, path, NULL AS metadata, digest, NULL AS fetched, 0 AS added FROM base.images"


class BaseImage(NamedTuple):
    """An image of the version, without its vectors."""

    row: int
    path: str
    metadata: str | None
    digest: bytes
    fetched: str | None


class BaseImages:
    """The images of ``version``. Threads may share it."""

    def __init__(self, version: IndexVersion) -> None:
        self._version = version
        self._lock = threading.RLock()
        self._bitmaps: dict[str, Bitmap] = {}
        self._tails: dict[str, tuple[list[str | None], NDArray[np.bool_]]] = {}
        with failures(version):
            self._connection = connected(version)
            columns = {name for _, name, *_ in self._connection.execute("PRAGMA base.table_info(images)")}
            images = _NEW_BASE if "metadata" in columns else _OLD_BASE
            self._connection.execute(f"CREATE TEMP VIEW base_images AS {images}")
        close_after(self, self._connection)

    def find(self, path: str) -> list[BaseImage]:
        """The image called ``path``, in a list of one or none."""
        try:
            path.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which no path has
            return []
        with self._lock, failures(self._version):
            rows = self._connection.execute(
                "SELECT row, path, metadata, digest, fetched FROM base_images WHERE path = ?", (path,)
            ).fetchall()
        return list(map(BaseImage._make, rows))

    def edited(self) -> list[tuple[BaseImage, bool]]:
        """The images that are in no listing or have metadata, each with whether it is in no listing."""
        with self._lock, failures(self._version):
            rows = self._connection.execute(
                "SELECT row, path, metadata, digest, fetched, added FROM base_images "
                "WHERE added OR metadata IS NOT NULL"
            ).fetchall()
        return [(BaseImage(*row), bool(added)) for *row, added in rows]

    def listed_of(self, paths: list[str]) -> set[str]:
        """Those of ``paths`` that came into the version from a listing."""
        with self._lock, failures(self._version):
            rows = self._connection.execute(
                "SELECT path FROM base_images WHERE NOT added AND path IN (SELECT value FROM json_each(?))",
                (json.dumps(paths),),
            ).fetchall()
        return {path for (path,) in rows}

    def page(self, after: str, where: Filter | None, wanted: Callable[[int], bool], limit: int) -> list[BaseImage]:
        """The first ``limit`` images after ``after``, by path, that meet ``where`` and whose rows are ``wanted``."""
        condition, parameters = _condition(where)
        sign, start = _behind(after)
        with self._lock, failures(self._version):
            rows = self._connection.execute(
                "SELECT row, path, metadata, digest, fetched FROM base_images "
                f"WHERE path {sign} ? AND {condition} ORDER BY path",
                (start, *parameters),
            )
            return list(map(BaseImage._make, islice((row for row in rows if wanted(row[0])), limit)))

    def named(self, rows: list[int]) -> dict[int, BaseImage]:
        """The images in the version's ``rows``."""
        if not rows:
            return {}
        with self._lock, failures(self._version):
            found = self._connection.execute(
                "SELECT row, path, metadata, digest, fetched FROM base_images "
                "WHERE row IN (SELECT value FROM json_each(?))",
                (json.dumps(rows),),
            ).fetchall()
        return {image.row: image for image in map(BaseImage._make, found)}

    def bitmap(self, where: Filter) -> Bitmap:
        """The version's rows that meet ``where``."""
        with self._lock, failures(self._version):
            known = self._bitmaps.pop(where.text, None)
            if known is None:
                condition, parameters = _condition(where)
                rows = self._connection.execute(f"SELECT row FROM base_images WHERE {condition}", parameters).fetchall()
                known = bitmap_of([row for (row,) in rows], self._version.manifest.count)
            _keep(self._bitmaps, where, known)
        return known

    def tail_bitmap(self, where: Filter, metadata: list[str | None], count: int) -> Bitmap:
        """Which of the first ``count`` of ``metadata``, a list that only grows, meet ``where``."""
        with self._lock:
            known = self._tails.pop(where.text, None)
            if known is None or known[0] is not metadata:
                known = (metadata, np.empty(0, bool))
                # The lists of earlier tails are large, and nobody asks for them again.
                self._tails = {text: each for text, each in self._tails.items() if each[0] is metadata}
            meeting = known[1]
            if len(meeting) < count:
                meeting = np.concatenate([meeting, self._meeting(where, metadata[len(meeting) : count])])
            _keep(self._tails, where, (metadata, meeting))
            return packed(meeting[:count])

    def _meeting(self, where: Filter, metadata: list[str | None]) -> NDArray[np.bool_]:
        condition, parameters = _condition(where)
        meeting = np.zeros(len(metadata), bool)
        with failures(self._version):
            self._connection.execute("BEGIN")
            try:
                self._connection.execute("CREATE TEMP TABLE added(place INTEGER PRIMARY KEY, metadata TEXT)")
                self._connection.executemany("INSERT INTO temp.added VALUES (?, ?)", enumerate(metadata))
                rows = self._connection.execute(
                    f"SELECT place FROM temp.added WHERE {condition}", parameters
                ).fetchall()
            finally:
                self._connection.execute("ROLLBACK")
        meeting[[place for (place,) in rows]] = True
        return meeting


def connected(version: IndexVersion) -> sqlite3.Connection:
    """A connection with the image table of ``version`` attached, as ``base``."""
    connection = sqlite3.connect(
        "file::memory:", timeout=BUSY_SECONDS, isolation_level=None, uri=True, check_same_thread=False
    )
    connection.execute("ATTACH ? AS base", (address(version.folder / IMAGES_FILE, "ro") + "&immutable=1",))
    return connection


@contextlib.contextmanager
def failures(version: IndexVersion) -> Iterator[None]:
    """Turn SQLite's errors in the block into JournalDamaged."""
    try:
        yield
    except sqlite3.Error as error:
        raise JournalDamaged(
            f"{JOURNAL_FILE}, or {IMAGES_FILE} of version {version.name}, cannot be read ({error})"
        ) from error


def _behind(after: str) -> tuple[str, str]:
    """How paths behind ``after``, by code points, compare to which text. No path has half of a surrogate pair, and
    SQLite takes none: those behind it begin with what follows all halves, U+E000."""
    half = _HALF.search(after)
    return (">", after) if half is None else (">=", after[: half.start()] + "\ue000")


def _condition(where: Filter | None) -> tuple[str, tuple[str | int | float, ...]]:
    if where is None:
        return "1", ()
    condition = sql_of(where)
    return condition.text, condition.parameters


def _keep(known: dict[str, Any], where: Filter, what: object) -> None:
    """Cache ``what`` for ``where``, and drop the least recently used filter from a full cache."""
    known[where.text] = what
    if len(known) > _FILTERS:
        del known[next(iter(known))]

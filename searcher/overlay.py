"""A version with the changes since it was built laid over it: what a collection holds at this moment.

    version, without the rows that were removed or replaced   ┐
    tail: the codes that were added since, in memory          ┘─▶ View: search, look up, list

Looking for changes costs microseconds (SQLite's ``data_version``), so every batch does, and sees all that was
acknowledged before it began. Both parts are searched exactly, and their answers merged: the order is that of one list,
the version's rows first, then what was added, in the order of adding.

Only what changes is read from the journal. A view answers from the version's files and the tail, and so stays what it
is.
"""

import contextlib
import json
import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from searcher.errors import ChangesFolded, JournalDamaged, ModelMismatch
from searcher.filters import Condition
from searcher.images import IMAGES_FILE, close_after
from searcher.journal import BUSY_SECONDS, JOURNAL_FILE, address, identity
from searcher.ranking import Ranking
from searcher.search import CodeIndex, Hits, Query
from searcher.version import IndexVersion, Matches

#: Replaced images keep their place in the tail; with more of these than of living ones and this many, it is rebuilt.
_SPARE = 10_000
#: Bitmaps of the version's rows that meet a condition, the last few asked for.
_CONDITIONS = 16

_Codes = NDArray[np.uint8]
#: Row, path, metadata, digest and fetched of an image of the version.
_Row = tuple[int, str, str | None, bytes, str | None]

# The version's images as the journal's entries are: older versions have no columns for what a collection is given.
_NEW_BASE = "SELECT row, path, metadata, digest, fetched, added FROM base.images"
_OLD_BASE = "SELECT row, path, NULL AS metadata, digest, NULL AS fetched, 0 AS added FROM base.images"


@dataclass(frozen=True)
class Image:
    """One image of a collection; ``code`` and ``detail`` as bytes, the rest as it was given (``journal.Addition``)."""

    path: str
    code: bytes
    detail: bytes | None
    metadata: str | None
    digest: bytes | None
    fetched: str | None


@dataclass(frozen=True)
class Given:
    """An image that was added, or given metadata; ``listed`` if it comes from the datalake's listing."""

    image: Image
    listed: bool


@dataclass(frozen=True)
class _Tail:
    """What was added, in the order of adding; ``alive`` is a bitmap of what has not been removed or replaced since.

    All but that is shared with later tails and only grows, so ``count`` says how much of it counts. ``latest`` is the
    last place of each path, and ``earlier`` the place that a path had before, -1 for none.
    """

    count: int
    codes: _Codes
    details: _Codes | None
    alive: _Codes
    paths: list[str]
    metadata: list[str | None]
    digests: list[bytes | None]
    fetched: list[str | None]
    latest: dict[str, int]
    earlier: list[int]

    def find(self, path: str) -> int | None:
        """Where ``path`` is, unless it isn't there, or no more."""
        place = self.latest.get(path, -1)
        while place >= self.count:
            place = self.earlier[place]
        return place if place >= 0 and _has(self.alive, place) else None

    def image(self, place: int) -> Image:
        return Image(
            self.paths[place],
            self.codes[place].tobytes(),
            None if self.details is None else self.details[place].tobytes(),
            self.metadata[place],
            self.digests[place],
            self.fetched[place],
        )


@dataclass(frozen=True)
class View:
    """A collection after change number ``seq``: ``count`` images. It stays what it is while the collection changes."""

    version: IndexVersion
    seq: int
    count: int
    _hidden: _Codes | None
    _tail: _Tail
    _reader: "_Reader"

    def search(self, queries: Sequence[Query], condition: Condition | None = None) -> list[Matches]:
        """The images nearest to each of ``queries`` among those that meet ``condition``, in the order of
        ``Ranking.search``, which also says what is a ValueError."""
        base_allowed = self._shown
        if condition is not None:
            meeting = self._reader.bitmap(condition)
            base_allowed = meeting if base_allowed is None else meeting & base_allowed
        found = self.version.hits(queries, base_allowed)
        tail = self._tail
        if tail.count:
            alive = tail.alive
            if condition is not None:
                alive = alive & self._reader.tail_bitmap(condition, tail.metadata, tail.count)
            nearer = [_nearer(query, base) for query, base in zip(queries, found, strict=True)]
            added = self._tail_ranking.search(nearer, alive)
            found = [
                _merged(query, base, more, self.version.manifest.count)
                for query, base, more in zip(queries, found, added, strict=True)
            ]
        return [self._matches(hits) for hits in found]

    def image(self, path: str) -> Image | None:
        """The image called ``path``, or None."""
        place = self._tail.find(path)
        if place is not None:
            return self._tail.image(place)
        found = [row for row in self._reader.find(path) if not self._is_hidden(row[0])]
        return self._base_images(found)[0] if found else None

    def images(self, after: str = "", limit: int = 50, condition: Condition | None = None) -> list[Image]:
        """The first ``limit`` images behind ``after``, by path in the order of code points, of those that meet
        ``condition``."""
        rows = self._reader.listed(after, condition, lambda row: not self._is_hidden(row), limit)
        paths, places = self._added_by_path
        meeting = self._tail.alive
        if condition is not None:
            meeting = self._reader.tail_bitmap(condition, self._tail.metadata, self._tail.count)
        added = (place for place in islice(places, bisect_right(paths, after), None) if _has(meeting, place))
        images = self._base_images(rows) + [self._tail.image(place) for place in islice(added, limit)]
        return sorted(images, key=attrgetter("path"))[:limit]

    def number(self, condition: Condition) -> int:
        """How many images meet ``condition``."""
        base = self._reader.bitmap(condition)
        if self._shown is not None:
            base = base & self._shown
        tail = self._tail
        added = self._reader.tail_bitmap(condition, tail.metadata, tail.count)
        added = added & tail.alive[: len(added)]
        return int(np.bitwise_count(base).sum() + np.bitwise_count(added).sum())

    def all_codes(self) -> tuple[_Codes, Callable[[Sequence[int]], list[str]]]:
        """The codes of all images, uint8 (count, bits / 8), and a function that tells the paths of positions in it."""
        count, tail = self.version.manifest.count, self._tail
        hidden = np.zeros(count, bool) if self._hidden is None else _unpacked(self._hidden, count)
        rows = np.flatnonzero(~hidden)
        slots = np.flatnonzero(_unpacked(tail.alive, tail.count))
        codes = np.concatenate([self.version.codes.codes[rows], tail.codes[slots]])

        def paths(positions: Sequence[int]) -> list[str]:
            base = [int(rows[place]) for place in positions if place < len(rows)]
            known = iter(self.version.images.paths(base))
            return [next(known) if place < len(rows) else tail.paths[slots[place - len(rows)]] for place in positions]

        return codes, paths

    def _matches(self, hits: Hits) -> Matches:
        """``hits`` with paths and metadata; rows from the version's count on are places in the tail."""
        count, rows = self.version.manifest.count, hits.rows.tolist()
        base = self._reader.named([row for row in rows if row < count])
        named = [
            base[row] if row < count else (self._tail.paths[row - count], self._tail.metadata[row - count])
            for row in rows
        ]
        return Matches([path for path, _ in named], hits.distances.tolist(), [metadata for _, metadata in named])

    def given(self) -> Iterator[Given]:
        """All images that are in no listing, or have metadata; in no particular order."""
        base = [(row, added) for row, added in self._reader.given() if not self._is_hidden(row[0])]
        for image, (_, added) in zip(self._base_images([row for row, _ in base]), base, strict=True):
            yield Given(image, not added)
        paths, places = self._added_by_path
        listed = self._reader.listed_of(paths)
        for path, place in zip(paths, places, strict=True):
            yield Given(self._tail.image(place), path in listed)

    @cached_property
    def _shown(self) -> _Codes | None:
        """A bitmap of the version's rows that are in the collection, or None for all."""
        return None if self._hidden is None else ~self._hidden

    @cached_property
    def _tail_ranking(self) -> Ranking:
        tail = self._tail
        return Ranking(
            CodeIndex(tail.codes[: tail.count]),
            None if tail.details is None else CodeIndex(tail.details[: tail.count]),
        )

    @cached_property
    def _added_by_path(self) -> tuple[list[str], list[int]]:
        """The paths of the tail's images, sorted, and the place of each."""
        paths = self._tail.paths
        places = np.flatnonzero(_unpacked(self._tail.alive, self._tail.count)).tolist()
        places.sort(key=paths.__getitem__)
        return [paths[place] for place in places], places

    def _is_hidden(self, row: int) -> bool:
        return self._hidden is not None and _has(self._hidden, row)

    def _base_images(self, found: list[_Row]) -> list[Image]:
        """The images of the version that ``found`` describes, with their codes."""
        rows = [row for row, *_ in found]
        codes = self.version.codes.codes[rows]
        details = None if self.version.details is None else self.version.details.codes[rows]
        return [
            Image(
                path,
                codes[place].tobytes(),
                None if details is None else details[place].tobytes(),
                metadata,
                digest or None,
                fetched,
            )
            for place, (_, path, metadata, digest, fetched) in enumerate(found)
        ]


class Overlay:
    """Lays what the journal at ``journal`` says over ``version``. Threads may share it."""

    def __init__(self, version: IndexVersion, journal: Path) -> None:
        self.version = version
        self._lock = threading.Lock()
        self._reader = _Reader(version)
        self._changes = _Changes(version, journal)
        self._seen: _Number | None = None
        self._clear()
        self._current = self._view()

    def view(self) -> View:
        """All that was acknowledged before this call.

        Raises ChangesFolded where the journal no longer has all changes since the version: there is a newer one.
        JournalDamaged, or ModelMismatch, where the changes cannot be laid over it.
        """
        with self._lock:
            seen = self._changes.number()
            if seen != self._seen:
                if self._seen is not None and seen.file != self._seen.file:  # what the other file said holds no more
                    self._clear()
                    self._current = self._view()
                self._refresh()
                self._seen = seen
            return self._current

    def _clear(self) -> None:
        manifest = self.version.manifest
        self._seq = manifest.folded
        self._hidden = np.zeros(-(-manifest.count // 8), np.uint8)
        self._hidden_count = 0
        self._living = 0
        self._paths: list[str] = []
        self._metadata: list[str | None] = []
        self._digests: list[bytes | None] = []
        self._fetched: list[str | None] = []
        self._latest: dict[str, int] = {}
        self._earlier: list[int] = []
        self._codes = np.empty((0, manifest.model.bits // 8), np.uint8)
        bits = manifest.model.detail_bits
        self._details = None if bits is None else np.empty((0, bits // 8), np.uint8)
        self._alive = np.empty(0, np.uint8)

    def _refresh(self) -> None:
        changes = self._changes.after(self._seq)
        if not changes:
            return
        dead = len(self._paths) - self._living
        if dead > self._living + _SPARE:
            self._clear()
            changes = self._changes.after(self._seq)
        self._hide([change.row for change in changes if change.row is not None])
        alive = _unpacked(self._alive, len(self._paths))
        alive[[self._latest[change.path] for change in changes if change.path in self._latest]] = False
        additions = [change for change in changes if not change.removed]
        start = len(self._paths)
        self._codes = _grown(self._codes, start, [change.code for change in additions])
        if self._details is not None:
            self._details = _grown(self._details, start, [change.detail for change in additions])
        for place, change in enumerate(additions, start):
            self._paths.append(change.path)
            self._metadata.append(change.metadata)
            self._digests.append(change.digest)
            self._fetched.append(change.fetched)
            self._earlier.append(self._latest.get(change.path, -1))
            self._latest[change.path] = place  # last: views that threads have follow it to what they know
        alive = np.concatenate([alive, np.ones(len(additions), bool)])
        self._alive = np.packbits(alive, bitorder="little")
        self._living = int(alive.sum())
        self._seq = changes[-1].seq
        self._current = self._view()

    def _hide(self, rows: list[int]) -> None:
        if not rows:
            return
        hidden = self._hidden.copy()  # views have the old one
        numbers = np.array(rows, np.int64)
        np.bitwise_or.at(hidden, numbers >> 3, np.left_shift(1, numbers & 7).astype(np.uint8))
        self._hidden = hidden
        self._hidden_count = int(np.bitwise_count(hidden).sum())

    def _view(self) -> View:
        tail = _Tail(
            len(self._paths), self._codes, self._details, self._alive, self._paths, self._metadata, self._digests,
            self._fetched, self._latest, self._earlier,
        )  # fmt: skip
        count = self.version.manifest.count - self._hidden_count + self._living
        hidden = self._hidden if self._hidden_count else None
        return View(self.version, self._seq, count, hidden, tail, self._reader)


class _Change(NamedTuple):
    """One change of the journal, and the ``row`` that its path has in the version."""

    seq: int
    path: str
    removed: int
    code: bytes
    detail: bytes
    metadata: str | None
    digest: bytes | None
    fetched: str | None
    row: int | None


class _Number(NamedTuple):
    """Another one after each change: of the ``file``, counted from 1 on, 0 for none, or ``inside`` of it."""

    file: int
    inside: int


class _Changes:
    """What the journal at ``journal`` says about ``version``. On a connection of its own: in the middle of another
    read, SQLite would not tell what has changed since that began.

    On a read-only file system SQLite reads a journal that another process writes, and no other: it cannot make the
    files beside it that it wants. Then nothing changes, and the journal is read as a plain file until something does.
    """

    def __init__(self, version: IndexVersion, journal: Path) -> None:
        self._version = version
        self._journal = journal
        self._attached: tuple[int, int] | None = None
        self._plain: tuple[int, ...] | None = None
        self._files = 0
        with _failures(version):
            self._connection = _connected(version)
        close_after(self, self._connection)

    def number(self) -> _Number:
        """Another one after a process, or a thread, has changed the journal, or put another in its place."""
        with _failures(self._version):
            self._attach()
            if self._attached is None:
                return _Number(0, 0)
            (inside,) = self._connection.execute("PRAGMA journal.data_version").fetchone()
        return _Number(self._files, int(inside))

    def _attach(self) -> None:
        """Read the file that is there now."""
        found = identity(self._journal)
        if found == self._attached and (self._plain is None or self._plain == self._unwritten()):
            return
        if self._attached is not None:
            self._connection.execute("DETACH journal")
            self._attached = self._plain = None
        if found is None:
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
        self._attached = found

    def _unwritten(self) -> tuple[int, ...] | None:
        """What tells whether the journal was written meanwhile, while no process has it open; None while one has."""
        status = self._journal.stat()
        if self._journal.with_name(f"{self._journal.name}-wal").exists():
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def after(self, seq: int) -> list[_Change]:
        """The changes behind number ``seq``, oldest first. ChangesFolded where the journal no longer has them all."""
        if self._attached is None:
            return []
        version, model = self._version, self._version.manifest.model
        with _failures(version):
            self._connection.execute("BEGIN")
            try:
                (trimmed,) = self._connection.execute(
                    "SELECT value FROM journal.numbers WHERE key = 'trimmed'"
                ).fetchone()
                made_with = self._connection.execute("SELECT value FROM journal.facts WHERE key = 'model'").fetchone()
                rows = self._connection.execute(
                    "SELECT e.seq, e.path, e.removed, e.code, e.detail, e.metadata, e.digest, e.fetched, b.row "
                    "FROM journal.entries e LEFT JOIN base.images b ON b.path = e.path WHERE e.seq > ? ORDER BY e.seq",
                    (seq,),
                )
                changes = [_Change(*row) for row in rows]
            finally:
                self._connection.execute("COMMIT")
        if trimmed > seq:
            raise ChangesFolded(f"version {version.name} is older than the changes that are kept")
        if self._plain is not None and self._plain != self._unwritten():
            raise ChangesFolded(f"{self._journal.name} was written while it was read")
        additions = [change for change in changes if not change.removed]
        if additions and made_with != (model.sha256,):
            raise ModelMismatch(
                f"images were added with another model than {model.name}, which made version {version.name}"
            )
        bits, detail_bits = model.bits, model.detail_bits or 0
        if any(8 * len(each.code or b"") != bits or 8 * len(each.detail or b"") != detail_bits for each in additions):
            raise JournalDamaged(f"{self._journal.name} has codes of other widths than {model.name} makes")
        return changes


class _Reader:
    """SQL over a version's images, and metadata. Threads may share it."""

    def __init__(self, version: IndexVersion) -> None:
        self._version = version
        self._lock = threading.RLock()
        self._bitmaps: dict[str, _Codes] = {}
        self._tails: dict[str, tuple[list[str | None], NDArray[np.bool_]]] = {}
        with _failures(version):
            self._connection = _connected(version)
            columns = {name for _, name, *_ in self._connection.execute("PRAGMA base.table_info(images)")}
            images = _NEW_BASE if "metadata" in columns else _OLD_BASE
            self._connection.execute(f"CREATE TEMP VIEW base_images AS {images}")
        close_after(self, self._connection)

    def find(self, path: str) -> list[_Row]:
        """The image called ``path``, or none."""
        try:
            path.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which no path has
            return []
        with self._lock, _failures(self._version):
            return self._connection.execute(
                "SELECT row, path, metadata, digest, fetched FROM base_images WHERE path = ?", (path,)
            ).fetchall()

    def given(self) -> list[tuple[_Row, int]]:
        """The images that are in no listing, or have metadata, and whether they are in none."""
        with self._lock, _failures(self._version):
            rows = self._connection.execute(
                "SELECT row, path, metadata, digest, fetched, added FROM base_images "
                "WHERE added OR metadata IS NOT NULL"
            ).fetchall()
        return [(row[:5], row[5]) for row in rows]

    def listed_of(self, paths: list[str]) -> set[str]:
        """Those of ``paths`` that the version has from a listing."""
        with self._lock, _failures(self._version):
            rows = self._connection.execute(
                "SELECT path FROM base_images WHERE NOT added AND path IN (SELECT value FROM json_each(?))",
                (json.dumps(paths),),
            ).fetchall()
        return {path for (path,) in rows}

    def listed(self, after: str, condition: Condition | None, wanted: Callable[[int], bool], limit: int) -> list[_Row]:
        """The first ``limit`` images behind ``after`` by path that meet ``condition`` and whose rows are ``wanted``."""
        where, parameters = _where(condition)
        with self._lock, _failures(self._version):
            rows = self._connection.execute(
                "SELECT row, path, metadata, digest, fetched FROM base_images "
                f"WHERE path > :after AND {where} ORDER BY path",
                {"after": after, **parameters},
            )
            return list(islice((row for row in rows if wanted(row[0])), limit))

    def named(self, rows: list[int]) -> dict[int, tuple[str, str | None]]:
        """Path and metadata of each of the version's ``rows``."""
        if not rows:
            return {}
        with self._lock, _failures(self._version):
            found = self._connection.execute(
                "SELECT row, path, metadata FROM base_images WHERE row IN (SELECT value FROM json_each(?))",
                (json.dumps(rows),),
            ).fetchall()
        return {row: (path, metadata) for row, path, metadata in found}

    def bitmap(self, condition: Condition) -> _Codes:
        """The version's rows that meet ``condition``, as ``CodeIndex.search`` takes them."""
        with self._lock, _failures(self._version):
            known = self._bitmaps.pop(condition.text, None)
            if known is None:
                where, parameters = _where(condition)
                rows = self._connection.execute(f"SELECT row FROM base_images WHERE {where}", parameters).fetchall()
                known = _packed([row for (row,) in rows], self._version.manifest.count)
            _keep(self._bitmaps, condition, known)
        return known

    def tail_bitmap(self, condition: Condition, metadata: list[str | None], count: int) -> _Codes:
        """Which of the first ``count`` of ``metadata``, a list that only grows, meet ``condition``."""
        with self._lock:
            known = self._tails.pop(condition.text, None)
            if known is None or known[0] is not metadata:
                known = (metadata, np.empty(0, bool))
            meeting = known[1]
            if len(meeting) < count:
                meeting = np.concatenate([meeting, self._meeting(condition, metadata[len(meeting) : count])])
            _keep(self._tails, condition, (metadata, meeting))
            return np.packbits(meeting[:count], bitorder="little")

    def _meeting(self, condition: Condition, metadata: list[str | None]) -> NDArray[np.bool_]:
        where, parameters = _where(condition)
        meeting = np.zeros(len(metadata), bool)
        with _failures(self._version):
            self._connection.execute("BEGIN")
            try:
                self._connection.execute("CREATE TEMP TABLE given(place INTEGER PRIMARY KEY, metadata TEXT)")
                self._connection.executemany("INSERT INTO temp.given VALUES (?, ?)", enumerate(metadata))
                rows = self._connection.execute(f"SELECT place FROM temp.given WHERE {where}", parameters).fetchall()
            finally:
                self._connection.execute("ROLLBACK")
        meeting[[place for (place,) in rows]] = True
        return meeting


def _connected(version: IndexVersion) -> sqlite3.Connection:
    """A connection with the image table of ``version`` attached, as ``base``."""
    connection = sqlite3.connect(
        "file::memory:", timeout=BUSY_SECONDS, isolation_level=None, uri=True, check_same_thread=False
    )
    connection.execute("ATTACH ? AS base", (address(version.folder / IMAGES_FILE, "ro") + "&immutable=1",))
    return connection


@contextlib.contextmanager
def _failures(version: IndexVersion) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise JournalDamaged(
            f"{JOURNAL_FILE}, or {IMAGES_FILE} of version {version.name}, cannot be read ({error})"
        ) from error


def _keep(known: dict[str, Any], condition: Condition, what: object) -> None:
    """Remember ``what`` for ``condition``, and of others those asked for last."""
    known[condition.text] = what
    if len(known) > _CONDITIONS:
        del known[next(iter(known))]


def _where(condition: Condition | None) -> tuple[str, dict[str, Any]]:
    """``condition`` with its parameters by name, beside other named ones."""
    if condition is None:
        return "1", {}
    parts = condition.sql.split("?")
    names = [f"given{number}" for number in range(len(parts) - 1)]
    sql = parts[0] + "".join(f":{name}{part}" for name, part in zip(names, parts[1:], strict=True))
    return f"({sql})", dict(zip(names, condition.parameters, strict=True))


def _nearer(query: Query, base: Hits) -> Query:
    """``query`` for the tail: what is farther than all of ``base``, where these are enough, need not be looked for."""
    if query.rank != "distance" or len(base.distances) < query.top_k:
        return query
    return replace(query, max_distance=int(base.distances[-1]))


def _merged(query: Query, base: Hits, tail: Hits, count: int) -> Hits:
    """The best of both, in the order of the query's rank; the rows of ``tail`` follow the ``count`` rows of the
    version."""
    if not len(tail.rows):
        return base
    distances = np.concatenate([base.distances, tail.distances])
    rows = np.concatenate([base.rows, tail.rows + count])
    ties = None
    if base.ties is not None and tail.ties is not None:
        ties = np.concatenate([base.ties, tail.ties])
    if ties is None:
        order = np.lexsort((rows, distances))
    elif query.rank == "detail":
        order = np.lexsort((rows, distances, ties))
    else:
        order = np.lexsort((rows, ties, distances))
    best = order[: query.top_k]
    return Hits(distances[best], rows[best], None if ties is None else ties[best])


def _grown(codes: _Codes, used: int, more: list[bytes]) -> _Codes:
    """``codes`` with ``more`` behind the first ``used``; in a larger array where they don't fit, twice as large."""
    width = codes.shape[1]
    if used + len(more) > len(codes):
        larger = np.empty((max(1024, 2 * (used + len(more))), width), np.uint8)
        larger[:used] = codes[:used]
        codes = larger
    if more:
        codes[used : used + len(more)] = np.frombuffer(b"".join(more), np.uint8).reshape(len(more), width)
    return codes


def _packed(places: list[int], count: int) -> _Codes:
    mask = np.zeros(count, bool)
    mask[places] = True
    return np.packbits(mask, bitorder="little")


def _unpacked(bitmap: _Codes, count: int) -> NDArray[np.bool_]:
    return np.unpackbits(bitmap, count=count, bitorder="little").view(bool)


def _has(bitmap: _Codes, place: int) -> bool:
    return bool(bitmap[place >> 3] >> (place & 7) & 1)

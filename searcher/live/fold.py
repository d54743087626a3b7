"""Folding: version + journal → the next version, while the collection is searched and changed.

    python -m searcher.live.fold FOLDER

    rows kept, then rows added ─▶ vectors, images.db ─▶ publish ─▶ delete older folds ─▶ trim the journal

Changes made meanwhile stay in the journal and are laid over the new version, as they were over the old one. A fold
that is killed at any moment leaves the old version or the new one, and the same collection.
"""

import contextlib
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import Vectors
from contract.terminal import say
from searcher.errors import JournalDamaged, SearcherError, VersionDamaged, VersionInUse, VersionMissing
from searcher.versions.images import IMAGES_FILE, REMOVED, ImageTable
from searcher.versions.journal import Journal, address
from searcher.versions.journal_rows import number, read_columns, require_whole
from searcher.versions.manifest import Manifest
from searcher.versions.names import line_of
from searcher.versions.store import FIRST_VERSION, IndexStore
from searcher.versions.vectors import write_vectors
from searcher.versions.verdict import is_verified
from searcher.versions.version import IndexVersion, verify

#: The exit status where the version, or the journal, is damaged.
DAMAGED = 3

#: Folds of one version that are kept: the newest, and the one before, which some process may still be opening.
_KEPT = 2

_KEEP = """
    NOT EXISTS (SELECT 1 FROM journal.entries e WHERE e.path = b.path AND e.seq > :folded)"""
_SQL = f"""
INSERT INTO images SELECT row_number() OVER (ORDER BY b.row) - 1, b.path, b.size, b.mtime_ns, b.digest,
    {{metadata}}, {{added}}, {{fetched}} FROM base.images b WHERE {_KEEP};
INSERT INTO images SELECT (SELECT count(*) FROM images) - 1 + row_number() OVER (ORDER BY e.seq), e.path,
    coalesce(b.size, 0), coalesce(b.mtime_ns, 0), coalesce(e.digest, x''), e.metadata,
    CASE WHEN b.row IS NULL THEN 1 ELSE {{added}} END, e.fetched
    FROM journal.entries e LEFT JOIN base.images b ON b.path = e.path WHERE e.seq > :folded AND NOT e.removed;
INSERT INTO skipped(path, reason, digest) SELECT path, reason, {{skipped_digest}} FROM base.skipped s
    WHERE reason != :reason OR NOT EXISTS (SELECT 1 FROM images i WHERE i.path = s.path);
INSERT INTO skipped(path, reason, digest) SELECT b.path, :reason, coalesce(e.digest, b.digest)
    FROM journal.entries e JOIN base.images b ON b.path = e.path
    WHERE e.seq > :folded AND e.removed AND NOT coalesce({{added}}, 0);
{{sourced}}
INSERT INTO build SELECT key, value FROM base.build WHERE key != :mark;
INSERT INTO build VALUES (:mark, :base);
"""
#: What sources said stays true of images that haven't changed since; tables of files alone have none.
_SOURCED = f"INSERT INTO sourced SELECT b.* FROM base.sourced b WHERE {_KEEP};"
_HIDE = """
    SELECT b.row FROM journal.entries e JOIN base.images b ON b.path = e.path WHERE e.seq > :folded"""

#: The key under which a fold's table notes the version that it was folded from.
_MARK = "folded_from"


def fold(store: IndexStore, journal: Journal) -> Manifest | None:
    """Fold the changes in ``journal`` into the current version of ``store``. None if there are no new ones.

    Raises StoreBusy while an indexer or another fold is at work, or if another version has become current meanwhile,
    and JournalDamaged if something cannot be written. The collection is then unchanged.
    """
    try:
        with store.indexing():
            store.recover()
            base = store.open()
            journal.check(base.manifest)
            if not is_verified(base.folder):
                verify(base.folder)  # what is damaged would get new checksums
            try:
                return _fold(store, journal, base) if journal.changes(base.manifest.folded) else None
            finally:
                base.images.close()
    except (OSError, sqlite3.Error) as error:
        raise JournalDamaged(f"the changes cannot be folded into a version ({error}); they stay as they are") from error


def next_name(current: str) -> str:
    """The name of the version made by folding changes into ``current``: 1.5.0 → 1.5.0-f1 → 1.5.0-f2."""
    line, number = line_of(current)
    ending = f"-f{number + 1}"
    return line[: 64 - len(ending)] + ending


def _fold(store: IndexStore, journal: Journal, base: IndexVersion) -> Manifest:
    name = next_name(base.name)
    while store.has(name):  # of a line abandoned when an older version was promoted
        name = next_name(name)
    folder = store.building(name)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        folded, rows, added = _write_images(folder / IMAGES_FILE, journal, base)
        spaces, mode = base.manifest.model.spaces, base.manifest.mode
        vectors = {space.name: np.concatenate([base.vectors[space.name][rows], added[space.name]]) for space in spaces}
        written = write_vectors(folder, spaces, vectors, mode)
        with ImageTable(folder / IMAGES_FILE) as table:
            skipped = table.skipped_count()
        manifest = store.publish(
            name,
            model=base.manifest.model,
            count=len(rows) + len(next(iter(added.values()))),
            skipped=skipped,
            files=[*written.files, IMAGES_FILE],
            mode=mode,
            folded=folded,
            shortlists=written.shortlists,
            replacing=base.name,
        )
    except (OSError, sqlite3.Error, SearcherError):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _clean_up(store, journal, manifest)
    return manifest


def _write_images(path: Path, journal: Journal, base: IndexVersion) -> tuple[int, NDArray[np.int64], Vectors]:
    """Write the image table to ``path``. Returns the last change in it, the rows of ``base`` that it keeps, and the
    vectors of the images added to them."""
    spaces = base.manifest.model.spaces
    ImageTable(path, writable=True).close()
    connection = sqlite3.connect(address(path, "rw"), isolation_level=None, uri=True)
    try:
        connection.execute("ATTACH ? AS base", (address(base.folder / IMAGES_FILE, "ro") + "&immutable=1",))
        connection.execute("ATTACH ? AS journal", (address(journal.path, "rw"),))
        columns = {column for _, column, *_ in connection.execute("PRAGMA base.table_info(images)")}
        names = {name: f"b.{name}" if name in columns else "NULL" for name in ("metadata", "added", "fetched")}
        if "added" not in columns:
            names["added"] = "0"
        of_skipped = {column for _, column, *_ in connection.execute("PRAGMA base.table_info(skipped)")}
        names["skipped_digest"] = "s.digest" if "digest" in of_skipped else "NULL"
        sourced = connection.execute("SELECT 1 FROM base.sqlite_schema WHERE name = 'sourced'").fetchone()
        names["sourced"] = _SOURCED if sourced else ""
        values = {"folded": base.manifest.folded, "reason": REMOVED, "mark": _MARK, "base": base.name}
        connection.execute("BEGIN")
        folded = number(connection, "last", "journal")
        added = _checked_additions(connection, base)
        for statement in _SQL.format(**names).split(";")[:-1]:
            connection.execute(statement, values)
        hidden = connection.execute(_HIDE, values).fetchall()
        connection.execute("COMMIT")
    finally:
        connection.close()
    rows = np.delete(np.arange(base.manifest.count), [row for (row,) in hidden])
    try:
        vectors = {space.name: space.array([row[place] for row in added]) for place, space in enumerate(spaces)}
    except (TypeError, ValueError) as error:
        raise JournalDamaged(f"{journal.path.name} has codes of other widths than the version") from error
    return folded, rows, vectors


def _checked_additions(connection: sqlite3.Connection, base: IndexVersion) -> list[tuple[Any, ...]]:
    """The vectors of the images that the journal adds to ``base``, oldest first. Raises JournalDamaged if a change
    isn't what was written: a fold would give it a new checksum."""
    rows = connection.execute(
        "SELECT e.seq, e.path, e.removed, e.metadata, e.digest, e.fetched, "
        f"{read_columns(connection, 'journal', base.manifest.model.spaces)} "
        "FROM journal.entries e WHERE e.seq > ? ORDER BY e.seq",
        (base.manifest.folded,),
    ).fetchall()
    for row in rows:
        require_whole(row[:6], row[6:-1], row[-1])
    return [row[6:-1] for row in rows if not row[2]]


def _clean_up(store: IndexStore, journal: Journal, newest: Manifest) -> None:
    """Delete the earlier folds of the same version, and the changes in the journal that no version needs."""
    line, _ = line_of(newest.version)
    ours = [
        manifest.version
        for manifest in store.manifests()
        if line_of(manifest.version)[0] == line and _is_ours(store, manifest)
    ]
    for name in ours[:-_KEPT]:
        with contextlib.suppress(VersionInUse, VersionMissing):  # another process promoted or deleted it meanwhile
            store.delete(name)
    if len(store.names()) == len(store.manifests()):  # the content of a damaged version is unknown
        journal.trim(min(manifest.folded for manifest in store.manifests()))


def _is_ours(store: IndexStore, manifest: Manifest) -> bool:
    """Whether a fold made the version, or it is a collection's empty first one. Others belong to the user."""
    if not manifest.count and manifest.version == FIRST_VERSION:
        return True
    try:
        with ImageTable(store.folder / manifest.version / IMAGES_FILE) as table:
            return _MARK in table.build_facts()
    except sqlite3.Error:  # being deleted, or damaged
        return False


def main(arguments: list[str]) -> int:
    """Fold the collection in the folder that ``arguments`` name. Returns 1, or DAMAGED, if it cannot be."""
    (folder,) = arguments
    try:
        manifest = fold(IndexStore(Path(folder)), Journal(Path(folder)))
    except SearcherError as error:
        say(f"Error: {error}", err=True)
        return DAMAGED if isinstance(error, (VersionDamaged, JournalDamaged)) else 1
    say("nothing has changed" if manifest is None else f"version {manifest.version}, {manifest.count:,} images")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

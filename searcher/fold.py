"""Folding: version + journal → the next version, while the collection is searched and changed.

    python -m searcher.fold FOLDER

    rows kept, then rows added ─▶ index.faiss, images.db ─▶ publish ─▶ delete older folds ─▶ trim the journal

What changes meanwhile stays in the journal and is laid over the new version, as it was over the old one. Killed at any
moment, it leaves the old version or the new one, and the same collection.
"""

import contextlib
import shutil
import sqlite3
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searcher.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.collections_store import FIRST_VERSION
from searcher.errors import JournalDamaged, SearcherError, VersionInUse, VersionMissing
from searcher.images import IMAGES_FILE, REMOVED, ImageTable
from searcher.journal import Journal, address
from searcher.manifest import Manifest
from searcher.store import IndexStore, line_of
from searcher.tables import TABLE_FILES, write_tables
from searcher.version import IndexVersion

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
INSERT INTO skipped SELECT path, reason FROM base.skipped s
    WHERE reason != :reason OR NOT EXISTS (SELECT 1 FROM images i WHERE i.path = s.path);
INSERT INTO skipped SELECT b.path, :reason FROM journal.entries e JOIN base.images b ON b.path = e.path
    WHERE e.seq > :folded AND e.removed AND NOT coalesce({{added}}, 0);
INSERT INTO build SELECT key, value FROM base.build WHERE key != :mark;
INSERT INTO build VALUES (:mark, :base);
"""
_HIDE = """
    SELECT b.row FROM journal.entries e JOIN base.images b ON b.path = e.path WHERE e.seq > :folded"""

#: What the table of a fold says of the run that made it: which version it was folded from.
_MARK = "folded_from"


def fold(store: IndexStore, journal: Journal) -> Manifest | None:
    """Fold what ``journal`` has into the current version of ``store``. None where it has nothing new.

    Raises StoreBusy while an indexer or another fold is at work, or where another version has become current
    meanwhile, and JournalDamaged for what cannot be written: the collection is then what it was.
    """
    try:
        with store.indexing():
            store.recover()
            base = store.open()
            try:
                return _fold(store, journal, base) if journal.changes(base.manifest.folded) else None
            finally:
                base.images.close()
    except (OSError, sqlite3.Error) as error:
        raise JournalDamaged(f"the changes cannot be folded into a version ({error}); they stay as they are") from error


def next_name(current: str) -> str:
    """The name of the version that changes of ``current`` are folded into: 1.5.0 → 1.5.0-f1 → 1.5.0-f2."""
    line, number = line_of(current)
    ending = f"-f{number + 1}"
    return line[: 64 - len(ending)] + ending


def _fold(store: IndexStore, journal: Journal, base: IndexVersion) -> Manifest:
    name = next_name(base.name)
    while store.has(name):  # of a line that was left when an older version was promoted
        name = next_name(name)
    folder = store.building(name)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        folded, rows, codes, details = _write_images(folder / IMAGES_FILE, journal, base)
        files = [INDEX_FILE, IMAGES_FILE]
        codes = np.concatenate([base.codes.codes[rows], codes])
        write_codes(codes, folder / INDEX_FILE)
        if base.details is not None:
            write_codes(np.concatenate([base.details.codes[rows], details]), folder / DETAILS_FILE)
            files.append(DETAILS_FILE)
        if base.manifest.mode == "unnecessary fast":
            from searcher.table_builder import build_tables  # numba, which most versions don't need

            write_tables(build_tables(codes), folder)
            files += TABLE_FILES
        with ImageTable(folder / IMAGES_FILE) as table:
            skipped = table.skipped_count()
        manifest = store.publish(
            name,
            model=base.manifest.model,
            count=len(codes),
            skipped=skipped,
            files=files,
            mode=base.manifest.mode,
            folded=folded,
            replacing=base.name,
        )
    except (OSError, sqlite3.Error, SearcherError):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _clean_up(store, journal, manifest)
    return manifest


def _write_images(
    path: Path, journal: Journal, base: IndexVersion
) -> tuple[int, NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8]]:
    """Write the image table to ``path``. Answers the last change in it, the rows of ``base`` that it keeps, and the
    codes and detail codes of what is added to them."""
    ImageTable(path, writable=True).close()
    connection = sqlite3.connect(address(path, "rw"), isolation_level=None, uri=True)
    try:
        connection.execute("ATTACH ? AS base", (address(base.folder / IMAGES_FILE, "ro") + "&immutable=1",))
        connection.execute("ATTACH ? AS journal", (address(journal.path, "rw"),))
        columns = {column for _, column, *_ in connection.execute("PRAGMA base.table_info(images)")}
        names = {name: f"b.{name}" if name in columns else "NULL" for name in ("metadata", "added", "fetched")}
        if "added" not in columns:
            names["added"] = "0"
        values = {"folded": base.manifest.folded, "reason": REMOVED, "mark": _MARK, "base": base.name}
        connection.execute("BEGIN")
        (folded,) = connection.execute("SELECT value FROM journal.numbers WHERE key = 'last'").fetchone()
        for statement in _SQL.format(**names).split(";")[:-1]:
            connection.execute(statement, values)
        hidden = connection.execute(_HIDE, values).fetchall()
        added = connection.execute(
            "SELECT code, detail FROM journal.entries WHERE seq > :folded AND NOT removed ORDER BY seq", values
        ).fetchall()
        connection.execute("COMMIT")
    finally:
        connection.close()
    rows = np.delete(np.arange(base.manifest.count), [row for (row,) in hidden])
    model = base.manifest.model
    codes = np.frombuffer(b"".join(code for code, _ in added), np.uint8).reshape(len(added), model.bits // 8)
    width = (model.detail_bits or 0) // 8
    details = np.frombuffer(b"".join(detail or b"" for _, detail in added), np.uint8).reshape(len(added), width)
    return folded, rows, codes, details


def _clean_up(store: IndexStore, journal: Journal, newest: Manifest) -> None:
    """Delete the earlier folds of the same version, and what the journal keeps for no version any more."""
    line, _ = line_of(newest.version)
    ours = [
        manifest.version
        for manifest in store.manifests()
        if line_of(manifest.version)[0] == line and _is_ours(store, manifest)
    ]
    for name in ours[:-_KEPT]:
        with contextlib.suppress(VersionInUse, VersionMissing):  # somebody promoted it meanwhile, or was first
            store.delete(name)
    if len(store.names()) == len(store.manifests()):  # of a damaged version nobody knows what it contains
        journal.trim(min(manifest.folded for manifest in store.manifests()))


def _is_ours(store: IndexStore, manifest: Manifest) -> bool:
    """Whether a fold made the version, or it is the empty one that a collection begins with. Others are somebody's."""
    if not manifest.count and manifest.version == FIRST_VERSION:
        return True
    try:
        with ImageTable(store.folder / manifest.version / IMAGES_FILE) as table:
            return _MARK in table.build_facts()
    except sqlite3.Error:  # being deleted, or damaged
        return False


def main(arguments: list[str]) -> int:
    """Fold the collection in the folder that ``arguments`` name."""
    (folder,) = arguments
    try:
        manifest = fold(IndexStore(Path(folder)), Journal(Path(folder)))
    except SearcherError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print("nothing has changed" if manifest is None else f"version {manifest.version}, {manifest.count:,} images")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

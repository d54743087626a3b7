"""Listing → published version, resumable at any moment.

    claim the store → resume or start → hash chunk by chunk → take over what the collection was given
    → write index.faiss and details.faiss → publish

Every second or so is a checkpoint: codes and detail codes are appended and synced first, then one SQLite transaction
commits their rows and the position in the listing. Killed between any two of these, what is beyond the last row is cut
off again; so row i is code i and detail code i, whatever happens.
"""

import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashing.model import HashModel
from indexer import raw_codes
from indexer.errors import IndexingError
from indexer.hasher import FileHasher, Skipped
from indexer.listing import Listing
from indexer.progress import Progress
from indexer.raw_codes import RawCodes
from searcher.carry import Carried
from searcher.codes import DETAILS_FILE, INDEX_FILE, MAX_CODES, write_codes
from searcher.images import IMAGES_FILE, REMOVED, ImageTable
from searcher.manifest import Manifest, Mode, ModelIdentity
from searcher.store import BUILDING, IndexStore, check_name
from searcher.tables import TABLE_FILES, require_suitable, write_tables
from searcher.version import IndexVersion

_CHECKPOINT_SECONDS = 1.0


@dataclass(frozen=True)
class Request:
    """What to build: version ``name`` in ``store`` from ``listing``; relative lines are read from ``root``.

    ``base``: an earlier version whose codes are kept for unchanged files; ``checksum`` compares contents for that
    instead of size and modification time. ``mode``: how the version will be searched. ``keep_current``: it doesn't
    become the current version.
    """

    store: IndexStore
    name: str
    listing: Listing
    root: Path
    base: str | None = None
    checksum: bool = False
    mode: Mode = "default"
    keep_current: bool = False


@dataclass(frozen=True)
class Report:
    """What was built: ``reused`` of the ``manifest.count`` codes come from the base version or an earlier run.

    ``skipped`` holds the first of the skipped paths with their reasons.
    """

    manifest: Manifest
    seconds: float
    reused: int
    skipped: list[tuple[str, str]]


def build(
    request: Request,
    model: HashModel,
    tell: Callable[[str], None],
    progress: Callable[[int, int], Progress] = Progress,
) -> Report:
    """Build and publish what ``request`` says. Notable turns go to ``tell``, a line each; ``progress(total, done)``
    shows how far the hashing is.

    Raises IndexingError when there is nothing to publish or the disk is full, and the store's own errors. Whatever
    is raised, the current version stays; run again, the same request goes on where it stopped.
    """
    store = request.store
    if request.mode == "unnecessary fast":
        require_suitable(model.card.bits)
    try:
        with store.indexing():
            folder = store.folder / BUILDING / check_name(request.name)
            if store.recover() == request.name or (store.has(request.name) and raw_codes.exist(folder)):
                raw_codes.remove(folder)
                tell(f"version {request.name} was complete when the last run was killed")
                return _report(store.manifest(request.name), store, 0.0, 0)
            folder = store.building(request.name)
            raw_codes.remove_orphans(folder.parent, keep=request.name)
            return _Build(request, model, folder, tell, progress).run()
    except sqlite3.Error as error:
        raise IndexingError(f"the image table cannot be written: {error}; {_ON_AGAIN}") from error
    except OSError as error:
        raise IndexingError(f"{store.folder} cannot be written: {error.strerror or error}; {_ON_AGAIN}") from error


_ON_AGAIN = "the served version is untouched, and the same command goes on from here"


class _Build:
    def __init__(
        self,
        request: Request,
        model: HashModel,
        folder: Path,
        tell: Callable[[str], None],
        progress: Callable[[int, int], Progress],
    ) -> None:
        self._request = request
        self._model = model
        self._folder = folder
        self._identity = ModelIdentity.model_validate(model.identity())
        self._codes = RawCodes(folder, bits=self._identity.bits, detail_bits=self._identity.detail_bits)
        self._tell = tell
        self._progress = progress
        self._done = 0  # lines of the listing
        self._rows = 0
        self._reused = 0
        self._folded = 0

    def run(self) -> Report:
        request, started = self._request, time.monotonic()
        base = request.store.open(request.base) if request.base else None
        if base:
            base.manifest.require_model(self._identity)
        carried = Carried(request.store, self._identity)
        table = self._open_table(carried)
        with table, self._codes.open(self._rows):
            hasher = FileHasher(self._model, request.root, base, checksum=request.checksum)
            self._hash(hasher, table, carried)
            self._take_over(table, carried)
            skipped = table.skipped_count()
            if not self._rows:
                reasons = Counter(reason for _, reason in table.skipped(1000))
                self._discard()
                why = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3)) or "it is empty"
                raise IndexingError(f"{request.listing.path} yields no image, so nothing is published: {why}")
        codes, *details = self._codes.arrays()
        write_codes(codes, self._folder / INDEX_FILE)
        files = [INDEX_FILE, IMAGES_FILE]
        if details:
            write_codes(details[0], self._folder / DETAILS_FILE)
            files.append(DETAILS_FILE)
        for leftover in TABLE_FILES:  # of a killed run in another mode
            (self._folder / leftover).unlink(missing_ok=True)
        if request.mode == "unnecessary fast":
            from searcher.table_builder import build_tables  # numba, which most versions don't need

            write_tables(build_tables(codes), self._folder)
            files += TABLE_FILES
        manifest = request.store.publish(
            request.name,
            model=self._identity_with(base),
            count=self._rows,
            skipped=skipped,
            files=files,
            mode=request.mode,
            keep_current=request.keep_current,
            folded=self._folded,
        )
        raw_codes.remove(self._folder)
        return _report(manifest, request.store, time.monotonic() - started, self._reused)

    def _hash(self, hasher: FileHasher, table: ImageTable, carried: Carried) -> None:
        request = self._request
        checkpoint = time.monotonic()
        table.begin()
        with self._progress(request.listing.count, self._done) as progress:
            for outcomes in hasher.outcomes(request.listing.paths(self._done)):
                skipped = 0
                for outcome in outcomes:
                    if isinstance(outcome, Skipped):
                        table.skip(outcome.path, outcome.reason)
                        skipped += 1
                    elif carried.is_removed(outcome.file.path):
                        table.skip(outcome.file.path, REMOVED)
                        skipped += 1
                    elif table.add(self._next_row(), outcome.file):
                        self._codes.append(outcome.code, outcome.detail)
                        self._rows += 1
                        self._reused += outcome.reused
                    else:
                        table.skip(outcome.file.path, "listed twice; the first place counts")
                        skipped += 1
                self._done += len(outcomes)
                progress.advance(len(outcomes), skipped)
                if time.monotonic() - checkpoint > _CHECKPOINT_SECONDS:
                    self._checkpoint(table)
                    table.begin()
                    checkpoint = time.monotonic()
            self._checkpoint(table)

    def _take_over(self, table: ImageTable, carried: Carried) -> None:
        """What the collection was given: metadata of listed images, and images that are in no listing."""
        table.begin()
        for given in carried.given():
            image = given.image
            if table.give(image.path, image.metadata, image.fetched) or given.listed:
                continue
            table.add_given(self._next_row(), image.path, image.digest or b"", image.metadata, image.fetched)
            detail = None if image.detail is None else np.frombuffer(image.detail, np.uint8)
            self._codes.append(np.frombuffer(image.code, np.uint8), detail)
            self._rows += 1
        self._checkpoint(table)

    def _next_row(self) -> int:
        if self._rows >= MAX_CODES:
            raise IndexingError(f"one index version holds at most {MAX_CODES:,} images")
        return self._rows

    def _checkpoint(self, table: ImageTable) -> None:
        self._codes.sync()
        table.note([("lines_done", self._done)])
        table.commit()

    def _open_table(self, carried: Carried) -> ImageTable:
        """The table of an unfinished build of just this request, or a new one."""
        request = self._request
        facts: dict[str, str | int] = {
            "listing_sha256": request.listing.sha256,
            "model": self._identity.model_dump_json(),
            "datalake_root": str(request.root.absolute()),
            "base_version": request.base or "",
            "checksum": int(request.checksum),
        }
        path = self._folder / IMAGES_FILE
        if path.exists() and self._codes.exist():
            differing = ["image table, now damaged"]
            try:
                table = ImageTable(path, writable=True)
                found, self._rows = table.build_facts(), len(table)
                differing = [key for key, value in facts.items() if found.get(key) != value]
                if self._codes.rows() < self._rows:
                    differing.append("number of codes on disk")  # the file system lost what it had synced
                self._folded = int(found.get("folded", 0))
                if not carried.keeps(self._folded):
                    differing.append("state of the collection")
                if not differing:
                    self._done, self._reused = int(found["lines_done"]), self._rows
                    self._tell(f"going on after {self._done:,} of {request.listing.count:,} images")
                    return table
                table.close()
            except sqlite3.OperationalError:
                raise  # the disk is full, or not ours to write
            except sqlite3.DatabaseError:
                pass
            self._rows = 0
            self._tell(f"an unfinished build of {request.name} had another {', '.join(differing)}; starting afresh")
        self._discard()
        self._folder.mkdir(parents=True)
        self._codes.create()
        table = ImageTable(path, writable=True)
        table.begin()
        self._folded = carried.folded
        table.note([*facts.items(), ("lines_done", 0), ("folded", self._folded)])
        table.commit()
        return table

    def _identity_with(self, base: IndexVersion | None) -> ModelIdentity:
        """The model's identity, with the decoders and precisions of the ``base`` version too, if codes came from
        there."""
        if base is None or not self._reused:
            return self._identity
        ours, earlier = self._identity, base.manifest.model
        return ours.model_copy(
            update={
                "decoder": _both(earlier.decoder, ours.decoder) or None,
                "precision": _both(earlier.precision, ours.precision),
            }
        )

    def _discard(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        raw_codes.remove(self._folder)


def _both(earlier: str | None, ours: str | None) -> str:
    """The names in a version's ``earlier`` list of them, and ``ours``, each once."""
    return "; ".join(dict.fromkeys(name for name in (*(earlier or "").split("; "), ours) if name))


def _report(manifest: Manifest, store: IndexStore, seconds: float, reused: int) -> Report:
    with ImageTable(store.folder / manifest.version / IMAGES_FILE) as table:
        return Report(manifest, seconds, reused, table.skipped(20))

"""Source → published version, resumable at any moment.

    claim the store → resume or start → hash batch by batch → carry over the collection's added images and metadata
    → write a file for each space → publish

A checkpoint comes about every second: it first appends and syncs the vectors, then commits their rows and the position
in the source in one SQLite transaction. If the process is killed in between, the next run cuts off the vectors beyond
the last row; so row i always belongs to vector i.
"""

import json
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contract.model import ModelIdentity
from embedding.embedder import Embedder
from indexer import raw_vectors
from indexer.blocks import Blocks
from indexer.changes import SPLITTERS, FilesState, KnownVectors, names_of
from indexer.errors import IndexingError
from indexer.outcome import Embedded, Outcome, Skipped
from indexer.progress import Progress
from indexer.raw_vectors import RawVectors
from indexer.report import Report
from indexer.workers import OpenWorkers, Task, Workers, hash_here
from searcher.live.carry import Carried
from searcher.scan.codes import MAX_CODES
from searcher.scan.tables import Mode, require_suitable
from searcher.versions.images import IMAGES_FILE, REMOVED, ImageTable
from searcher.versions.manifest import Manifest
from searcher.versions.names import check_new_name
from searcher.versions.store import BUILDING, IndexStore
from searcher.versions.vectors import write_vectors
from searcher.versions.verdict import is_verified
from searcher.versions.version import IndexVersion, verify
from sources.source import Source, Splitter

_CHECKPOINT_SECONDS = 1.0


@dataclass(frozen=True)
class Request:
    """What to build: version ``name`` in ``store`` from ``source``, whose items ``splitters`` may split.

    ``base``: an earlier version, whose codes are reused for unchanged items. ``checksum``: compare their contents
    instead of their versions (for files: size and modification time). ``mode``: how the version is searched.
    ``keep_current``: the new version doesn't become the current one. ``left_out``: counts of what isn't in the source,
    though it looks like pictures, for the record.
    """

    store: IndexStore
    name: str
    source: Source
    base: str | None = None
    checksum: bool = False
    mode: Mode = "default"
    keep_current: bool = False
    splitters: Sequence[Splitter] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


def build(
    request: Request,
    model: Embedder,
    tell: Callable[[str], None],
    progress: Callable[[int, int], Progress] = Progress,
    workers: OpenWorkers = hash_here,
) -> Report:
    """Build and publish what ``request`` says. Notable events go to ``tell``, one line each. ``workers`` opens those
    who do the hashing; ``progress(total, done)`` shows how far they are.

    Raises IndexingError when there is nothing to publish or the disk is full, and the store's own errors. After any
    error the current version is unchanged, and the same request resumes where it stopped.
    """
    store = request.store
    if request.mode == "unnecessary fast":
        require_suitable(model.identity.bits)
    try:
        with store.indexing():
            folder = store.folder / BUILDING / check_new_name(request.name)
            if store.recover() == request.name or (store.has(request.name) and raw_vectors.exist(folder)):
                raw_vectors.remove(folder)
                tell(f"version {request.name} was complete when the last run was killed")
                return _report(store.manifest(request.name), store, 0.0, 0)
            folder = store.building(request.name)
            raw_vectors.remove_orphans(folder.parent, keep=request.name)
            return _Build(request, model, folder, tell, progress, workers).run()
    except sqlite3.Error as error:
        raise IndexingError(f"the image table cannot be written: {error}; {_ON_AGAIN}") from error
    except OSError as error:
        raise IndexingError(f"{store.folder} cannot be written: {error.strerror or error}; {_ON_AGAIN}") from error


_ON_AGAIN = "the served version is untouched, and the same command goes on from here"


class _Build:
    def __init__(
        self,
        request: Request,
        model: Embedder,
        folder: Path,
        tell: Callable[[str], None],
        progress: Callable[[int, int], Progress],
        workers: OpenWorkers,
    ) -> None:
        self._request = request
        self._model = model
        self._folder = folder
        self._identity = model.identity
        self._vectors = RawVectors(folder, self._identity.spaces)
        self._blocks = Blocks(folder)
        self._tell = tell
        self._progress = progress
        self._workers = workers
        self._files = FilesState.of(request.splitters)
        self._done = 0  # items of the source
        self._rows = 0
        self._reused = 0
        self._folded = 0

    def run(self) -> Report:
        request, started = self._request, time.monotonic()
        base = request.store.open(request.base) if request.base else None
        if base:
            base.manifest.require_model(self._identity)
            if not is_verified(base.folder):
                verify(base.folder)  # what is damaged would get new checksums
        carried = Carried(request.store, self._identity)
        table = self._open_table(carried)
        with table, self._vectors.open(self._rows):
            known = KnownVectors(base, checksum=request.checksum, splitters=request.splitters)
            task = Task(request.source, known, request.splitters)
            with self._workers(self._model, task, self._folder) as workers:
                self._hash(workers, table, carried)
            self._take_over(table, carried)
            skipped = table.skipped_count()
            if not self._rows:
                reasons = Counter(reason for _, reason in table.skipped(1000))
                self._discard()
                why = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3)) or "it is empty"
                raise IndexingError(f"{request.source} yields no image, so nothing is published: {why}")
        written = write_vectors(self._folder, self._identity.spaces, self._vectors.vectors(), request.mode)
        manifest = request.store.publish(
            request.name,
            model=self._identity_with(base),
            count=self._rows,
            skipped=skipped,
            files=[*written.files, IMAGES_FILE],
            mode=request.mode,
            keep_current=request.keep_current,
            folded=self._folded,
            shortlists=written.shortlists,
        )
        raw_vectors.remove(self._folder)
        return _report(manifest, request.store, time.monotonic() - started, self._reused)

    def _hash(self, workers: Workers, table: ImageTable, carried: Carried) -> None:
        source = self._request.source
        checkpoint = time.monotonic()
        table.begin()
        with self._progress(source.count, self._done) as progress:
            for outcomes in workers.map(source.items(self._done), self._done):
                skipped = sum(self._keep(image, table, carried) for outcome in outcomes for image in outcome.images)
                self._count(outcomes)
                progress.advance(len(outcomes), skipped)
                if time.monotonic() - checkpoint > _CHECKPOINT_SECONDS:
                    self._checkpoint(table)
                    table.begin()
                    checkpoint = time.monotonic()
            self._checkpoint(table)

    def _keep(self, image: Embedded | Skipped, table: ImageTable, carried: Carried) -> bool:
        """Give ``image`` a row, or record why it has none. Returns whether it was skipped."""
        if isinstance(image, Skipped):
            table.skip(image.path, image.reason)
        elif carried.is_removed(image.file.path, image.file.digest):
            table.skip(image.file.path, REMOVED, image.file.digest)
        elif table.add(self._next_row(), image.file, image.sourced):
            self._vectors.append(image.vectors)
            self._rows += 1
            self._reused += image.reused
            return False
        else:
            table.skip(image.file.path, "listed twice; the first place counts")
        return True

    def _count(self, outcomes: list[Outcome]) -> None:
        self._done += len(outcomes)
        for outcome in outcomes:
            self._files.add(outcome.item)

    def _take_over(self, table: ImageTable, carried: Carried) -> None:
        """Carry over what users gave the collection: metadata of listed images, and images outside the listing."""
        table.begin()
        for edited in carried.edited():
            entry = edited.entry
            if table.give(entry.path, entry.metadata, entry.fetched) or edited.listed:
                continue
            table.add_given(self._next_row(), entry.path, entry.digest or b"", entry.metadata, entry.fetched)
            self._vectors.append(entry.vectors)
            self._rows += 1
        self._checkpoint(table)

    def _next_row(self) -> int:
        if self._rows >= MAX_CODES:
            raise IndexingError(f"one index version holds at most {MAX_CODES:,} images")
        return self._rows

    def _checkpoint(self, table: ImageTable) -> None:
        self._vectors.sync()
        table.note([("lines_done", self._done), (FilesState.FACT, self._files.text)])
        table.commit()
        self._blocks.drop(self._done)

    def _open_table(self, carried: Carried) -> ImageTable:
        """Returns the table of an unfinished build of the same request, or a new one."""
        request = self._request
        facts: dict[str, str | int] = {
            "source": request.source.state + "".join(f" {each}" for each in request.splitters),
            "model": self._identity.model_dump_json(),
            "base_version": request.base or "",
            "checksum": int(request.checksum),
        }
        path = self._folder / IMAGES_FILE
        if path.exists() and self._vectors.exist():
            differing = ["image table, now damaged"]
            try:
                table = ImageTable(path, writable=True)
                found, self._rows = table.build_facts(), len(table)
                differing = [key for key, value in facts.items() if found.get(key) != value]
                if self._vectors.rows() < self._rows:
                    differing.append("number of codes on disk")  # the file system lost synced data
                self._folded = int(found.get("folded", 0))
                if not carried.keeps(self._folded):
                    differing.append("state of the collection")
                if not differing:
                    self._done, self._reused = int(found["lines_done"]), self._rows
                    self._files = FilesState(str(found.get(FilesState.FACT, "")))
                    self._tell(f"going on after {self._done:,} of {request.source.count:,} images")
                    return table
                table.close()
            except sqlite3.OperationalError:
                raise  # the disk is full or read-only
            except sqlite3.DatabaseError:
                pass
            self._rows = 0
            self._tell(f"an unfinished build of {request.name} had another {', '.join(differing)}; starting afresh")
        self._discard()
        self._folder.mkdir(parents=True)
        self._vectors.create()
        table = ImageTable(path, writable=True)
        table.begin()
        self._folded = carried.folded
        table.note(
            [
                *facts.items(),
                (SPLITTERS, names_of(request.splitters)),
                ("lines_done", 0),
                ("folded", self._folded),
                ("left_out", json.dumps(request.left_out)),
            ]
        )
        table.commit()
        return table

    def _identity_with(self, base: IndexVersion | None) -> ModelIdentity:
        """Returns the model's identity; if codes were reused, with the decoders and precisions of ``base`` too."""
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
        raw_vectors.remove(self._folder)


def _both(earlier: str | None, ours: str | None) -> str:
    """Returns the names in a version's ``earlier`` list and ``ours``, each once."""
    return "; ".join(dict.fromkeys(name for name in (*(earlier or "").split("; "), ours) if name))


def _report(manifest: Manifest, store: IndexStore, seconds: float, reused: int) -> Report:
    with ImageTable(store.folder / manifest.version / IMAGES_FILE) as table:
        return Report(manifest, seconds, reused, table.skipped(20), table.skipped_count(REMOVED))

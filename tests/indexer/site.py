"""An indexer that gets killed, or runs out of disk, and what must be true then."""

import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from embedding.torchscript import TorchScriptEmbedder
from indexer import builder
from indexer.builder import Report, Request, build
from indexer.errors import IndexingError
from indexer.hasher import CHUNK
from searcher.errors import VersionExists
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fakes import code_bytes, detail_bytes
from tests.indexer.conftest import Bench
from tests.indexer.stored import codes_by_path, images_of, skipped_of
from tests.searcher.live.killed import be_killed_before, processes

#: What changes files, or makes sure of them, by name: C functions, and the image table's own steps.
DISK_STEPS = frozenset([
    "mkdir", "executescript", "note", "commit", "commit done", "fsync", "truncate", "write_index_binary", "write_text",
    "rename", "replace", "unlink",
])  # fmt: skip
#: The exit status of an indexer that says why it stops.
REFUSED = 3

Process = multiprocessing.process.BaseProcess


@dataclass(frozen=True)
class Site:
    """Version 0 is served, and 1.5.0 is to be built from pictures with ``codes``, and ``details`` if the model gives
    them, and as many paths without a file."""

    bench: Bench
    codes: dict[str, int]
    details: dict[str, int]

    @property
    def folder(self) -> Path:
        return self.bench.folder

    @property
    def lines(self) -> list[str]:
        return [line for name in self.codes for line in (name, f"missing-{name}")]

    @property
    def building(self) -> Path:
        return self.bench.store.folder / ".building"

    def start_over(self) -> None:
        shutil.rmtree(self.bench.store.folder)
        shutil.copytree(self.folder / "before", self.bench.store.folder)
        self.bench.told.clear()

    def indexer(
        self, *, kill_before: int | None = None, steps: frozenset[str] = DISK_STEPS, largest_file: int | None = None
    ) -> Process:
        """Start an indexer that gets killed before the n-th of ``steps``, or can write no file over a size."""
        self.bench.list(self.lines)
        process = processes.Process(target=index_in_child, args=(self.folder, kill_before, steps, largest_file))
        process.start()
        return process

    def kill_with_checkpoints(self, checkpoints: int) -> None:
        """Leave a build of so many chunks, and codes of one more that were not committed."""
        commit_of_the_empty_table = 1
        indexer = self.indexer(kill_before=commit_of_the_empty_table + checkpoints + 1, steps=frozenset(["commit"]))
        assert ended(indexer) == -signal.SIGKILL
        assert self.lines_done() == checkpoints * CHUNK

    def lines_done(self) -> int:
        """How far the last checkpoint of the unfinished build is; 0 while there is none."""
        address = f"file:{self.building}/1.5.0/images.db?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=0)) as connection:
                found = connection.execute("SELECT value FROM build WHERE key = 'lines_done'").fetchone()
        except sqlite3.OperationalError:  # not there yet, or just being written
            return 0
        return int(found[0]) if found else 0

    def run_again(self) -> Report | None:
        """The same request, left in peace. None where the killed run had nothing left to do but to end."""
        try:
            return self.bench.index("1.5.0", self.lines)
        except VersionExists:
            assert self.bench.store.current() == "1.5.0"
            return None

    def assert_served(self) -> None:
        """CURRENT names a whole version, and it is the old one or the complete new one."""
        current = self.bench.store.current()
        assert current in ("0", "1.5.0")
        self.bench.store.verify(current)
        if current == "1.5.0":
            self.assert_as_undisturbed()

    def assert_as_undisturbed(self) -> None:
        version, undisturbed = self.bench.version("1.5.0"), self.folder / "undisturbed"
        assert self.bench.store.current() == "1.5.0"
        assert list(codes_by_path(version).items()) == [(path, code_bytes(code)) for path, code in self.codes.items()]
        files = {"index.faiss", "images.db"}
        if self.details:
            files.add("details.faiss")
            found = codes_by_path(version, "details.faiss")
            assert list(found.items()) == [(path, detail_bytes(detail)) for path, detail in self.details.items()]
        for name in files - {"images.db"}:
            assert (version / name).read_bytes() == (undisturbed / name).read_bytes()
        assert files <= self.bench.store.manifest("1.5.0").files.keys()
        assert {path.name for path in version.glob("*.faiss")} <= files
        assert images_of(version) == images_of(undisturbed)
        assert skipped_of(version) == skipped_of(undisturbed)
        self.bench.store.verify("1.5.0")


def ended(process: Process) -> int:
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def index_in_child(folder: Path, kill_before: int | None, steps: frozenset[str], largest_file: int | None) -> None:
    """What the indexer's process does: as ever, and a checkpoint a chunk."""
    builder._CHECKPOINT_SECONDS = 0.0
    model = TorchScriptEmbedder.load(folder / "model.pt")
    request = Request(
        IndexStore(folder / "index_store"), "1.5.0", FolderSource(folder, Listing(folder / "database_info.txt"))
    )
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    if kill_before is not None:
        be_killed_before(kill_before, steps)
    try:
        build(request, model, lambda _line: None)
    except IndexingError:
        os._exit(REFUSED)
    os._exit(0)


def site_in(folder: Path, model_path: Path, images: int) -> Site:
    shutil.copy(model_path, folder / "model.pt")
    model = TorchScriptEmbedder.load(model_path)
    codes = {f"{number}.png": number * 163 for number in range(images)}
    details = {name: code * 26_317 for name, code in codes.items()} if model.card.detail_bits else {}
    bench = Bench(folder, model, [])
    site = Site(bench, codes, details)
    bench.write({name: (code, details[name]) if details else code for name, code in codes.items()})
    bench.index("0", ["0.png"])
    shutil.copytree(bench.store.folder, folder / "before")
    bench.index("1.5.0", site.lines)
    shutil.copytree(bench.version("1.5.0"), folder / "undisturbed")
    return site

"""An indexer may be killed at any moment, or run out of disk: the served version stays, and the same command ends with
just the files that an undisturbed run writes."""

import multiprocessing
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import FrameType

import pytest

from hashing.model import HashModel
from indexer import builder
from indexer.builder import Report, Request, build
from indexer.errors import IndexingError
from indexer.hasher import CHUNK
from indexer.listing import Listing
from searcher.errors import VersionExists
from searcher.manifest import Mode
from searcher.store import IndexStore
from searcher.tables import TABLE_FILES
from tests.fakes import code_bytes, detail_bytes
from tests.indexer.conftest import Bench
from tests.indexer.stored import codes_by_path, images_of, skipped_of

# Children are forked from a process that has imported torch already: real processes, without two seconds each.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])

#: What changes files, or makes sure of them, by name: C functions, and the image table's own steps.
_DISK_STEPS = frozenset([
    "mkdir", "executescript", "note", "commit", "commit done", "fsync", "truncate", "write_index_binary", "write_text",
    "rename", "replace", "unlink",
])  # fmt: skip
_REFUSED = 3

_Process = multiprocessing.process.BaseProcess


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
        self, *, kill_before: int | None = None, steps: frozenset[str] = _DISK_STEPS, largest_file: int | None = None
    ) -> _Process:
        """Start an indexer that gets killed before the n-th of ``steps``, or can write no file over a size."""
        self.bench.list(self.lines)
        process = _processes.Process(target=index_in_child, args=(self.folder, kill_before, steps, largest_file))
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


def ended(process: _Process) -> int:
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def index_in_child(folder: Path, kill_before: int | None, steps: frozenset[str], largest_file: int | None) -> None:
    """What the indexer's process does: as ever, and a checkpoint a chunk."""
    builder._CHECKPOINT_SECONDS = 0.0
    model = HashModel.load(folder / "model.pt")
    request = Request(IndexStore(folder / "index_store"), "1.5.0", Listing(folder / "database_info.txt"), folder)
    numbers = count(1)

    def watch(frame: FrameType, event: str, called: object) -> None:
        name = {
            "call": frame.f_code.co_name,
            "return": f"{frame.f_code.co_name} done",
            "c_call": getattr(called, "__name__", ""),
        }.get(event)
        if name in steps and next(numbers) == kill_before:
            os.kill(os.getpid(), signal.SIGKILL)

    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    if kill_before is not None:
        sys.setprofile(watch)
    try:
        build(request, model, lambda _line: None)
    except IndexingError:
        os._exit(_REFUSED)
    os._exit(0)


def _site(folder: Path, model_path: Path, images: int) -> Site:
    shutil.copy(model_path, folder / "model.pt")
    model = HashModel.load(model_path)
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


@pytest.fixture(scope="module")
def _plain(tmp_path_factory: pytest.TempPathFactory, grid_path: Path) -> Site:
    return _site(tmp_path_factory.mktemp("plain"), grid_path, 24)


@pytest.fixture(scope="module")
def _detailed(tmp_path_factory: pytest.TempPathFactory, colours_path: Path) -> Site:
    return _site(tmp_path_factory.mktemp("detailed"), colours_path, 24)


@pytest.fixture(scope="module")
def _many(tmp_path_factory: pytest.TempPathFactory, colours_path: Path) -> Site:
    return _site(tmp_path_factory.mktemp("many"), colours_path, 400)


@pytest.fixture(params=["_plain", "_detailed"])
def few(request: pytest.FixtureRequest) -> Site:
    """Three chunks of lines, for a model without detail codes and one with them."""
    site: Site = request.getfixturevalue(request.param)
    site.start_over()
    return site


@pytest.fixture
def detailed(_detailed: Site) -> Site:
    """Three chunks of lines, for a model with detail codes."""
    _detailed.start_over()
    return _detailed


@pytest.fixture
def many(_many: Site) -> Site:
    """Fifty chunks of lines, for a model with detail codes."""
    _many.start_over()
    return _many


# --- Killed


def test_killed_before_any_step_that_touches_the_disk(few: Site) -> None:
    for step in count(1):
        few.start_over()
        code = ended(few.indexer(kill_before=step))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        few.assert_served()
        checkpoint = few.lines_done()
        few.run_again()
        few.assert_as_undisturbed()
        if checkpoint:
            assert few.bench.told == [f"going on after {checkpoint} of 48 images"]
    assert step > 30


@pytest.mark.parametrize("checkpoints", [0, 1, 25, 49])
def test_killed_after_a_checkpoint_only_the_rest_is_done(many: Site, checkpoints: int) -> None:
    many.kill_with_checkpoints(checkpoints)
    many.assert_served()
    report = many.run_again()
    many.assert_as_undisturbed()
    assert many.bench.told == [f"going on after {checkpoints * CHUNK} of 800 images"]
    assert report is not None
    assert report.reused == checkpoints * CHUNK // 2  # every other line is an image


def test_killed_from_outside_again_and_again(many: Site) -> None:
    """At random moments, each after some more checkpoints than the one before."""
    moment = random.Random(20)
    for lines in (1, 100, 1, 200, 100):
        goal = many.lines_done() + lines
        indexer = many.indexer()
        while indexer.is_alive() and many.lines_done() < goal:
            time.sleep(0.001)
        indexer.join(moment.uniform(0.0, 0.01))
        indexer.kill()
        assert ended(indexer) in (-signal.SIGKILL, 0)
        many.assert_served()
        if many.bench.store.current() == "1.5.0":
            break
    many.run_again()
    many.assert_as_undisturbed()


# --- What a killed run, or a file system that lost something, may have left


def test_codes_that_no_row_was_committed_for_are_cut_off(few: Site) -> None:
    few.kill_with_checkpoints(1)
    with (few.building / ".1.5.0.codes").open("ab") as codes:
        codes.write(b"\xff" * 1001)
    few.run_again()
    few.assert_as_undisturbed()
    assert few.bench.told == ["going on after 16 of 48 images"]


@pytest.mark.parametrize("size", [0, 1, 15])
def test_codes_that_are_fewer_than_the_rows_start_the_build_afresh(few: Site, size: int) -> None:
    few.kill_with_checkpoints(1)
    os.truncate(few.building / ".1.5.0.codes", size)
    few.run_again()
    few.assert_as_undisturbed()
    assert few.bench.told == ["an unfinished build of 1.5.0 had another number of codes on disk; starting afresh"]


def test_detail_codes_that_no_row_was_committed_for_are_cut_off(detailed: Site) -> None:
    detailed.kill_with_checkpoints(1)
    with (detailed.building / ".1.5.0.details").open("ab") as details:
        details.write(b"\xff" * 1001)
    detailed.run_again()
    detailed.assert_as_undisturbed()
    assert detailed.bench.told == ["going on after 16 of 48 images"]


@pytest.mark.parametrize("size", [0, 1, 31])
def test_detail_codes_that_are_fewer_than_the_rows_start_the_build_afresh(detailed: Site, size: int) -> None:
    """Eight rows of four bytes are committed."""
    detailed.kill_with_checkpoints(1)
    os.truncate(detailed.building / ".1.5.0.details", size)
    detailed.run_again()
    detailed.assert_as_undisturbed()
    assert detailed.bench.told == ["an unfinished build of 1.5.0 had another number of codes on disk; starting afresh"]


def test_lost_detail_codes_start_the_build_afresh(detailed: Site) -> None:
    detailed.kill_with_checkpoints(1)
    (detailed.building / ".1.5.0.details").unlink()
    detailed.run_again()
    detailed.assert_as_undisturbed()


@pytest.mark.parametrize("lost", [".1.5.0.codes", "1.5.0/images.db"])
def test_a_lost_file_starts_the_build_afresh(few: Site, lost: str) -> None:
    few.kill_with_checkpoints(1)
    (few.building / lost).unlink()
    few.run_again()
    few.assert_as_undisturbed()


def test_an_empty_table_starts_the_build_afresh(few: Site) -> None:
    few.kill_with_checkpoints(1)
    os.truncate(few.building / "1.5.0" / "images.db", 0)
    few.run_again()
    few.assert_as_undisturbed()


def test_a_damaged_table_starts_the_build_afresh(few: Site) -> None:
    few.kill_with_checkpoints(1)
    (few.building / "1.5.0" / "images.db").write_bytes(b"no database" * 1000)
    few.run_again()
    few.assert_as_undisturbed()
    assert few.bench.told == ["an unfinished build of 1.5.0 had another image table, now damaged; starting afresh"]


def test_a_run_killed_after_its_last_rename_has_nothing_left_to_do(few: Site) -> None:
    few.run_again()
    left = [few.building / f".1.5.0{suffix}" for suffix in ((".codes", ".details") if few.details else (".codes",))]
    for path in left:
        path.touch()
    report = few.run_again()
    assert few.bench.told == ["version 1.5.0 was complete when the last run was killed"]
    assert report is not None and report.manifest.version == "1.5.0"
    assert not any(path.exists() for path in left)


def test_a_run_killed_after_publishing_beside_the_current_version_has_nothing_left_to_do(few: Site) -> None:
    few.run_again()
    few.bench.store.promote("0")
    (few.building / ".1.5.0.codes").touch()
    report = few.run_again()
    assert few.bench.told == ["version 1.5.0 was complete when the last run was killed"]
    assert report is not None and report.manifest.version == "1.5.0"
    assert few.bench.store.current() == "0"


def test_half_an_index_file_is_written_anew(few: Site) -> None:
    few.kill_with_checkpoints(2)
    for name in ("index.faiss", "details.faiss") if few.details else ("index.faiss",):
        (few.building / "1.5.0" / name).write_bytes(b"IBxF half")
    (few.building / "1.5.0" / "manifest.json").write_text("{")
    few.run_again()
    few.assert_as_undisturbed()


@pytest.mark.parametrize("mode", ["default", "unnecessary fast"])
def test_half_written_tables_are_written_anew_or_left_out(few: Site, mode: Mode) -> None:
    few.kill_with_checkpoints(2)
    for name in TABLE_FILES[:3]:
        (few.building / "1.5.0" / name).write_bytes(b"half")
    few.bench.index("1.5.0", few.lines, mode=mode)
    few.assert_as_undisturbed()
    few.bench.index("another", few.lines, mode="unnecessary fast")
    for name in TABLE_FILES:
        resumed, undisturbed = few.bench.version("1.5.0") / name, few.bench.version("another") / name
        if mode == "default":
            assert not resumed.exists()
        else:
            assert resumed.read_bytes() == undisturbed.read_bytes()


def test_another_model_starts_the_build_afresh(few: Site, other_model: HashModel) -> None:
    few.kill_with_checkpoints(1)
    report = few.bench.index("1.5.0", few.lines, model=other_model)
    assert few.bench.told == ["an unfinished build of 1.5.0 had another model; starting afresh"]
    assert report.manifest.model.name == "other"
    assert set(report.manifest.files) == {"index.faiss", "images.db"}
    assert list(few.building.iterdir()) == []
    assert report.reused == 0
    assert len(codes_by_path(few.bench.version("1.5.0"))) == 24


def test_another_listing_starts_the_build_afresh(few: Site) -> None:
    few.kill_with_checkpoints(1)
    few.bench.index("1.5.0", ["5.png", "3.png"])
    assert few.bench.told == ["an unfinished build of 1.5.0 had another listing_sha256; starting afresh"]
    assert list(codes_by_path(few.bench.version("1.5.0"))) == ["5.png", "3.png"]


def test_another_base_starts_the_build_afresh(few: Site) -> None:
    few.kill_with_checkpoints(1)
    few.bench.index("1.5.0", few.lines, base="0")
    few.assert_as_undisturbed()
    assert few.bench.told == ["an unfinished build of 1.5.0 had another base_version; starting afresh"]


def test_an_unfinished_build_waits_while_another_version_is_built(few: Site) -> None:
    few.kill_with_checkpoints(2)
    few.bench.index("1.4.0", ["5.png", "3.png"])
    assert few.bench.told == []
    few.run_again()
    few.assert_as_undisturbed()
    assert few.bench.told == ["going on after 32 of 48 images"]


def test_codes_of_a_build_that_was_published_are_swept_up_by_the_next(few: Site) -> None:
    few.run_again()
    for suffix in (".codes", ".details"):
        (few.building / f".1.5.0{suffix}").write_bytes(b"codes")
    few.bench.index("1.6.0", ["5.png"])
    assert list(few.building.iterdir()) == []


def test_a_publish_that_was_killed_between_its_renames_is_finished(few: Site) -> None:
    few.run_again()
    (few.bench.store.folder / "CURRENT").write_text("0\n")
    (few.bench.store.folder / "CURRENT.next").write_text("1.5.0\n")
    report = few.run_again()
    assert few.bench.told == ["version 1.5.0 was complete when the last run was killed"]
    assert report is not None
    assert (report.manifest.count, report.manifest.skipped) == (24, 24)
    few.assert_as_undisturbed()


# --- A full disk


@pytest.mark.parametrize("largest_file", [0, 20, 100, 4096, 16384, 24576, 28672])
def test_a_full_disk_leaves_the_served_version_and_the_build_goes_on_later(many: Site, largest_file: int) -> None:
    assert ended(many.indexer(largest_file=largest_file)) == _REFUSED
    assert many.bench.store.current() == "0"
    many.bench.store.verify("0")
    many.run_again()
    many.assert_as_undisturbed()

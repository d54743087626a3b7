"""Killed before any step that touches the disk, and at any moment: CURRENT names a whole version, the same command ends
with the files of an undisturbed run, byte by byte, and no write that was acknowledged is lost."""

import os
import random
import shutil
import signal
import time
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from searcher.collections import Collections
from searcher.live.collection import Collection
from searcher.versions.store import IndexStore
from tests.indexer.site import Site, ended, site_in
from tests.reliability.campaign import Sizes, Tell
from tests.searcher.live.fixtures import MODEL, addition, contents, publish
from tests.searcher.live.killed import be_killed_before, fold_killed_before, processes
from tests.searcher.live.writers import change, killed_after, prefix, state

#: A writer's own steps; SQLite's, between them, are those of random moments.
_WRITER_STEPS = frozenset(
    ["connect", "executescript", "execute", "executemany", "link", "fsync", "rmtree", "view done"]
)


@pytest.fixture(scope="module", params=["grid_path", "colours_path"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Three chunks of lines, for a model without detail codes and one with them."""
    return site_in(tmp_path_factory.mktemp("site"), request.getfixturevalue(request.param), 24)


# --- The indexer


def test_an_indexer_at_every_step(site: Site, sizes: Sizes, tell: Tell) -> None:
    kills = 0
    for step in count(1, sizes.stride):
        site.start_over()
        code = ended(site.indexer(kill_before=step))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
        site.assert_served()
        checkpoint = site.lines_done()
        site.run_again()
        site.assert_as_undisturbed()
        if checkpoint:
            assert site.bench.told == [f"going on after {checkpoint} of 48 images"]
    assert step > 30
    tell(f"{kills} kills at steps: {kills} as undisturbed")


def test_an_indexer_at_any_moment(site: Site, sizes: Sizes, tell: Tell) -> None:
    """Again and again, until the version is there; then from the beginning."""
    moment, runs = random.Random(20), 0
    site.start_over()
    began = time.monotonic()
    assert ended(site.indexer()) == 0
    takes = time.monotonic() - began
    for _ in range(sizes.moments):
        if site.bench.store.current() == "1.5.0":
            site.start_over()
            runs += 1
        indexer = site.indexer()
        indexer.join(moment.uniform(0, takes))
        indexer.kill()
        assert ended(indexer) in (-signal.SIGKILL, 0)
        site.assert_served()
    site.run_again()
    site.assert_as_undisturbed()
    tell(f"{sizes.moments} kills at random moments of {runs + 1} builds: each as undisturbed")


# --- A fold


def _changed(folder: Path) -> Collection:
    """A version, folds of it, and changes that aren't folded."""
    store = IndexStore(folder)
    publish(store, "1.0", [addition("a", 0), addition("b", 1), addition("c", 3)])
    collection = Collection("default", folder)
    collection.add([addition("d", 7), addition("a", 15)])
    collection.remove(["c"])
    for name in ("n0", "n1"):
        collection.add([addition(name, 9)])
        collection.fold()
    collection.remove(["n0"])
    collection.journal.close()
    return collection


def test_a_fold_at_every_step(tmp_path: Path, sizes: Sizes, tell: Tell) -> None:
    _changed(tmp_path / "before")
    kills = 0
    for step in count(1, sizes.stride):
        store = IndexStore(tmp_path / str(step))
        shutil.copytree(tmp_path / "before", store.folder)
        collection = Collection("default", store.folder)
        here = contents(collection.view())
        assert here.keys() == {"a", "b", "d", "n1"}
        code = fold_killed_before(store.folder, step)
        for reader in (collection, Collection("default", store.folder)):
            assert contents(reader.view()) == here
        collection.add([addition("later", 1)])
        collection.fold()
        assert contents(collection.view()) == here | {"later": b"\x00\x01"}
        assert len(store.names()) <= 4 and not (store.folder / "CURRENT.next").exists()
        store.verify(str(store.current()))
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert step > 30
    tell(f"{kills} kills at steps: 0 changes lost")


def test_a_fold_at_any_moment(tmp_path: Path, sizes: Sizes, tell: Tell) -> None:
    moment = random.Random(3)
    collection = _changed(tmp_path)
    killed = 0
    for number in range(2):  # the first one waits for the process that others are forked from
        collection.add([addition("a", number)])
        began = time.monotonic()
        process = processes.Process(target=_fold, args=(tmp_path,))
        process.start()
        assert ended(process) == 0
        takes = time.monotonic() - began
    for number in range(sizes.moments):
        collection.add([addition(f"m{number % 20}", number)])
        here = contents(collection.view())
        process = processes.Process(target=_fold, args=(tmp_path,))
        process.start()
        process.join(moment.uniform(0, takes))
        process.kill()
        killed += ended(process) != 0
        assert contents(collection.view()) == contents(Collection("default", tmp_path).view()) == here
        collection.store.verify(str(collection.store.current()))
    assert collection.fold() is not None or not collection.unfolded()
    assert contents(collection.view()) == here
    tell(f"{sizes.moments} kills at random moments, {killed} before the end: 0 changes lost")


def _fold(folder: Path) -> None:
    Collection("default", folder).fold()
    os._exit(0)


# --- A writer


def test_a_writer_at_every_step(tmp_path: Path, sizes: Sizes, tell: Tell) -> None:
    """Of its first changes, with which the journal begins, to which a fold belongs."""
    kills = 0
    for step in count(1, sizes.stride):
        shoes = _shoes(tmp_path / str(step))
        ours, theirs = processes.Pipe(duplex=False)
        process = processes.Process(target=_write, args=(shoes.folder, step, theirs))
        process.start()
        theirs.close()
        code = ended(process)
        last = len(os.read(ours.fileno(), 100))
        ours.close()
        prefix(_state(shoes), 0, last, last + 1)
        shoes.add([addition("later", 1, metadata='{"step": 1}')])
        assert shoes.view().image("later") is not None
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert (last, step > 30) == (_CHANGES, True)
    tell(f"{kills} kills at steps: 0 acknowledged changes lost")


_CHANGES = 5


def _write(folder: Path, kill_before: int, told: Connection) -> None:
    collection = Collection("default", folder)
    be_killed_before(kill_before, _WRITER_STEPS)
    for step in range(1, _CHANGES + 1):
        change(collection, 0, step)
        os.write(told.fileno(), b"1")
    os._exit(0)


def test_a_writer_at_any_moment(tmp_path: Path, sizes: Sizes, tell: Tell) -> None:
    """The first moments are around the journal's own beginning; reading goes on, from before and afresh."""
    moment = random.Random(0)
    before = _shoes(tmp_path)
    step = 0
    for round in range(sizes.moments):
        last = killed_after(before.folder, step + 1, moment.choice([0, 0, 1, 5, 20]), moment.uniform(0.0, 0.02))
        fresh = Collections(tmp_path).open("shoes")
        step = prefix(_state(fresh), 0, last, last + 1)
        assert prefix(_state(before), 0, step, step) == step
        if round % 10 == 2:
            fresh.fold()
            assert prefix(_state(fresh), 0, step, step) == step
            fresh.store.verify(str(fresh.store.current()))
    tell(f"{sizes.moments} kills at random moments among {step} changes: 0 acknowledged changes lost")


def _shoes(folder: Path) -> Collection:
    folder.mkdir(exist_ok=True)
    return Collections(folder).create("shoes", MODEL)


def _state(collection: Collection) -> dict[str, int]:
    return state(collection.view())

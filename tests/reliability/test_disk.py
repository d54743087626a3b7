"""A disk that is full, read-only or gone, two who write at once, a clock that jumps: whatever wants to change a store
does it wholly or says why not, and goes on when the trouble is over.

Each trouble meets each operation: index, fold, add, publish. A full or read-only disk is a tmpfs of the test's own
where mounting is allowed; elsewhere the size of the largest file, and the folders' permissions, stand for it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest

from searcher.errors import SearcherError
from searcher.versions import store as store_module
from tests.fakes import write_datalake
from tests.reliability.campaign import Sizes, Tell
from tests.reliability.operations import (
    ADDED,
    BASE,
    MODEL,
    MORE,
    NEXT,
    OPERATIONS,
    PICTURES,
    Running,
    collection_in,
    run,
    store_in,
)
from tests.searcher.live.fixtures import contents, publish

BEFORE = {each.path for each in [*BASE, *ADDED]}


def make(folder: Path) -> Path:
    """Versions 1.0 and 2.0, of which the former is current, forty added images, and pictures to be indexed."""
    lines = write_datalake(folder, PICTURES)
    (folder / "database_info.txt").write_text("".join(f"{line}\n" for line in lines))
    publish(store_in(folder), "1.0", BASE, model=MODEL.identity)
    publish(store_in(folder), "2.0", NEXT, model=MODEL.identity, keep_current=True)
    collection = collection_in(folder)
    collection.add(ADDED)
    collection.rest()
    return folder


def names(folder: Path) -> set[str]:
    """The images of the collection, whose version is verified."""
    collection = collection_in(folder)
    found = contents(collection.view()).keys()
    collection.store.verify(str(collection.store.current()))
    collection.rest()
    return set(found)


def after(name: str) -> set[str]:
    _, images = OPERATIONS[name]
    return images


@pytest.fixture(params=list(OPERATIONS))
def name(request: pytest.FixtureRequest) -> str:
    operation: str = request.param
    return operation


# --- Troubles


class Disk:
    """A disk of 8 MiB, mounted where that is allowed, in a folder that everybody may enter."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp(prefix="hashlake-disk-"))
        self.folder.chmod(0o755)
        self.mounted = self._mount("-t", "tmpfs", "-o", "size=8m", "tmpfs")

    def _mount(self, *options: str) -> bool:
        return subprocess.run(["mount", *options, str(self.folder)], capture_output=True, check=False).returncode == 0

    def remove(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
        shutil.rmtree(self.folder)

    @contextmanager
    def filled(self, left: int) -> Iterator[int | None]:
        """Within the block, ``left`` bytes are free; or yields the size of the largest file that may be written."""
        if not self.mounted:
            yield left
            return
        filler = self.folder / "filler"
        free = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize
        filler.write_bytes(bytes(max(0, free - left)))
        yield None
        filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        if self.mounted:
            assert self._mount("-o", "remount,ro")
            yield
            assert self._mount("-o", "remount,rw")
            return
        modes = {path: path.stat().st_mode for path in [self.folder, *self.folder.rglob("*")]}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        yield
        for path, mode in modes.items():
            path.chmod(mode)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.remove()


def test_full(disk: Disk, name: str, sizes: Sizes, tell: Tell) -> None:
    """With more and more room, until it suffices."""
    refused = 0
    for left in range(0, 1 << 20, sizes.room):
        folder = make(disk.folder / str(left))
        with disk.filled(left) as largest_file:
            outcome = run(name, folder, largest_file)
            assert outcome == "done" or outcome.startswith("refused: "), outcome
        if outcome == "done":
            break
        refused += 1
        assert names(folder) == BEFORE
        assert run(name, folder) == "done"
        assert names(folder) == after(name)
        shutil.rmtree(folder)
    assert names(folder) == after(name)
    assert refused and outcome == "done"
    tell(f"refused {refused} times with 0 to {left:,} bytes left: 0 changed by halves")


def test_read_only(disk: Disk, name: str, tell: Tell) -> None:
    folder = make(disk.folder / "store")
    with disk.read_only():
        assert names(folder) == BEFORE
        outcome = run(name, folder, as_nobody=not disk.mounted)
        assert outcome.startswith("refused: "), outcome
        assert names(folder) == BEFORE
    assert run(name, folder) == "done"
    assert names(folder) == after(name)
    tell(outcome.replace(str(folder), "…")[:100])


def test_gone(tmp_path: Path, name: str, tell: Tell) -> None:
    """Deleted while a process has it open; then indexing makes it anew."""
    folder = make(tmp_path / "store")
    opened = collection_in(folder)
    opened.view()
    shutil.rmtree(folder / "index_store")
    for ask in (opened.view, opened.fold, lambda: opened.add(MORE), collection_in(folder).view):
        with pytest.raises(SearcherError):
            ask()
    outcome = run(name, folder)
    assert outcome.startswith("done" if name == "index" else "refused: ")
    if name != "index":
        assert run("index", folder) == "done"
    assert names(folder) == {*PICTURES}
    opened.add(ADDED)
    assert set(contents(opened.view())) == after("index")
    tell(outcome.replace(str(folder), "…")[:100])


def test_two_at_once(tmp_path: Path, name: str, sizes: Sizes, tell: Tell) -> None:
    """Both do it, or one does, and the other says that somebody else is at work, or was."""
    busy = 0
    for round in range(sizes.pairs):
        folder = make(tmp_path / str(round))
        pair = [Running(name, folder) for _ in range(2)]
        outcomes = [each.outcome for each in pair]
        assert "done" in outcomes
        for outcome in outcomes:
            busy += outcome != "done"
            assert outcome == "done" or "another indexer" in outcome or "version 3.0 exists already" in outcome, outcome
        assert names(folder) == after(name)
        shutil.rmtree(folder)
    tell(f"{sizes.pairs} pairs, {busy} refused: 0 changes lost")


@pytest.mark.parametrize("years", [20, -20])
def test_a_clock_that_jumps(tmp_path: Path, name: str, years: int, monkeypatch: pytest.MonkeyPatch, tell: Tell) -> None:
    """And back again: what was published later stays the later, for going back and for pruning."""
    folder = make(tmp_path)
    store = store_in(folder)

    class Jumped(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(days=365 * years)

    operation, _ = OPERATIONS[name]
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "datetime", Jumped)
        operation(folder)
        assert names(folder) == after(name)
        publish(store, "4.0", NEXT, model=MODEL.identity)
    publish(store, "5.0", BASE, model=MODEL.identity)
    assert [manifest.version for manifest in store.manifests()][-2:] == ["4.0", "5.0"]
    assert (store.current(), store.previous()) == ("5.0", "4.0")
    assert {"1.0", "2.0"} <= {*store.prune(1)} and store.names() == ["5.0"]
    tell(f"{years:+} years and back: in order")

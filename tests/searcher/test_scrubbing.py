"""Damage is found in the background, named, and never served."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from searcher import scrubbing
from searcher.collections import Collections
from searcher.errors import JournalDamaged, VersionDamaged
from searcher.live import follower
from searcher.live.carry import Carried
from searcher.live.collection import Collection
from searcher.scrubbing import Scrubbing
from searcher.versions import scrub
from searcher.versions.scrub import Pace, read_gently
from searcher.versions.store import IndexStore
from searcher.versions.verdict import edition, is_verified, path_of, record, stamps_of, verdict_on
from searcher.versions.version import verify
from tests.searcher.live.fixtures import DETAILED, MODEL, addition, contents, publish

FILES = ["index.faiss", "images.db", "manifest.json"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_TRUST_SECONDS", 0.0)
    monkeypatch.setattr(scrubbing, "_LOOK_SECONDS", 0.01)


@pytest.fixture
def two(store: IndexStore) -> IndexStore:
    """1.0 of a and b, and the current 2.0, of c as well."""
    publish(store, "1.0", [addition("a", 0), addition("b", 1)])
    publish(store, "2.0", [addition("a", 0), addition("b", 1), addition("c", 2)])
    return store


def flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.fixture
def running(store: IndexStore) -> Iterator[Scrubbing]:
    found = Scrubbing(store.folder, 1e9)
    yield found
    found.close()


class TestVerdicts:
    def test_of_a_whole_version(self, two: IndexStore) -> None:
        folder = two.folder / "2.0"
        assert verdict_on(folder) is None and not is_verified(folder)
        two.verify("2.0")
        verdict = verdict_on(folder)
        assert verdict is not None and verdict.damaged is None and is_verified(folder)
        assert datetime.now(UTC) - verdict.checked < timedelta(minutes=1)

    @pytest.mark.parametrize("file", FILES)
    def test_it_names_the_damaged_file_and_no_door_opens_the_version(self, file: str, two: IndexStore) -> None:
        folder = two.folder / "2.0"
        flip(folder / file, -3)
        with pytest.raises(VersionDamaged, match=file.replace(".", r"\.")):
            verify(folder)
        verdict = verdict_on(folder)
        assert verdict is not None and verdict.damaged == file
        with pytest.raises(VersionDamaged, match=file.replace(".", r"\.")):
            two.open("2.0")

    @pytest.mark.parametrize(
        "touch", [lambda path: flip(path), lambda path: os.utime(path), lambda path: path.chmod(0o600)]
    )
    def test_it_holds_only_until_a_file_is_touched(self, touch: object, two: IndexStore) -> None:
        two.verify("2.0")
        assert callable(touch)
        touch(two.folder / "2.0" / "index.faiss")
        assert verdict_on(two.folder / "2.0") is None

    def test_a_file_that_was_brought_back_is_read_again(self, two: IndexStore) -> None:
        folder = two.folder / "2.0"
        flip(folder / "index.faiss")
        with pytest.raises(VersionDamaged):
            verify(folder)
        flip(folder / "index.faiss")
        two.verify("2.0")
        assert is_verified(folder)
        assert two.open("2.0").name == "2.0"

    def test_it_goes_with_the_version(self, two: IndexStore) -> None:
        two.verify("1.0")
        two.delete("1.0")
        assert not path_of(two.folder / "1.0").exists()
        assert two.names() == ["2.0"]

    def test_every_bit_of_the_manifest_counts(self, two: IndexStore) -> None:
        """``folded`` is in no other file: another number would hide changes."""
        path = two.folder / "2.0" / "manifest.json"
        path.write_text(path.read_text().replace('"folded": 0', '"folded": 1'))
        with pytest.raises(VersionDamaged, match=r"^manifest\.json of version 2\.0 has changed"):
            two.open()


class TestReading:
    def test_all_bytes_at_a_pace(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        slept: list[float] = []
        monkeypatch.setattr(scrub.time, "sleep", slept.append)
        monkeypatch.setattr(scrub.time, "monotonic", lambda: 0.0)
        path = tmp_path / "file"
        path.write_bytes(os.urandom(1_000_000))
        entry = read_gently(path, Pace(500_000))
        assert entry == scrub.FileEntry(size=1_000_000, sha256=entry.sha256)
        assert slept[-1] == pytest.approx(2.0)

    def test_the_process(self, two: IndexStore) -> None:
        flip(two.folder / "2.0" / "images.db")
        for name, status in (("1.0", 0), ("2.0", 1)):
            command = [sys.executable, "-m", "searcher.versions.scrub", str(two.folder / name), "1e9", str(os.getpid())]
            assert subprocess.run(command, check=False, capture_output=True).returncode == status
        assert is_verified(two.folder / "1.0")
        found = verdict_on(two.folder / "2.0")
        assert found is not None and found.damaged == "images.db"


class TestInTheBackground:
    def test_all_versions_in_turn_the_current_ones_first(self, two: IndexStore, running: Scrubbing) -> None:
        Collections(two.folder).create("shoes", MODEL)
        order = []
        while (folder := running.due()) is not None:
            order.append(folder.relative_to(two.folder).as_posix())
            verify(folder)
        assert order == ["2.0", "collections/shoes/0", "1.0"]

    def test_a_collection_that_gave_its_name_away_is_read_too(self, two: IndexStore, running: Scrubbing) -> None:
        collections = Collections(two.folder)
        collections.create("shoes", MODEL)
        collections.give_name("shoes", "default", keep="before")
        found = [folder.relative_to(two.folder).as_posix() for folder in running._versions()]
        assert found == ["2.0", "collections/shoes/0", "1.0"]

    def test_once_a_day_and_after_a_touch(self, two: IndexStore, running: Scrubbing) -> None:
        for name in ("1.0", "2.0"):
            two.verify(name)
        assert running.due() is None
        os.utime(two.folder / "1.0" / "images.db")
        assert running.due() == two.folder / "1.0"
        two.verify("1.0")
        verdict = verdict_on(two.folder / "2.0")
        assert verdict is not None
        yesterday = verdict.model_copy(update={"checked": verdict.checked - timedelta(hours=25)})
        record(two.folder / "2.0", yesterday)
        assert running.due() == two.folder / "2.0"

    def test_one_process_does_it(self, two: IndexStore, running: Scrubbing) -> None:
        other = Scrubbing(two.folder, 1e9)
        assert running._has_the_lock() and not other._has_the_lock()
        running.close()
        assert other._has_the_lock()
        other.close()

    def test_damage_is_found_and_the_last_good_version_served(self, two: IndexStore, running: Scrubbing) -> None:
        collection = Collection("default", two.folder, model=MODEL)
        assert contents(collection.view()).keys() == {"a", "b", "c"}
        flip(two.folder / "2.0" / "index.faiss")
        done = []
        finish = running._verify

        def verify_and_count(folder: Path) -> None:
            finish(folder)
            done.append(folder.name)
            if len(done) == 2:
                running._stopping.set()

        running._verify = verify_and_count  # type: ignore[method-assign]
        running.start()
        running._thread.join(60)
        assert done == ["2.0", "1.0"]
        assert contents(collection.view()).keys() == {"a", "b"}
        assert collection.follower.refused == 1


class TestReadOnly:
    """Neither the lock nor a verdict can be written."""

    @pytest.fixture
    def two(self, two: IndexStore) -> IndexStore:
        (two.folder / ".verdicts").write_bytes(b"no folder")
        (two.folder / ".scrubbing.lock").mkdir()
        return two

    def test_each_process_verifies_for_itself(self, two: IndexStore, running: Scrubbing) -> None:
        flip(two.folder / "2.0" / "index.faiss")
        other = Scrubbing(two.folder, 1e9)
        assert running._has_the_lock() and other._has_the_lock()
        other.close()
        running._verify(two.folder / "1.0")
        running._verify(two.folder / "2.0")
        assert is_verified(two.folder / "1.0") and running.due() is None
        found = verdict_on(two.folder / "2.0")
        assert found is not None and found.damaged == "index.faiss"
        with pytest.raises(VersionDamaged, match=r"index\.faiss"):
            two.open("2.0")

    def test_it_holds_until_a_file_is_touched(self, two: IndexStore) -> None:
        two.verify("1.0")
        before = edition(two.folder / "1.0")
        os.utime(two.folder / "1.0" / "images.db")
        assert verdict_on(two.folder / "1.0") is None
        two.verify("1.0")
        assert is_verified(two.folder / "1.0") and edition(two.folder / "1.0") != before

    def test_once_it_can_be_written_it_is(self, two: IndexStore) -> None:
        flip(two.folder / "2.0" / "index.faiss")
        with pytest.raises(VersionDamaged):
            two.verify("2.0")
        flip(two.folder / "2.0" / "index.faiss")
        (two.folder / ".verdicts").unlink()
        two.verify("2.0")
        assert is_verified(two.folder / "2.0") and path_of(two.folder / "2.0").is_file()
        assert not list((two.folder / ".verdicts").glob(".*"))


@pytest.mark.parametrize("model", [MODEL, None], ids=["a worker", "the gateway"])
class TestServing:
    @pytest.fixture
    def collection(self, two: IndexStore, model: object) -> Collection:
        return Collection("default", two.folder, model=MODEL if model else None)

    def damage(self, store: IndexStore, name: str, file: str = "index.faiss") -> None:
        flip(store.folder / name / file)
        with pytest.raises(VersionDamaged):
            store.verify(name)

    def test_the_last_good_version(self, two: IndexStore, collection: Collection) -> None:
        collection.add([addition("d", 3)])
        assert contents(collection.view()).keys() == {"a", "b", "c", "d"}
        self.damage(two, "2.0")
        for _ in range(2):
            assert contents(collection.view()).keys() == {"a", "b", "d"}
        with pytest.raises(VersionDamaged, match=r"^index\.faiss of version 2\.0"):
            collection.add([addition("e", 4)])

    def test_none_is_good(self, two: IndexStore, collection: Collection) -> None:
        collection.view()
        for name in two.names():
            self.damage(two, name, "images.db")
        for _ in range(2):
            with pytest.raises(VersionDamaged, match=r"^images\.db of version 2\.0"):
                collection.view()

    def test_one_that_lacks_folded_changes_is_no_good(self, two: IndexStore, collection: Collection) -> None:
        """Anything but an answer without what was added."""
        two.delete("1.0")
        collection.add([addition("d", 3)])
        collection.fold()
        collection.journal.trim(1)
        self.damage(two, "2.0-f1")
        with pytest.raises(JournalDamaged, match="lacks changes"):
            collection.view()

    def test_once_it_is_mended_it_is_served(self, two: IndexStore, collection: Collection) -> None:
        collection.view()
        self.damage(two, "2.0")
        assert collection.view().version.name == "1.0"
        flip(two.folder / "2.0" / "index.faiss")
        two.promote("2.0")
        assert collection.view().version.name == "2.0"
        assert collection.follower.reason == "no index version is published yet"

    def test_a_file_cut_short_in_place(self, two: IndexStore, collection: Collection) -> None:
        collection.view()
        os.truncate(two.folder / "2.0" / "images.db", 100)
        assert contents(collection.view()).keys() == {"a", "b"}

    def test_a_version_of_another_model_never_takes_its_place(self, two: IndexStore, collection: Collection) -> None:
        publish(two, "3.0", [addition("x", 1, 2)], model=DETAILED, keep_current=True)
        self.damage(two, "2.0")
        assert collection.view().version.name == "1.0"


def test_damage_gets_no_new_checksum(two: IndexStore) -> None:
    """Neither by a fold, nor as the base of the next index."""
    collection = Collection("default", two.folder)
    collection.add([addition("d", 3)])
    flip(two.folder / "2.0" / "index.faiss")
    with pytest.raises(VersionDamaged, match=r"^index\.faiss of version 2\.0 has changed"):
        collection.fold()
    assert two.names() == ["1.0", "2.0"]
    assert Carried(two, MODEL).folded == 1


def test_stamps_of_what_is_gone(tmp_path: Path) -> None:
    assert stamps_of(tmp_path / "gone") == {}
    assert verdict_on(tmp_path / "gone") is None

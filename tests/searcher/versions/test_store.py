"""The store publishes whole versions, never overwrites one, and is left servable wherever a process is killed."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from searcher.errors import (
    BadVersionName,
    SearcherError,
    StoreBusy,
    VersionDamaged,
    VersionExists,
    VersionInUse,
    VersionMissing,
)
from searcher.scan.codes import INDEX_FILE
from searcher.scan.tables import TABLE_FILES
from searcher.versions.images import IMAGES_FILE
from searcher.versions.manifest import MANIFEST_FILE, Manifest
from searcher.versions.names import check_name
from searcher.versions.store import CURRENT_FILE, IndexStore
from tests.searcher.versions.versions_by_hand import MODEL, asked, build, publish

REPOSITORY = Path(__file__).parents[3]


def names(store: IndexStore) -> list[str]:
    return [manifest.version for manifest in store.manifests()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


class TestNames:
    @pytest.mark.parametrize(
        "name", ["1", "1.5.0", "v2", "2020-05-02_night", "a" * 64, "0..1", "release-1.0.0-rc.1", "not-CURRENT"]
    )
    def test_good_ones(self, name: str) -> None:
        assert check_name(name) == name

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "a" * 65,
            ".",
            "..",
            ".hidden",
            ".building",
            "-1.0",
            "_1",
            "1.0/",
            "a/b",
            "../1.0",
            "/1.0",
            "a\\b",
            "1 0",
            " 1.0",
            "1.0\n",
            "1.0\0",
            "größe",
            "١",  # a digit, but Arabic
            "1*",
            "CURRENT",
            "CURRENT.next",
            "current",
            "collections",
            "journal.db",
            "journal.db-wal",
            "Current-1",
            "thumbnails",
            "journal.acknowledged",
        ],
    )
    def test_bad_ones(self, name: str) -> None:
        with pytest.raises(BadVersionName) as refusal:
            check_name(name)
        assert str(refusal.value).startswith(f"{name!r} cannot be a version's name")

    @pytest.mark.parametrize("name", ["con", "NUL.1", "com7", "lpt1.old.gz", "1.0.", "a.."])
    def test_no_new_version_gets_a_name_that_windows_cannot_write(self, name: str, store: IndexStore) -> None:
        assert check_name(name) == name, "one that is there is served"
        with pytest.raises(BadVersionName, match="Windows"):
            store.building(name)

    @pytest.mark.parametrize("name", ["../1.0.0", "", ".building"])
    def test_every_door_checks_the_name(self, name: str, store: IndexStore) -> None:
        publish(store, "1.0.0")
        for door in (store.has, store.manifest, store.open, store.verify, store.promote, store.building, store.delete):
            with pytest.raises(BadVersionName):
                door(name)


class TestEmptyStore:
    """A store that nobody has built in need not exist, and looking at it doesn't make it."""

    def test_nothing_is_current(self, store: IndexStore) -> None:
        assert store.current() is None
        assert store.signature() is None
        assert store.manifests() == []
        assert not store.has("1.0.0")
        assert not store.folder.exists()

    def test_nothing_can_be_opened(self, store: IndexStore) -> None:
        with pytest.raises(VersionMissing, match="no version is published in"):
            store.open()
        with pytest.raises(VersionMissing, match=r"has no version 1\.0\.0 \(it has: none\)"):
            store.open("1.0.0")

    def test_there_is_nothing_to_go_back_to(self, store: IndexStore) -> None:
        with pytest.raises(VersionMissing, match="no version is current"):
            store.previous()

    def test_nothing_is_there_to_prune_or_recover(self, store: IndexStore) -> None:
        with pytest.raises(VersionMissing, match="is no index store"):
            store.prune(1)
        assert not store.folder.exists()
        assert store.recover() is None


class TestPublish:
    def test_a_published_version_is_current(self, store: IndexStore) -> None:
        publish(store, "1.0.0", {"a.png": 1})
        assert store.current() == "1.0.0"
        publish(store, "1.1.0", {"a.png": 1, "b.png": 3})
        assert store.current() == "1.1.0"
        assert store.open().search(asked((0, 9)))[0].paths == ["a.png", "b.png"]
        assert store.open("1.0.0").search(asked((0, 9)))[0].paths == ["a.png"]

    def test_the_folder_is_as_promised(self, store: IndexStore) -> None:
        publish(store, "1.0.0")
        assert (store.folder / CURRENT_FILE).read_text() == "1.0.0\n"
        assert sorted(path.name for path in (store.folder / "1.0.0").iterdir()) == [
            "images.db",
            "index.faiss",
            "manifest.json",
        ]
        visible = {path.name for path in store.folder.iterdir() if not path.name.startswith(".")}
        assert visible == {"CURRENT", "1.0.0"}

    def test_the_manifest_says_what_was_built(self, store: IndexStore) -> None:
        before = datetime.now(UTC)
        manifest = publish(store, "1.0.0", {"a": 1, "b": 2}, skipped={"c": "empty"})
        assert (manifest.version, manifest.count, manifest.skipped, manifest.mode) == ("1.0.0", 2, 1, "default")
        assert manifest.model == MODEL
        assert before <= manifest.created <= datetime.now(UTC)
        assert {name: entry.size for name, entry in manifest.files.items()} == {
            name: (store.folder / "1.0.0" / name).stat().st_size for name in (INDEX_FILE, IMAGES_FILE)
        }
        assert store.manifest("1.0.0") == manifest == store.verify("1.0.0")

    def test_a_version_may_have_tables(self, store: IndexStore) -> None:
        manifest = publish(store, "1.0.0", {"a": 1, "b": 2}, mode="unnecessary fast")
        assert manifest.mode == "unnecessary fast"
        assert set(manifest.files) == {INDEX_FILE, IMAGES_FILE, *TABLE_FILES}
        assert store.manifest("1.0.0") == manifest == store.verify("1.0.0")
        assert store.open(threads=2).search(asked((2, 9)))[0].paths == ["b", "a"]

    def test_versions_of_both_modes_follow_each_other(self, store: IndexStore) -> None:
        publish(store, "1", {"a": 1}, mode="unnecessary fast")
        publish(store, "2", {"a": 1})
        publish(store, "3", {"a": 1}, mode="unnecessary fast")
        for name in ("1", "2", "3"):
            store.promote(name)
            assert store.open().search(asked((0, 9)))[0].distances == [1]
        store.promote("1")
        assert store.prune(1) == ["2"]
        assert store.open().search(asked((0, 9)))[0].distances == [1]

    @pytest.mark.parametrize("missing", TABLE_FILES)
    def test_a_version_without_one_of_its_tables_is_not_published(self, missing: str, store: IndexStore) -> None:
        files = build(store, "1.0.0", {"a.png": 1}, {}, "unnecessary fast")
        files.remove(missing)
        with pytest.raises(VersionDamaged, match=f"doesn't list {missing}"):
            store.publish("1.0.0", model=MODEL, count=1, skipped=0, files=files, mode="unnecessary fast")
        assert store.current() is None

    def test_versions_are_listed_in_the_order_of_publication(self, store: IndexStore) -> None:
        for name in ("2.0", "10.0", "1.0"):
            publish(store, name)
        assert names(store) == ["2.0", "10.0", "1.0"]

    def test_a_version_is_never_overwritten(self, store: IndexStore) -> None:
        publish(store, "1.0.0", {"a.png": 1})
        before = contents(store.folder)
        with pytest.raises(VersionExists, match=r"version 1\.0\.0 exists already .*versions promote 1\.0\.0"):
            publish(store, "1.0.0", {"b.png": 2})
        assert contents(store.folder) == before

    def test_a_folder_that_is_no_version_is_not_overwritten_either(self, store: IndexStore) -> None:
        (store.folder / "1.0.0").mkdir(parents=True)
        with pytest.raises(VersionExists):
            store.building("1.0.0")

    @pytest.mark.parametrize(("count", "message"), [(2, "no flat index of 2 codes"), (0, "no flat index of 0 codes")])
    def test_what_cannot_be_opened_is_not_published(self, count: int, message: str, store: IndexStore) -> None:
        publish(store, "1.0.0")
        build(store, "1.1.0", {"a.png": 1}, {})
        with pytest.raises(VersionDamaged, match=message):
            store.publish("1.1.0", model=MODEL, count=count, skipped=0, files=[INDEX_FILE, IMAGES_FILE])
        assert (store.current(), names(store)) == ("1.0.0", ["1.0.0"])

    def test_a_version_without_one_of_its_files_is_not_published(self, store: IndexStore) -> None:
        build(store, "1.0.0", {"a.png": 1}, {})
        with pytest.raises(VersionDamaged, match=r"doesn't list images\.db"):
            store.publish("1.0.0", model=MODEL, count=1, skipped=0, files=[INDEX_FILE])
        assert store.current() is None

    def test_current_has_another_signature_after_every_switch(self, store: IndexStore) -> None:
        seen = []
        for step in ("1.0", "1.1", "1.2"):
            publish(store, step)
            seen.append(store.signature())
        for step in ("1.0", "1.1", "1.0"):
            store.promote(step)
            seen.append(store.signature())
        assert all(one != other for one, other in pairwise(seen))
        assert store.signature() == seen[-1]


class TestPromote:
    def test_any_published_version_can_be_current_again(self, store: IndexStore) -> None:
        for name in ("1.0", "1.1", "1.2"):
            publish(store, name)
        for name in ("1.0", "1.2", "1.2", "1.1"):
            store.promote(name)
            assert store.current() == name == store.open().name
        assert names(store) == ["1.0", "1.1", "1.2"]

    @pytest.mark.parametrize("file", [INDEX_FILE, IMAGES_FILE, *TABLE_FILES])
    def test_it_verifies_first(self, file: str, store: IndexStore) -> None:
        publish(store, "1.0", mode="unnecessary fast")
        publish(store, "1.1")
        flip_last_bit(store.folder / "1.0" / file)
        with pytest.raises(VersionDamaged, match=f"{file} of version 1.0 has changed"):
            store.promote("1.0")
        assert store.current() == "1.1"

    def test_a_missing_version_is_named_with_those_there_are(self, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        with pytest.raises(VersionMissing, match=r"has no version 2\.0 \(it has: 1\.0, 1\.1\)"):
            store.promote("2.0")
        assert store.current() == "1.1"

    def test_it_is_possible_while_another_version_is_built(self, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        with store.indexing():
            store.promote("1.0")
        assert store.current() == "1.0"


class TestPrevious:
    def test_it_is_the_one_published_before_whatever_it_is_called(self, store: IndexStore) -> None:
        for name in ("1.0", "3.0", "2.0"):
            publish(store, name)
        assert store.previous() == "3.0"
        store.promote("3.0")
        assert store.previous() == "1.0"

    def test_the_first_has_none(self, store: IndexStore) -> None:
        publish(store, "1.0")
        with pytest.raises(VersionMissing, match=r"no version in .* is older than the current one, 1\.0"):
            store.previous()

    def test_a_current_version_with_a_broken_manifest_is_still_called_current(self, store: IndexStore) -> None:
        # Going back is for just this moment; being told that nothing is current would be a lie.
        publish(store, "1.0")
        publish(store, "1.1")
        (store.folder / "1.1" / MANIFEST_FILE).write_text("{")
        with pytest.raises(SearcherError, match=r"1\.1"):
            store.previous()


class TestCurrentFile:
    @pytest.mark.parametrize("content", [b"", b"\n", b"../../etc\n", b"\xff\xfe\n", bytes(6)])
    def test_nonsense_in_it_is_refused(self, content: bytes, store: IndexStore) -> None:
        publish(store, "1.0")
        (store.folder / CURRENT_FILE).write_bytes(content)
        with pytest.raises(VersionDamaged, match=r"^CURRENT holds no version's name: promote a version$"):
            store.current()
        store.promote("1.0")
        assert store.current() == "1.0"

    def test_a_version_that_is_gone(self, store: IndexStore) -> None:
        """Without it the store is damaged; who asks for it by name asks for what isn't there."""
        publish(store, "1.0")
        shutil.rmtree(store.folder / "1.0")
        with pytest.raises(VersionDamaged, match=r"^CURRENT names version 1\.0, which is not there"):
            store.open()
        with pytest.raises(VersionMissing, match=r"has no version 1\.0 \(it has: none\)"):
            store.open("1.0")

    def test_an_unreadable_one_is_damage(self, store: IndexStore) -> None:
        (store.folder / CURRENT_FILE).mkdir(parents=True)
        with pytest.raises(VersionDamaged, match="CURRENT cannot be read"):
            store.current()

    def test_foreign_things_in_the_store_are_no_versions(self, store: IndexStore) -> None:
        publish(store, "1.0")
        (store.folder / "lost+found").mkdir()
        (store.folder / "notes.txt").write_text("mine")
        (store.folder / "2.0").mkdir()
        assert names(store) == ["1.0"]

    def test_a_version_with_a_broken_manifest_hides_no_other(self, store: IndexStore) -> None:
        for name in ("1.0", "1.1", "1.2"):
            publish(store, name)
        (store.folder / "1.1" / MANIFEST_FILE).write_text("{")
        assert names(store) == ["1.0", "1.2"]
        with pytest.raises(VersionDamaged, match=r"manifest\.json of version 1\.1"):
            store.verify("1.1")

    def test_it_names_a_whole_version_at_every_moment(self, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        done = threading.Event()

        def follow() -> set[str]:
            seen = {store.open().name}
            while not done.is_set():
                seen.add(store.open().name)
            return seen

        with ThreadPoolExecutor(1) as pool:
            followed = pool.submit(follow)
            for number in range(10):
                store.promote("1.0" if number % 2 else "1.1")
            done.set()
            assert followed.result() <= {"1.0", "1.1"}
        assert store.open().name == "1.0"


class TestPrune:
    @pytest.mark.parametrize(("keep", "gone"), [(1, ["1", "2", "3"]), (2, ["1", "2"]), (3, ["1"]), (4, []), (100, [])])
    def test_the_newest_are_kept(self, keep: int, gone: list[str], store: IndexStore) -> None:
        for name in ("1", "2", "3", "4"):
            publish(store, name)
        assert store.prune(keep) == gone
        assert names(store) == [name for name in ("1", "2", "3", "4") if name not in gone]
        assert not any((store.folder / name).exists() for name in gone)
        assert store.current() == "4"

    def test_a_version_and_its_folds_count_as_one(self, store: IndexStore) -> None:
        for name in ("1", "2", "2-f1", "3", "3-f1", "3-f2"):
            publish(store, name)
        assert store.prune(2) == ["1"]
        assert store.prune(1) == ["2", "2-f1"]
        assert names(store) == ["3", "3-f1", "3-f2"]

    @pytest.mark.parametrize("current", ["1", "2", "3", "4"])
    def test_the_current_one_is_never_deleted(self, current: str, store: IndexStore) -> None:
        for name in ("1", "2", "3", "4"):
            publish(store, name)
        store.promote(current)
        store.prune(1)
        assert names(store) == sorted({current, "4"})
        assert store.open().name == current

    def test_what_killed_builds_left_is_deleted(self, store: IndexStore) -> None:
        publish(store, "1")
        build(store, "2", {"a": 1}, {})
        left = store.building("2")
        assert left.is_dir()
        assert store.prune(5) == []
        assert not left.exists() and not left.parent.exists()
        assert names(store) == ["1"]

    def test_an_open_version_stays_readable(self, store: IndexStore) -> None:
        publish(store, "1", {"ä.png": 0xFF00, "b.png": 0x00FF})
        opened = store.open("1")
        publish(store, "2")
        assert store.prune(1) == ["1"]
        assert not store.has("1")
        assert opened.search(asked((0x00FF, 2)))[0].paths == ["b.png", "ä.png"]
        assert opened.images.find("ä.png") is not None

    def test_it_waits_for_no_indexer(self, store: IndexStore) -> None:
        publish(store, "1")
        publish(store, "2")
        with store.indexing(), pytest.raises(StoreBusy):
            store.prune(1)
        assert names(store) == ["1", "2"]

    def test_a_version_promoted_meanwhile_is_not_deleted(self, store: IndexStore) -> None:
        """Somebody rolls back just as the versions to delete are chosen; either is right, but not both."""
        publish(store, "1")
        publish(store, "2")

        def roll_back() -> None:
            with suppress(VersionMissing):  # the pruning came first
                IndexStore(store.folder).promote("1")

        class Overtaken(IndexStore):
            def manifests(self) -> list[Manifest]:
                found = super().manifests()
                somebody.start()
                somebody.join(timeout=1)  # long enough to finish, unless it has to wait for us
                return found

        somebody = threading.Thread(target=roll_back)
        Overtaken(store.folder).prune(1)
        somebody.join()
        assert store.open().name in ("1", "2"), "CURRENT names a version that is there"


HOLDER = """
import sys
from pathlib import Path
from searcher.versions.store import IndexStore
with IndexStore(Path(sys.argv[1])).indexing():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_indexer(store: IndexStore) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the store until it is killed or the block ends."""
    command = [sys.executable, "-c", HOLDER, str(store.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "held\n"
        yield process
        process.stdin.close()


class TestDelete:
    def test_just_this_one(self, store: IndexStore) -> None:
        for name in ("1", "2", "3"):
            publish(store, name)
        store.delete("2")
        assert names(store) == ["1", "3"]
        assert not (store.folder / "2").exists() and not list(store.folder.glob(".deleted-*"))
        assert store.open().name == "3"
        publish(store, "2", {"new.png": 1})
        assert store.open("2").images.paths([0]) == ["new.png"]

    @pytest.mark.parametrize("current", ["1", "2"])
    def test_never_the_current_one(self, current: str, store: IndexStore) -> None:
        publish(store, "1")
        publish(store, "2")
        store.promote(current)
        with pytest.raises(VersionInUse, match=f"version {current} is the current one; promote another version"):
            store.delete(current)
        assert names(store) == ["1", "2"]
        assert store.open().name == current

    def test_a_missing_one_is_named_with_those_there_are(self, store: IndexStore) -> None:
        with pytest.raises(VersionMissing):
            store.delete("1")
        assert not store.folder.exists()
        publish(store, "1")
        with pytest.raises(VersionMissing, match=r"has no version 2 \(it has: 1\)"):
            store.delete("2")

    def test_a_damaged_one(self, store: IndexStore) -> None:
        publish(store, "1")
        publish(store, "2")
        (store.folder / "1" / MANIFEST_FILE).write_text("{")
        (store.folder / "1" / INDEX_FILE).unlink()
        store.delete("1")
        assert store.names() == ["2"]

    def test_nothing_while_nobody_knows_which_is_current(self, store: IndexStore) -> None:
        publish(store, "1")
        (store.folder / CURRENT_FILE).write_text("?")
        with pytest.raises(SearcherError):
            store.delete("1")
        assert store.names() == ["1"]

    def test_it_waits_for_no_indexer_and_takes_nothing_from_it(self, store: IndexStore) -> None:
        publish(store, "1", {"ä.png": 0xFF00, "b.png": 0x00FF})
        publish(store, "2")
        with another_indexer(store):
            base = store.open("1")
            build(store, "3", {"c.png": 3}, {})
            store.delete("1")
            assert store.building("3").is_dir()
            assert base.search(asked((0x00FF, 2)))[0].paths == ["b.png", "ä.png"]
            assert base.images.find("ä.png") is not None
        store.publish("3", model=MODEL, count=1, skipped=0, files=[INDEX_FILE, IMAGES_FILE])
        assert names(store) == ["2", "3"]

    def test_what_a_killed_deletion_left_goes_with_the_next(self, store: IndexStore) -> None:
        for name in ("1", "2", "3"):
            publish(store, name)
        left = store.folder / ".deleted-1"
        (store.folder / "1").rename(left)
        store.delete("2")
        assert not left.exists()
        left.mkdir()
        assert store.prune(1) == []
        assert not left.exists()
        assert names(store) == ["3"]

    def test_a_version_promoted_meanwhile_is_not_deleted(self, store: IndexStore) -> None:
        publish(store, "1")
        publish(store, "2")

        def roll_back() -> None:
            with suppress(VersionMissing, VersionDamaged):  # the deletion came first
                IndexStore(store.folder).promote("1")

        class Overtaken(IndexStore):
            def current(self) -> str | None:
                found = super().current()
                somebody.start()
                somebody.join(timeout=1)  # long enough to finish, unless it has to wait for us
                return found

        somebody = threading.Thread(target=roll_back)
        Overtaken(store.folder).delete("1")
        somebody.join()
        assert store.open().name == "2"

    def test_a_publish_killed_between_its_renames_is_forgotten_with_its_version(self, store: IndexStore) -> None:
        publish(store, "1")
        publish(store, "2")
        (store.folder / "CURRENT.next").write_text("2\n")
        (store.folder / CURRENT_FILE).write_text("1\n")
        store.delete("2")
        with store.indexing():
            assert store.recover() is None
        assert (store.current(), names(store)) == ("1", ["1"])


class TestIndexing:
    def test_the_store_is_made_when_it_is_first_held(self, store: IndexStore) -> None:
        with store.indexing():
            assert store.folder.is_dir()

    def test_a_second_holder_is_told_the_first_one_s_process(self, store: IndexStore) -> None:
        with another_indexer(store) as other:
            for _ in range(2):
                told = pytest.raises(StoreBusy, match=rf"another indexer \(process {other.pid}\) is working on")
                with told, store.indexing():
                    pytest.fail("two hold the store")

    def test_a_killed_holder_holds_nothing(self, store: IndexStore) -> None:
        with another_indexer(store) as other:
            other.kill()
            other.wait()
            with store.indexing():
                pass

    def test_the_next_holder_is_told_of_as_well(self, store: IndexStore) -> None:
        with another_indexer(store) as first:
            pass
        with store.indexing(), pytest.raises(StoreBusy, match=rf"process {os.getpid()}\)"), store.indexing():
            pytest.fail("two hold the store")
        assert first.pid != os.getpid()

    def test_it_is_free_again_after_an_error(self, store: IndexStore) -> None:
        with pytest.raises(ZeroDivisionError), store.indexing():
            raise ZeroDivisionError
        with store.indexing():
            pass

    def test_readers_are_not_in_the_way(self, store: IndexStore) -> None:
        publish(store, "1.0")
        with another_indexer(store):
            assert store.open().name == "1.0"
            assert store.verify("1.0").version == "1.0"


class TestKilledPublish:
    """The states that a publish of 1.1 goes through, each left on the disk by a kill."""

    @pytest.fixture
    def before(self, store: IndexStore) -> IndexStore:
        """1.0 is current, 1.1 is published; each test turns back as many steps as its kill came early."""
        publish(store, "1.0", {"old.png": 1})
        publish(store, "1.1", {"new.png": 2})
        return store

    @staticmethod
    def undo_second_rename(store: IndexStore) -> None:
        (store.folder / "CURRENT.next").write_text("1.1\n")
        (store.folder / CURRENT_FILE).write_text("1.0\n")

    @staticmethod
    def undo_first_rename(store: IndexStore) -> None:
        (store.folder / "1.1").rename(store.folder / ".building" / "1.1")

    def test_killed_before_current_next(self, before: IndexStore) -> None:
        self.undo_second_rename(before)
        self.undo_first_rename(before)
        (before.folder / "CURRENT.next").unlink()
        assert before.open().name == "1.0"
        with before.indexing():
            assert before.recover() is None
        self.assert_publishing_again_works(before)

    @pytest.mark.parametrize(
        "content", [b"", b"1.", b"1.1", b"1.1\n", bytes(4), b"../x\n", b"CURRENT\n", b"\xff\xfe\n"]
    )
    def test_killed_while_or_after_writing_current_next(self, content: bytes, before: IndexStore) -> None:
        self.undo_second_rename(before)
        self.undo_first_rename(before)
        (before.folder / "CURRENT.next").write_bytes(content)
        assert before.open().name == "1.0"
        with before.indexing():
            assert before.recover() is None
        assert not (before.folder / "CURRENT.next").exists()
        assert before.current() == "1.0"
        self.assert_publishing_again_works(before)

    def test_killed_between_the_two_renames(self, before: IndexStore) -> None:
        self.undo_second_rename(before)
        assert before.open().name == "1.0", "the new version is whole, but nobody was told"
        with before.indexing():
            assert before.recover() == "1.1"
        assert before.current() == "1.1"
        assert before.open().images.paths([0]) == ["new.png"]
        assert not (before.folder / "CURRENT.next").exists()

    def test_killed_after_both(self, before: IndexStore) -> None:
        with before.indexing():
            assert before.recover() is None
        assert before.current() == "1.1"

    def test_the_first_version_of_all_killed_between_the_two_renames(self, store: IndexStore) -> None:
        publish(store, "1.1", {"new.png": 2})
        (store.folder / CURRENT_FILE).rename(store.folder / "CURRENT.next")
        with pytest.raises(VersionDamaged, match=r"^CURRENT is missing: promote a version$"):
            store.open()
        with store.indexing():
            assert store.recover() == "1.1"
        assert store.open().name == "1.1"

    def test_recovering_twice_is_recovering_once(self, before: IndexStore) -> None:
        self.undo_second_rename(before)
        with before.indexing():
            assert [before.recover(), before.recover()] == ["1.1", None]
        assert before.current() == "1.1"

    def test_pruning_in_any_of_these_states_leaves_what_is_served(self, before: IndexStore) -> None:
        self.undo_second_rename(before)
        before.prune(1)
        assert before.open().name == "1.0"

    def test_a_promote_after_the_kill_has_the_last_word(self, before: IndexStore) -> None:
        self.undo_second_rename(before)
        before.promote("1.0")
        with before.indexing():
            assert before.recover() is None
        assert before.current() == "1.0"

    @staticmethod
    def assert_publishing_again_works(store: IndexStore) -> None:
        left = store.building("1.1")
        assert left.is_dir(), "what was built is still there to go on with"
        store.publish("1.1", model=MODEL, count=1, skipped=0, files=[INDEX_FILE, IMAGES_FILE])
        assert store.current() == "1.1"
        assert store.verify("1.1").count == 1
        assert not left.exists()

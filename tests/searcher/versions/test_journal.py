"""The journal keeps what it has acknowledged, and says so where it cannot be read."""

import os
import resource
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from searcher.errors import JournalDamaged, ModelMismatch
from searcher.live.carry import Carried
from searcher.live.collection import Collection
from searcher.versions.acknowledged import Acknowledged
from searcher.versions.journal import Journal
from searcher.versions.manifest import Manifest
from searcher.versions.store import IndexStore
from tests.searcher.live.fixtures import DETAILED, MODEL, addition, contents, publish
from tests.searcher.live.killed import processes
from tests.vectors import entry_of

#: Enough for a database of several pages.
MANY = [addition(f"http://example.org/{number}", number, metadata='{"size": 1}') for number in range(500)]


@pytest.fixture
def version(store: IndexStore) -> Manifest:
    return publish(store, "1.0", [addition("a", 0)])


@pytest.fixture
def journal(store: IndexStore, version: Manifest) -> Journal:
    return Journal(store.folder)


def damaged(store: IndexStore) -> Path:
    """A journal of many images, all in the one file, and nobody has it open."""
    collection = Collection("default", store.folder)
    collection.add(MANY)
    collection.journal.close()
    del collection
    assert not list(store.folder.glob("journal.db-*"))
    return store.folder / "journal.db"


def test_there_is_none_before_the_first_change(journal: Journal) -> None:
    assert not journal.exists()
    assert (journal.last(), journal.trimmed(), journal.changes(0), journal.removed()) == (0, 0, 0, {})
    assert journal.state("a") is None
    journal.trim(5)
    assert not journal.exists()


def test_of_each_image_the_latest_change_is_kept(journal: Journal, version: Manifest) -> None:
    journal.add([addition("a", 1), addition("b", 2), addition("a", 3)], version)
    assert (journal.last(), journal.changes(0), journal.changes(2)) == (3, 2, 1)
    assert (journal.state("a"), journal.state("c")) == (True, None)
    journal.remove(["a"], version)
    assert (journal.last(), journal.state("a"), journal.removed()) == (4, False, {"a": None})
    journal.trim(2)
    journal.trim(1)
    assert (journal.trimmed(), journal.state("b"), journal.changes(0)) == (2, None, 1)


def test_it_appears_whole(journal: Journal, version: Manifest, store: IndexStore) -> None:
    journal.add([], version)
    with closing(sqlite3.connect(store.folder / "journal.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (0,)
    assert not list(store.folder.glob(".journal-*"))


@pytest.mark.parametrize("field", ["metadata", "fetched"])
@pytest.mark.parametrize("text", ["", "{", "{'a': 1}", '{"a": NaN}', '{"a": Infinity}', "[1,]", "nothing"])
def test_what_is_no_json_is_refused_with_everything_beside_it(
    journal: Journal, version: Manifest, field: str, text: str
) -> None:
    wrong = entry_of("b", b"\0\1", **{field: text})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^b: the metadata is no JSON$"):
        journal.add([addition("a", 1), wrong, addition("c", 1)], version)
    assert (journal.last(), journal.changes(0)) == (0, 0)


def test_codes_of_another_model_are_refused_as_long_as_there_are_any(journal: Journal, version: Manifest) -> None:
    other = version.model_copy(update={"model": DETAILED})
    journal.add([addition("a", 1)], version)
    with pytest.raises(ModelMismatch, match=r"^1 images were added with another model than grid with details"):
        journal.add([addition("b", 1, 2)], other)
    with pytest.raises(ModelMismatch, match=r"another model than grid with details, which made version 1\.0"):
        journal.check(other)
    journal.remove(["a"], version)
    journal.check(other)
    journal.add([addition("b", 1, 2)], other)
    with pytest.raises(ModelMismatch):
        journal.add([addition("a", 1)], version)


def test_a_version_of_another_model_is_not_laid_under_additions(store: IndexStore, journal: Journal) -> None:
    collection = Collection("default", store.folder)
    collection.add([addition("b", 1)])
    with pytest.raises(ModelMismatch, match="remove them first"):
        publish(store, "2.0", model=DETAILED)
    assert contents(collection.view()).keys() == {"a", "b"}
    collection.remove(["b"])
    publish(store, "2.1", [addition("x", 1, 2)], model=DETAILED)
    assert contents(collection.view()).keys() == {"x"}
    assert collection.identity() == DETAILED


def test_a_journal_of_another_model_is_never_laid_over_a_version(store: IndexStore, version: Manifest) -> None:
    collection = Collection("default", store.folder)
    collection.journal.add([addition("b", 1, 2)], version.model_copy(update={"model": DETAILED}))
    with pytest.raises(ModelMismatch, match="another model than grid"):
        collection.view()


def lose(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).unlink(missing_ok=True)


def test_what_was_in_a_lost_journal_is_in_the_version_and_changes_go_on(store: IndexStore, version: Manifest) -> None:
    collection = Collection("default", store.folder)
    for number in range(5):
        collection.add([addition(f"{number}", number)])
    collection.fold()
    collection.journal.close()
    del collection
    lose(store.folder, "journal.db", "journal.db-wal", "journal.db-shm")
    collection = Collection("default", store.folder)
    folded = contents(collection.view())
    collection.add([addition("new", 1)])
    assert contents(collection.view()) == folded | {"new": b"\x00\x01"}
    with pytest.raises(JournalDamaged, match="lacks changes"):
        store.promote("1.0")
    collection.fold()
    assert contents(collection.view()) == folded | {"new": b"\x00\x01"}


class TestLosses:
    """What was acknowledged, and is in no version and not in the journal, is never lost without a word."""

    LOST = pytest.raises(
        JournalDamaged, match=r"^journal\.db has lost changes that were acknowledged: .* there were 9;"
    )

    @pytest.fixture
    def folder(self, store: IndexStore, version: Manifest) -> Path:
        """Nine acknowledged changes, all still in the write-ahead log, as after kill -9."""
        process = processes.Process(target=_add_nine, args=(store.folder,))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        return store.folder

    def refused(self, folder: Path) -> None:
        """At every door; and nothing is added on top."""
        collection = Collection("default", folder)
        before = {each.name: each.read_bytes() for each in folder.glob("journal.acknowledged")}
        for ask in (
            collection.view,
            lambda: collection.add([addition("more", 1)]),
            lambda: collection.journal.remove(["0"], collection.store.manifest("1.0")),
            collection.fold,
            lambda: collection.store.promote("1.0"),
            lambda: Carried(collection.store, MODEL),
        ):
            with self.LOST:
                ask()
        assert {each.name: each.read_bytes() for each in folder.glob("journal.acknowledged")} == before

    def test_nothing_is_lost_where_nothing_is_damaged(self, folder: Path) -> None:
        assert len(contents(Collection("default", folder).view())) == 10

    @pytest.mark.parametrize("part", range(10))
    def test_a_flipped_bit_in_the_log(self, folder: Path, part: int) -> None:
        log = folder / "journal.db-wal"
        content = bytearray(log.read_bytes())
        content[part * len(content) // 10 + 100] ^= 4
        log.write_bytes(content)
        lose(folder, "journal.db-shm")
        self.refused(folder)

    @pytest.mark.parametrize("part", range(10))
    def test_a_log_cut_short(self, folder: Path, part: int) -> None:
        log = folder / "journal.db-wal"
        os.truncate(log, part * log.stat().st_size // 10)
        lose(folder, "journal.db-shm")
        self.refused(folder)

    @pytest.mark.parametrize("files", [["journal.db-wal"], ["journal.db"]])
    def test_files_lost(self, folder: Path, files: list[str]) -> None:
        lose(folder, "journal.db-shm", *files)
        if "journal.db" in files:
            lose(folder, "journal.db-wal")
        self.refused(folder)

    def test_a_log_lost_while_it_is_used(self, store: IndexStore, version: Manifest) -> None:
        """Its last user writes it to the database when it closes it, or else everybody is told."""
        collection = Collection("default", store.folder)
        collection.add([addition("b", 1)])
        collection.view()
        lose(store.folder, "journal.db-wal")
        with suppress(JournalDamaged):
            collection.add([addition("c", 1)])
            assert contents(collection.view()).keys() == {"a", "b", "c"}
            return
        with pytest.raises(JournalDamaged):
            Collection("default", store.folder).view()

    def test_who_accepts_the_loss_goes_on(self, folder: Path) -> None:
        lose(folder, "journal.db", "journal.db-wal", "journal.db-shm", "journal.acknowledged")
        collection = Collection("default", folder)
        collection.add([addition("more", 1)])
        assert contents(collection.view()).keys() == {"a", "more"}

    def test_a_journal_from_before_this_was_noted(self, folder: Path) -> None:
        lose(folder, "journal.acknowledged")
        collection = Collection("default", folder)
        assert len(contents(collection.view())) == 10
        collection.add([addition("more", 1)])
        assert Acknowledged(folder).read() == 10

    def test_the_number_is_noted_only_once_the_change_is_safe(
        self, store: IndexStore, version: Manifest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process that dies in between leaves a journal that is ahead of the number, and whole."""
        collection = Collection("default", store.folder)
        collection.add([addition("b", 1)])
        monkeypatch.setattr(Acknowledged, "write", lambda _self, _number: os.strerror(0))
        collection.add([addition("c", 1)])
        monkeypatch.undo()
        assert Acknowledged(store.folder).read() == 1
        collection = Collection("default", store.folder)
        assert contents(collection.view()).keys() == {"a", "b", "c"}
        collection.remove(["c"])
        assert Acknowledged(store.folder).read() == 3

    @pytest.mark.parametrize("slot", [0, 4096])
    def test_a_slot_torn_while_it_was_written(self, folder: Path, slot: int) -> None:
        with (folder / "journal.acknowledged").open("r+b") as file:
            file.seek(slot)
            file.write(b"torn")
        assert Acknowledged(folder).read() in (8, 9)
        assert len(contents(Collection("default", folder).view())) == 10

    def test_a_number_that_nobody_can_read(self, folder: Path) -> None:
        (folder / "journal.acknowledged").write_bytes(bytes(5000))
        with pytest.raises(JournalDamaged, match=r"^journal\.acknowledged is damaged"):
            Collection("default", folder).view()

    def test_numbers_of_several_processes_never_go_back(self, tmp_path: Path) -> None:
        one, other = Acknowledged(tmp_path), Acknowledged(tmp_path)
        one.create(0)
        for number in (3, 1, 7, 5):
            one.write(number)
            other.write(number - 1)
        assert one.read() == other.read() == 7

    def test_a_changed_row_is_told(self, store: IndexStore, version: Manifest) -> None:
        path = damaged(store)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE entries SET code = x'ffff' WHERE seq = 7")
        collection = Collection("default", store.folder)
        for ask in (collection.view, collection.fold):
            with pytest.raises(JournalDamaged, match="change 7 is not what was written"):
                ask()

    def test_a_journal_without_its_numbers(self, store: IndexStore, version: Manifest) -> None:
        path = damaged(store)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DELETE FROM numbers")
        collection = Collection("default", store.folder)
        for ask in (collection.view, lambda: collection.add([addition("b", 1)]), collection.fold):
            with pytest.raises(JournalDamaged, match="a part of it is lost"):
                ask()


def _add_nine(folder: Path) -> None:
    collection = Collection("default", folder)
    for number in range(9):
        collection.add([addition(f"{number}", number)])
    os._exit(0)


def test_a_version_of_changes_that_the_journal_never_had_is_refused(store: IndexStore, version: Manifest) -> None:
    collection = Collection("default", store.folder)
    collection.add([addition("b", 1)])
    publish(store, "2.0", folded=9, keep_current=True)
    with pytest.raises(JournalDamaged, match=r"never had: the file was lost, or is another"):
        store.promote("2.0")
    assert store.current() == "1.0"


def test_what_was_removed_before_the_first_addition_is_kept_for_older_versions(
    store: IndexStore, version: Manifest
) -> None:
    collection = Collection("default", store.folder)
    collection.remove(["a"])
    collection.fold()
    collection.add([addition("b", 1)])
    assert collection.journal.trimmed() == 0
    store.promote("1.0")
    assert contents(collection.view()).keys() == {"b"}


def test_a_file_that_is_put_in_its_place_is_opened_anew(journal: Journal, version: Manifest) -> None:
    """As where a collection is deleted and made anew by another process."""
    journal.add([addition("a", 1)], version)
    for left in journal.path.parent.glob("journal.*"):
        left.unlink()
    other = Journal(journal.path.parent)
    other.add([addition("b", 1)], version)
    journal.add([addition("c", 1)], version)
    assert [other.state(path) for path in "abc"] == [None, True, True]


# --- Damage


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 5000, 20_000])
def test_a_journal_that_was_cut_short(store: IndexStore, version: Manifest, size: int) -> None:
    os.truncate(damaged(store), size)
    assert_refused(store)


def test_a_journal_that_is_no_database(store: IndexStore, version: Manifest) -> None:
    damaged(store).write_bytes(b"no database" * 1000)
    assert_refused(store)


@pytest.mark.parametrize("page", range(1, 12))
def test_a_journal_with_a_page_of_garbage(store: IndexStore, version: Manifest, page: int) -> None:
    """Where the page is one that is read, it is refused; where it is not, the answer is right."""
    path = damaged(store)
    with path.open("r+b") as stream:
        stream.seek(4096 * page)
        stream.write(os.urandom(4096))
    try:
        found = contents(Collection("default", store.folder).view())
    except JournalDamaged as error:
        assert "journal.db" in str(error)
    else:
        assert found == {"a": b"\0\0"} | {image.path: image.vectors["code"] for image in MANY}


def test_codes_of_another_width_in_a_journal(store: IndexStore, version: Manifest) -> None:
    path = damaged(store)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET code = x'00', checksum = NULL WHERE seq = 77")
    with pytest.raises(JournalDamaged, match=r"^journal\.db has codes of other widths"):
        Collection("default", store.folder).view()


def test_a_folder_in_its_place(store: IndexStore, version: Manifest) -> None:
    (store.folder / "journal.db").mkdir()
    assert_refused(store)


def assert_refused(store: IndexStore) -> None:
    collection = Collection("default", store.folder)
    for attempt in (
        collection.view,
        collection.unfolded,
        collection.fold,
        lambda: collection.add([addition("b", 1)]),
        lambda: collection.remove(["a"]),
        lambda: store.promote("1.0"),
    ):
        with pytest.raises(JournalDamaged, match=r"journal\.db"):
            attempt()


# --- A full disk


@pytest.mark.parametrize("largest_file", [0, 4096, 8192, 20_000, 50_000])
def test_a_full_disk_leaves_what_was_there(store: IndexStore, version: Manifest, largest_file: int) -> None:
    collection = Collection("default", store.folder)
    collection.add([addition("b", 1)])
    here = contents(collection.view())
    collection.journal.close()
    assert add_with_files_up_to(largest_file, store) == 3
    assert contents(collection.view()) == here
    collection.add(MANY)
    assert collection.view().count == 502


def test_a_full_disk_at_the_first_change(store: IndexStore, version: Manifest) -> None:
    for largest_file in range(0, 60_000, 5_000):
        assert add_with_files_up_to(largest_file, store) == 3
        collection = Collection("default", store.folder)
        assert contents(collection.view()) == {"a": b"\0\0"}
        assert not list(store.folder.glob(".journal-*"))
    collection.add(MANY)
    assert collection.view().count == 501


def add_with_files_up_to(size: int, store: IndexStore) -> int | None:
    process = processes.Process(target=_add, args=(size, store.folder))
    process.start()
    process.join(60)
    return process.exitcode


def _add(size: int, folder: Path) -> None:
    collection = Collection("default", folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        collection.add(MANY)
    except JournalDamaged as error:
        sys.exit(3 if "journal.db" in str(error) else 4)


def test_a_folder_that_cannot_be_written(store: IndexStore, version: Manifest) -> None:
    journal = Journal(store.folder / "nowhere")
    with pytest.raises(JournalDamaged, match=r"^journal.db cannot be created \(No such file or directory\)$"):
        journal.add([addition("a", 1)], version)

"""Collections are there whole or not at all, and one that is made anew is another."""

import contextlib
import multiprocessing
import os
from pathlib import Path

import pytest

from searcher.collections import Collections
from searcher.errors import (
    BadCollectionName,
    CollectionExists,
    CollectionInUse,
    CollectionMissing,
    JournalDamaged,
    SearcherError,
    StoreBusy,
    VersionDamaged,
    VersionMissing,
)
from tests.searcher.live.fixtures import DETAILED, MODEL, addition, contents, publish
from tests.searcher.live.killed import processes


@pytest.fixture
def collections(tmp_path: Path) -> Collections:
    return Collections(tmp_path / "index store")


def left(collections: Collections) -> set[str]:
    return {each.name for each in (collections._folder / "collections").iterdir() if each.name != ".changing.lock"}


def test_only_those_opened_last_keep_files_open(collections: Collections, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("searcher.collections._AWAKE", 3)
    several = [collections.create(f"{number}", MODEL) for number in range(9)]
    for number, each in enumerate(several):
        assert collections.open(f"{number}") is each
        each.add([addition("a", number)])
        assert each.view().count == 1
    held = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
    folders = [f"{each.folder}/" for each in several]
    assert [number for number in range(9) if any(each.startswith(folders[number]) for each in held)] == [6, 7, 8]
    assert [each.view().image("a") for each in several] == [addition("a", number) for number in range(9)]


@pytest.mark.parametrize("name", ["\ud800", "a" * 100_000, "../shoes", ""])
def test_of_what_cannot_be_a_name_the_message_is_short_and_can_be_sent(collections: Collections, name: str) -> None:
    with pytest.raises(CollectionMissing) as error:
        collections.open(name)
    assert len(str(error.value).encode()) < 100


def test_default_is_always_there(collections: Collections) -> None:
    assert collections.names() == ["default"]
    default = collections.open("default")
    assert default is collections.open("default")
    with pytest.raises(VersionMissing):
        default.view()
    with pytest.raises(CollectionInUse):
        collections.delete("default")
    with pytest.raises(CollectionExists):
        collections.create("default", MODEL)


def test_one_is_made_empty_and_deleted(collections: Collections) -> None:
    shoes = collections.create("shoes", DETAILED)
    collections.create("Shoes", MODEL)
    assert collections.names() == ["default", "Shoes", "shoes"]
    assert shoes is collections.open("shoes")
    assert (shoes.identity(), shoes.view().count, shoes.unfolded()) == (DETAILED, 0, 0)
    assert shoes.view().version.name == "0"
    shoes.store.verify("0")
    shoes.add([addition("a", 1, 2)])
    collections.delete("shoes")
    assert collections.names() == ["default", "Shoes"]
    assert left(collections) == {"Shoes"}
    for attempt in (collections.open, collections.delete):
        with pytest.raises(CollectionMissing, match=r"^there is no collection shoes$"):
            attempt("shoes")


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", ".hidden", "-x", "_x", "a/b", "../a", "a b", "a\n", "a\0", "größe", "a" * 65, "a*", "\ud800"),
        *("CURRENT", "current", "Current.next", "journal.db", "JOURNAL.DB-wal", "journal.acknowledged", "collections"),
        *("thumbnails", "collection.json", "manifest.json", "Default", "con", "nul.txt", "LPT3", "shoes."),
    ],
)
def test_bad_names(collections: Collections, name: str) -> None:
    with pytest.raises(BadCollectionName):
        collections.create(name, MODEL)
    for attempt in (collections.open, collections.delete):
        with pytest.raises(CollectionMissing):
            attempt(name)


@pytest.mark.parametrize("name", ["0", "a" * 64, "1.5.0", "currently", "x-f3", "console"])
def test_good_names(collections: Collections, name: str) -> None:
    collections.create(name, MODEL).add([addition("a", 1)])
    assert collections.names() == ["default", name]
    with pytest.raises(CollectionExists, match=f"^there is a collection {name} already$"):
        collections.create(name, MODEL)
    assert contents(collections.open(name).view()) == {"a": b"\0\1"}


def test_a_collection_from_before_its_name_was_taken_is_there(collections: Collections, tmp_path: Path) -> None:
    collections.create("shoes", MODEL).add([addition("a", 1)])
    folder = tmp_path / "index store" / "collections"
    (folder / "shoes").rename(folder / "con")
    assert collections.names() == ["default", "con"]
    assert contents(collections.open("con").view()) == {"a": b"\0\1"}


@pytest.mark.parametrize("current", [None, b"", b"../0", b"\xff\0", b"9"])
def test_a_collection_whose_current_is_lost_is_damaged_and_not_missing(
    current: bytes | None, collections: Collections, tmp_path: Path
) -> None:
    """It is read from the newest version, and changed by nobody, and not made anew in its place."""
    open_before = collections.create("shoes", MODEL)
    open_before.view()
    file = tmp_path / "index store" / "collections" / "shoes" / "CURRENT"
    file.unlink()
    if current is not None:
        file.write_bytes(current)
    assert open_before.view().version.name == "0"
    later = Collections(tmp_path / "index store")
    assert later.names() == ["default", "shoes"]
    with pytest.raises(CollectionExists):
        later.create("shoes", MODEL)
    assert later.open("shoes").view().version.name == "0"
    with pytest.raises(VersionDamaged, match=r"^CURRENT "):
        later.open("shoes").add([addition("a", 1)])
    later.open("shoes").store.promote("0")
    later.open("shoes").add([addition("a", 1)])
    assert later.open("shoes").view().count == 1


def test_the_collections_are_apart(collections: Collections) -> None:
    one, other = collections.create("one", MODEL), collections.create("other", DETAILED)
    publish(collections.open("default").store, "1.0", [addition("c", 3)])
    one.add([addition("a", 1)])
    other.add([addition("b", 2, 2)])
    collections.open("default").add([addition("d", 4)])
    found = {name: set(contents(collections.open(name).view())) for name in collections.names()}
    assert found == {"default": {"c", "d"}, "one": {"a"}, "other": {"b"}}
    assert collections.open("default").store.names() == ["1.0"]


def test_one_that_is_made_anew_is_another(collections: Collections, tmp_path: Path) -> None:
    """What was opened before must neither answer from the old one, nor write to it."""
    other = Collections(tmp_path / "index store")
    for number in range(10):
        model = [MODEL, DETAILED][number % 2]
        detail = [None, 5][number % 2]
        mine = other.create("shoes", model)
        mine.add([addition(f"first {number}", 1, detail)])
        assert contents(collections.open("shoes").view()).keys() == {f"first {number}"}
        collections.open("shoes").add([addition(f"second {number}", 1, detail)])
        assert contents(mine.view()).keys() == {f"first {number}", f"second {number}"}
        assert collections.open("shoes").identity() == model
        other.delete("shoes")


def test_who_has_one_open_reads_to_the_end(collections: Collections) -> None:
    shoes = collections.create("shoes", MODEL)
    shoes.add([addition("a", 1)])
    shoes.fold()
    shoes.add([addition("b", 2)])
    view = shoes.view()
    collections.delete("shoes")
    assert contents(view).keys() == {"a", "b"}
    with pytest.raises(VersionMissing):
        shoes.view()
    with pytest.raises(VersionMissing):
        shoes.add([addition("c", 3)])


def test_who_comes_too_late_leaves_nothing_in_the_way(collections: Collections) -> None:
    shoes = collections.create("shoes", MODEL)
    collections.delete("shoes")
    with pytest.raises(VersionMissing):
        shoes.fold()
    assert collections.names() == ["default"]
    assert collections.create("shoes", MODEL).view().count == 0
    assert left(collections) == {"shoes"}


def test_one_that_is_folded_is_not_deleted_meanwhile(collections: Collections) -> None:
    shoes = collections.create("shoes", MODEL)
    with shoes.store.indexing(), pytest.raises(StoreBusy):
        collections.delete("shoes")
    assert collections.names() == ["default", "shoes"]
    collections.delete("shoes")


def test_what_killed_processes_left_is_taken_away(collections: Collections) -> None:
    collections.create("shoes", MODEL)
    parent = collections._folder / "collections"
    for name in (".new-1", ".deleted-2"):
        (parent / name / "0").mkdir(parents=True)
    assert collections.names() == ["default", "shoes"]
    collections.create("hats", MODEL)
    assert left(collections) == {"shoes", "hats"}


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "collections").write_text("a file")
    with pytest.raises(JournalDamaged, match=r"^the collection shoes cannot be created"):
        Collections(tmp_path).create("shoes", MODEL)
    assert Collections(tmp_path).names() == ["default"]


def test_processes_make_and_delete_one_at_a_time(collections: Collections) -> None:
    """Each that was made is deleted once; meanwhile there is one, or none."""
    results = processes.Queue()
    workers = [processes.Process(target=make_and_delete, args=(collections._folder, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    made, deleted = sum(made for made, _ in found), sum(deleted for _, deleted in found)
    assert made == deleted + (len(collections.names()) - 1)
    assert left(collections) <= {"shoes"}


def make_and_delete(folder: Path, results: "multiprocessing.Queue[tuple[int, int]]") -> None:
    collections = Collections(folder)
    made = deleted = 0
    for _ in range(15):
        try:
            collections.create("shoes", MODEL)
            made += 1
        except CollectionExists:
            pass
        except CollectionMissing:  # deleted at once by another
            made += 1
        with contextlib.suppress(SearcherError):
            collections.open("shoes").view()
        with contextlib.suppress(CollectionMissing):
            collections.delete("shoes")
            deleted += 1
    results.put((made, deleted))

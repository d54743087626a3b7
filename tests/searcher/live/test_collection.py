"""A collection is one to all who look: threads, processes, and those that come while versions change under it."""

import threading
from pathlib import Path

import pytest

from searcher.entry import Entry
from searcher.errors import ChangesFolded, JournalDamaged, VersionDamaged, VersionMissing
from searcher.filters import parse_filter
from searcher.live.collection import Collection
from searcher.live.overlay import Overlay
from searcher.versions.journal import JOURNAL_FILE, address
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion
from tests.searcher.live.fixtures import DETAILED, addition, assert_is, contents, publish, query
from tests.vectors import entry_of


@pytest.fixture
def collection(store: IndexStore) -> Collection:
    publish(store, "1.0", [addition("a", 0), addition("b", 1)])
    return Collection("default", store.folder)


def test_without_a_version_there_is_no_collection(store: IndexStore) -> None:
    collection = Collection("default", store.folder)
    for attempt in (
        collection.view,
        collection.identity,
        collection.unfolded,
        collection.fold,
        lambda: collection.add([addition("a", 1)]),
        lambda: collection.remove(["a"]),
    ):
        with pytest.raises(VersionMissing):
            attempt()
    assert not collection.journal.exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (entry_of("", b"\0\0"), "an image needs a path or URL, without zero bytes"),
        (entry_of("a\0b", b"\0\0"), "an image needs a path or URL, without zero bytes"),
        (entry_of("a\ud800", b"\0\0"), "the path or URL is no valid Unicode"),
        (entry_of("a", b"\0\0", None, '"\udfff"'), "the metadata is no valid Unicode"),
        (entry_of("a", b"\0\0", None, None, None, '"\udfff"'), "the state of fetching is no valid Unicode"),
        (entry_of("a", b"\0\0", None, "{"), "a: the metadata is no JSON"),
        (entry_of("a", b""), "a: the code has 0 bits, and codes of grid have 16"),
        (entry_of("a", b"\0"), "a: the code has 8 bits, and codes of grid have 16"),
        (entry_of("a", b"\0\0\0"), "a: the code has 24 bits, and codes of grid have 16"),
        (entry_of("a", b"\0\0", b"\0"), r"a: the code has 16 \+ 8 bits, and codes of grid have 16"),
    ],
)
def test_what_cannot_be_an_image(collection: Collection, wrong: Entry, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        collection.add([addition("good", 1), wrong])
    assert contents(collection.view()).keys() == {"a", "b"}


@pytest.mark.parametrize(("code", "detail"), [(b"\0\0", None), (b"\0\0", b"\0\0"), (b"\0", b"\0\0"), (b"\0\0\0", None)])
def test_widths_of_two_codes(store: IndexStore, code: bytes, detail: bytes | None) -> None:
    publish(store, "1.0", model=DETAILED)
    collection = Collection("default", store.folder)
    with pytest.raises(ValueError, match=r"bits, and codes of grid with details have 16 \+ 8$"):
        collection.add([entry_of("a", code, detail)])


@pytest.mark.parametrize("path", ["", "nowhere", "a\0", "\0", "\ud800", "a" * 100_000])
def test_what_is_not_there(collection: Collection, path: str) -> None:
    collection.add([addition("c", 1)])
    assert collection.view().image(path) is None
    assert collection.remove([path]) == 0
    assert collection.view().count == 3


def test_long_names_and_strange_ones(collection: Collection) -> None:
    strange = [
        addition(path, 9) for path in ("a" * 100_000, " ", "\n", "%", "?", "#", "'", '"', "\u202e", "é", "e\u0301")
    ]
    collection.add(strange)
    assert_is(
        collection.view(),
        [addition("a", 0), addition("b", 1), *strange],
        [each.path for each in strange] + ["a", "b"],
        [],
    )


def test_a_view_stays_what_it_is(collection: Collection) -> None:
    metadata = '{"size": 2}'
    added = [addition("c", 2, metadata=metadata, digest=b"c" * 16), addition("b", 3)]
    collection.add(added)
    view, now = collection.view(), [addition("a", 0), *added]
    queries = [query(0, None, 10), query(3, None, 2, 1)]
    collection.add([addition("a", 5), addition("c", 6), addition("d", 7)])
    collection.remove(["b"])
    assert_is(view, now, ["a", "b", "c", "d"], queries)
    for number in range(4):  # its version is deleted, and its changes are no longer kept
        collection.add([addition(f"{number}", number)])
        collection.fold()
    publish(collection.store, "2.0", [], folded=collection.journal.last())
    collection.store.delete("1.0")
    assert_is(view, now, ["a", "b", "c", "d"], queries)
    assert contents(collection.view()) == {}


def test_many_replaced_images_make_room(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("searcher.live.overlay._SPARE", 20)
    earlier = collection.view()
    condition = parse_filter({"size": {"$gt": 1}})
    for number in range(200):
        latest = addition("c", number, metadata=f'{{"size": {number % 3}}}')
        collection.add([latest])
        view = collection.view()
        assert_is(
            view,
            [addition("a", 0), addition("b", 1), latest],
            ["a", "b", "c"],
            [query(number, None, 3)],
        )
        assert view.number(condition) == (number % 3 == 2)
        assert len(view._tail.paths) < 45
    assert contents(earlier).keys() == {"a", "b"}


def test_a_thread_that_reads_does_not_keep_changes_from_others(collection: Collection) -> None:
    """SQLite tells what has changed since the last read on the same connection began."""
    collection.add([addition("c", 1)])
    writer = Collection("default", collection.folder)
    view = collection.view()
    with view._base._lock:
        view._base._connection.execute("BEGIN")
        view._base._connection.execute("SELECT * FROM base_images").fetchone()
        for number in range(10):
            writer.add([addition(f"{number}", number)])
            seen: list[int] = []
            thread = threading.Thread(target=lambda seen=seen: seen.append(collection.view().count))
            thread.start()
            thread.join(30)
            assert seen == [4 + number]
        view._base._connection.execute("COMMIT")


def test_threads_share_a_collection(collection: Collection) -> None:
    failures: list[BaseException] = []
    done = threading.Event()
    condition = parse_filter({"size": {"$exists": True}})

    def attempt(work: "threading.Event", number: int) -> None:
        try:
            if number < 2:
                for step in range(40):
                    path = f"{number}/{step % 7}"
                    collection.add([addition(path, step, metadata=f'{{"size": {step}}}')])
                    found = collection.view().image(path)
                    assert found is not None and found.metadata == f'{{"size": {step}}}'
                    if step % 5 == 0:
                        assert collection.remove([path]) == 1
                        assert collection.view().image(path) is None
            elif number == 2:
                while not work.is_set():
                    collection.fold()
            else:
                while not work.is_set():
                    view = collection.view()
                    assert len(view.images(limit=1000)) == view.count == len(view.all_of()[0])
                    assert view.number(condition) == view.count - 2
                    (matches,) = view.search([query(0, None, 1000)])
                    assert sorted(matches.paths) == [image.path for image in view.images(limit=1000)]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt, args=(done, number)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads[:2]:
        thread.join()
    done.set()
    for thread in threads[2:]:
        thread.join()
    assert failures == []
    assert contents(collection.view()) == contents(Collection("default", collection.folder).view())


def test_a_version_that_is_deleted_while_it_is_opened(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    really = IndexVersion.__init__
    collection.view()
    publish(collection.store, "2.0", [addition("x", 1)])

    def deleted_before(self: IndexVersion, folder: Path, threads: int = 1) -> None:
        if folder.name == "2.0":
            monkeypatch.setattr(IndexVersion, "__init__", really)
            collection.store.promote("1.0")
            collection.store.delete("2.0")
        really(self, folder, threads)

    monkeypatch.setattr(IndexVersion, "__init__", deleted_before)
    assert contents(collection.view()).keys() == {"a", "b"}
    with pytest.raises(VersionMissing):
        collection.store.open("2.0")


def test_a_damaged_version_is_refused_until_another_is_current(collection: Collection) -> None:
    """What was open stays, with its changes; but nothing is changed while the version that it would go to is not."""
    collection.add([addition("c", 1)])
    publish(collection.store, "2.0", [addition("x", 1)])
    (collection.folder / "2.0" / "index.faiss").write_bytes(b"")
    for _ in range(2):
        assert contents(collection.view()).keys() == {"a", "b", "c"}
        for attempt in (lambda: collection.add([addition("d", 1)]), lambda: collection.remove(["c"])):
            with pytest.raises(VersionDamaged, match=r"^index\.faiss of version 2\.0 has 0 bytes"):
                attempt()
    assert contents(Collection("default", collection.folder).view()).keys() == {"a", "b", "c"}
    collection.rest()
    assert collection.view().version.name == "1.0"
    collection.store.promote("1.0")
    collection.remove(["a"])
    assert contents(collection.view()).keys() == {"b", "c"}
    assert collection.follower.refused == 1


def test_the_codes_of_what_was_found_are_told_of_the_same_state(collection: Collection) -> None:
    collection.add([addition("c", 2), addition("d", 3)])
    view = collection.view()
    (matches,) = view.search([query(0, None, 9)])
    collection.add([addition("d", 7)])
    collection.remove(["a", "c"])
    assert (matches.paths, matches.rows) == (["a", "b", "c", "d"], [0, 1, None, None])
    assert {name: codes.tolist() for name, codes in matches.read().items()} == {
        "code": [[0, 0], [0, 1], [0, 2], [0, 3]]
    }
    collection.remove(["b", "d"])
    (nothing,) = collection.view().search([query(0, None, 9)])
    assert nothing.read()["code"].shape == (0, 2)


def test_who_has_a_version_open_that_lacks_changes_looks_again(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    publish(store, "0")
    collection = Collection("shoes", tmp_path)
    behind = Overlay(store.open(), tmp_path / JOURNAL_FILE)
    for number in range(3):
        collection.add([addition(f"{number}", number)])
        collection.fold()
    with pytest.raises(ChangesFolded, match="version 0 is older than the changes that are kept"):
        behind.view()
    assert collection.view().count == 3


def test_pages_go_on_behind_what_was_removed(collection: Collection) -> None:
    collection.add([addition(f"{number:03}", number) for number in range(10)])
    page = collection.view().images(limit=4)
    collection.remove([page[-1].path])
    rest = collection.view().images(page[-1].path, limit=100)
    assert [image.path for image in rest] == ["004", "005", "006", "007", "008", "009", "a", "b"]
    assert collection.view().images("b") == []


def test_another_journal_in_its_place_is_seen_at_once(collection: Collection) -> None:
    collection.add([addition("c", 2), addition("d", 3)])
    collection.remove(["a"])
    earlier = collection.view()
    collection.journal.close()
    for each in collection.folder.glob("journal.db*"):
        each.unlink()
    with pytest.raises(JournalDamaged, match="has lost changes that were acknowledged"):
        collection.view()
    (collection.folder / "journal.acknowledged").unlink()
    assert contents(collection.view()).keys() == {"a", "b"}
    Collection("default", collection.folder).add([addition("e", 4)])
    assert contents(collection.view()).keys() == {"a", "b", "e"}
    assert_is(
        earlier, [addition("b", 1), addition("c", 2), addition("d", 3)], ["a", "b", "c", "d", "e"], [query(0, None, 9)]
    )


def test_on_a_read_only_file_system_nothing_is_missed(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    """There SQLite opens a journal only while the files beside it are there, which whoever writes it makes."""

    def read_only(path: Path, mode: str) -> str:
        absent = mode == "rw" and not path.with_name("journal.db-wal").exists()
        return address(path / "cannot be opened" if absent else path, "ro")

    collection.add([addition("c", 2)])
    collection.rest()
    monkeypatch.setattr("searcher.live.changes.address", read_only)
    reader = Collection("default", collection.folder)
    assert contents(reader.view()).keys() == {"a", "b", "c"}
    for number in range(3):
        collection.add([addition(f"{number}", number)])
        assert contents(reader.view()) == contents(Collection("default", collection.folder).view())
        collection.rest()
        assert contents(reader.view()).keys() == {"a", "b", "c", *map(str, range(number + 1))}


def test_who_rests_goes_on(collection: Collection) -> None:
    collection.add([addition("c", 2)])
    view = collection.view()
    collection.rest()
    assert contents(view) == contents(collection.view())
    collection.add([addition("d", 3)])
    assert contents(collection.view()).keys() == {"a", "b", "c", "d"}
    assert contents(view).keys() == {"a", "b", "c"}


def test_half_of_a_surrogate_pair_is_a_place_between_others(collection: Collection) -> None:
    """No path has one, and SQLite takes none; by code points it lies before U+E000."""
    paths = ["a", "b", "\ud7ff", "\ue000", "\U0001f600"]
    publish(collection.store, "2.0", [addition(path, 1) for path in paths])
    collection.add([addition("\uffff", 1), addition("c", 1)])
    everything = sorted([*paths, "\uffff", "c"])
    for after in ("\ud800", "\udfff", "a\ud800", "b\udc00x", "\ud7ff\udfff"):
        behind = [path for path in everything if path > after]
        assert [image.path for image in collection.view().images(after)] == behind, ascii(after)
    assert collection.view().image("\ud800") is None


def test_the_lists_of_earlier_tails_are_let_go(collection: Collection) -> None:
    where = [parse_filter({"n": number}) for number in range(3)]
    collection.add([addition("x", 1, metadata='{"n": 1}')])
    overlay = collection._current()
    for condition in where:
        collection.view().number(condition)
    overlay._clear()
    overlay._seen = None
    assert collection.view().number(where[1]) == 1
    assert len({id(metadata) for metadata, _ in overlay._base._tails.values()}) == 1

"""A fold makes a version of what a collection is, leaves it what it is, and may be killed at any moment."""

import resource
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from searcher.collections import Collections
from searcher.entry import Entry
from searcher.errors import JournalDamaged, StoreBusy
from searcher.live.collection import Collection
from searcher.live.fold import fold, main, next_name
from searcher.scan.tables import Mode
from searcher.versions.images import IMAGES_FILE
from searcher.versions.journal import Journal
from searcher.versions.manifest import Manifest
from searcher.versions.store import IndexStore
from tests.searcher.live.fixtures import DETAILED, MODEL, addition, assert_is, contents, publish, query
from tests.searcher.live.killed import processes
from tests.vectors import query_of

BASE = [addition("a", 0, digest=bytes(16)), addition("b", 1, metadata='{"size": 1}'), addition("c", 3)]
NOW = [BASE[1], addition("d", 7), addition("a", 15, metadata='{"size": 5}')]
ASKED = [query(0, None, 10), query(7, None, 2, 1)]


def changed(store: IndexStore, mode: Mode = "default") -> Collection:
    """Version 1.0 with an image added, one replaced and one removed: it is ``NOW``."""
    publish(store, "1.0", BASE, mode=mode)
    collection = Collection("default", store.folder)
    collection.add([*NOW[1:], addition("e", 1)])
    assert collection.remove(["c", "e", "nowhere"]) == 2
    return collection


def folds(collection: Collection, times: int, first: int = 0) -> list[str]:
    """Fold so often, each time after a change."""
    names = []
    for number in range(first, first + times):
        collection.add([addition(f"n{number}", number)])
        manifest = collection.fold()
        assert manifest is not None
        names.append(manifest.version)
    return names


@pytest.mark.parametrize("mode", ["default", "unnecessary fast"])
def test_the_collection_stays_what_it_is(store: IndexStore, mode: Mode) -> None:
    collection = changed(store, mode)
    assert collection.unfolded() == 4
    assert_is(collection.view(), NOW, ["a", "b", "c", "d", "e"], ASKED)
    manifest = collection.fold()
    assert manifest is not None
    assert (manifest.version, manifest.count, manifest.mode, manifest.folded) == ("1.0-f1", 3, mode, 5)
    assert store.verify("1.0-f1") == manifest
    assert_is(collection.view(), NOW, ["a", "b", "c", "d", "e"], ASKED)
    assert_is(Collection("default", store.folder).view(), NOW, ["a", "b", "c", "d", "e"], ASKED)
    assert (collection.unfolded(), collection.fold()) == (0, None)


def test_what_is_listed_and_was_removed_is_noted_for_the_next_index(store: IndexStore) -> None:
    collection = changed(store)
    collection.fold()
    images = collection.view().version.images
    assert images.skipped(9) == [("c", "removed from the collection")]
    collection.add([addition("c", 3)])
    collection.fold()
    assert collection.view().version.images.skipped(9) == []


def test_a_collection_that_nothing_was_added_to(tmp_path: Path) -> None:
    shoes = Collections(tmp_path).create("shoes", DETAILED)
    assert shoes.fold() is None
    assert shoes.remove(["nowhere"]) == 0
    assert shoes.fold() is None


def test_a_collection_that_nothing_is_left_of(tmp_path: Path) -> None:
    shoes = Collections(tmp_path).create("shoes", DETAILED)
    image = addition("a", 1, 2)
    shoes.add([image])
    shoes.remove(["a"])
    manifest = shoes.fold()
    assert manifest is not None and (manifest.version, manifest.count) == ("0-f1", 0)
    assert_is(shoes.view(), [], ["a"], [query(0, 1, 5), query(0, 1, 5, 3, "detail")])
    shoes.add([image])
    shoes.fold()
    assert_is(shoes.view(), [image], ["a"], [query(0, 1, 5), query(0, 1, 5, 3, "detail")])


def test_the_version_that_was_built_and_the_last_two_folds_are_kept(store: IndexStore) -> None:
    collection = changed(store)
    assert folds(collection, 4) == ["1.0-f1", "1.0-f2", "1.0-f3", "1.0-f4"]
    assert store.names() == ["1.0", "1.0-f3", "1.0-f4"]
    here = contents(collection.view())
    store.promote("1.0")
    assert contents(collection.view()) == here
    assert collection.journal.trimmed() == 0


def test_changes_that_all_versions_contain_are_kept_no_longer(tmp_path: Path) -> None:
    shoes = Collections(tmp_path).create("shoes", MODEL)
    folds(shoes, 1)
    assert (shoes.store.names(), shoes.journal.trimmed()) == (["0", "0-f1"], 0)
    folds(shoes, 2, first=1)
    assert shoes.store.names() == ["0-f2", "0-f3"]
    assert (shoes.journal.trimmed(), shoes.journal.changes(0)) == (2, 1)
    assert len(contents(shoes.view())) == 3


def test_an_earlier_line_is_promoted_and_folded_again(store: IndexStore) -> None:
    collection = changed(store)
    folds(collection, 3)
    store.promote("1.0")
    assert folds(collection, 1, first=3) == ["1.0-f1"]
    assert store.names() == ["1.0", "1.0-f1", "1.0-f3"]
    assert folds(collection, 1, first=4) == ["1.0-f2"]
    assert folds(collection, 1, first=5) == ["1.0-f3"] or store.current() == "1.0-f4"
    assert len(contents(collection.view())) == 3 + 6


def test_going_back_skips_folds(store: IndexStore) -> None:
    publish(store, "0.9")
    folds(changed(store), 3)
    assert store.previous() == "0.9"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1.5.0", "1.5.0-f1"),
        ("1.5.0-f1", "1.5.0-f2"),
        ("1.5.0-f9", "1.5.0-f10"),
        ("a" * 64, "a" * 61 + "-f1"),
        ("a" * 61 + "-f9", "a" * 60 + "-f10"),
        ("-f3", "-f3-f1"),
        ("x-f", "x-f-f1"),
        ("x-f²", "x-f²-f1"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert next_name(name) == expected
    assert len(next_name(name)) <= 64


@pytest.mark.parametrize("name", ["night-f3", "n" * 64])
def test_a_version_whose_name_looks_like_a_folds_is_never_deleted(store: IndexStore, name: str) -> None:
    publish(store, name, BASE)
    collection = Collection("default", store.folder)
    folds(collection, 12)
    assert name in store.names()
    assert len(contents(collection.view())) == 15
    store.promote(name)
    assert len(contents(collection.view())) == 15


def test_only_one_at_a_time(store: IndexStore) -> None:
    collection = changed(store)
    with store.indexing(), pytest.raises(StoreBusy):
        collection.fold()
    assert collection.fold() is not None


def test_another_version_that_became_current_meanwhile_stays(
    store: IndexStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, "0.9", [addition("x", 9)])
    collection = changed(store)
    really = IndexStore.publish

    def promoted_before(self: IndexStore, *arguments: object, **named: object) -> Manifest:
        self.promote("0.9")
        return really(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(IndexStore, "publish", promoted_before)
    with pytest.raises(StoreBusy, match="has become current"):
        collection.fold()
    assert (store.current(), store.names()) == ("0.9", ["0.9", "1.0"])
    assert list((store.folder / ".building").iterdir()) == []


def test_an_earlier_fold_that_is_promoted_meanwhile_stays(store: IndexStore, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = changed(store)
    folds(collection, 2)
    really = IndexStore.publish

    def promoted_behind(self: IndexStore, *arguments: object, **named: object) -> Manifest:
        manifest = really(self, *arguments, **named)  # type: ignore[arg-type]
        self.promote("1.0-f1")
        return manifest

    collection.add([addition("late", 1)])
    monkeypatch.setattr(IndexStore, "publish", promoted_behind)
    assert collection.fold() is not None
    assert store.current() == "1.0-f1"
    assert "late" in contents(collection.view())


def test_a_version_from_before_collections_could_be_changed(store: IndexStore) -> None:
    base = [addition("a", 0, digest=bytes(16)), addition("b", 1)]
    rows = [Entry(row.path, row.vectors, None, row.digest) for row in base]
    publish(store, "1.0", rows, before=True)
    collection = Collection("default", store.folder)
    assert_is(collection.view(), rows, ["a", "b"], ASKED)
    collection.add([addition("b", 7), addition("c", 3, metadata='{"kind": 1}')])
    now = [rows[0], addition("b", 7), addition("c", 3, metadata='{"kind": 1}')]
    assert_is(collection.view(), now, ["a", "b", "c"], ASKED)
    collection.fold()
    assert_is(collection.view(), now, ["a", "b", "c"], ASKED)
    with closing(sqlite3.connect(store.folder / "1.0-f1" / IMAGES_FILE)) as connection:
        assert connection.execute("SELECT path, added FROM images ORDER BY row").fetchall() == [
            ("a", 0), ("b", 0), ("c", 1),
        ]  # fmt: skip


@pytest.mark.parametrize("largest_file", [0, 20, 100, 4096, 16384, 24576])
def test_a_full_disk_leaves_what_was_there(store: IndexStore, largest_file: int) -> None:
    collection = changed(store)
    collection.journal.close()
    process = processes.Process(target=fold_on_a_full_disk, args=(store.folder, largest_file))
    process.start()
    process.join(60)
    assert process.exitcode == 3
    assert store.names() == ["1.0"]
    assert_is(collection.view(), NOW, ["a", "b", "c", "d", "e"], ASKED)
    assert collection.fold() is not None
    assert_is(collection.view(), NOW, ["a", "b", "c", "d", "e"], ASKED)


def fold_on_a_full_disk(folder: Path, largest_file: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    try:
        fold(IndexStore(folder), Journal(folder))
    except JournalDamaged as error:
        sys.exit(3 if "they stay as they are" in str(error) else 4)


def test_on_the_command_line(store: IndexStore, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    changed(store)
    assert main([str(store.folder)]) == 0
    assert main([str(store.folder)]) == 0
    assert main([str(tmp_path / "nothing")]) == 1
    told = capsys.readouterr()
    assert told.out == "version 1.0-f1, 3 images\nnothing has changed\n"
    assert told.err.startswith("Error: no version is published")


def test_details_are_kept_beside_their_codes(tmp_path: Path) -> None:
    shoes = Collections(tmp_path).create("shoes", DETAILED)
    images = [addition(f"{number}", number * 257, 255 - number) for number in range(20)]
    shoes.add(images)
    shoes.remove([image.path for image in images[::3]])
    shoes.fold()
    version = shoes.view().version
    kept = [image for place, image in enumerate(images) if place % 3]
    assert version.images.paths(list(range(len(kept)))) == [image.path for image in kept]
    assert version.vectors["code"].tobytes() == b"".join(image.vectors["code"] for image in kept)
    assert version.vectors["detail"].tobytes() == b"".join(image.vectors["detail"] for image in kept)
    found = shoes.view().search([query_of(np.zeros(2, np.uint8), np.full(1, 255, np.uint8), 1, None, "detail")])
    assert found[0].paths == ["1"]

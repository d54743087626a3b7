"""A name moves from one collection to another: for everybody at once, whole or not at all."""

import json
import multiprocessing
import threading
import time
from pathlib import Path

import pytest

from searcher.aliases import ALIASES_FILE
from searcher.collections import Collections
from searcher.errors import (
    AliasesDamaged,
    BadCollectionName,
    CollectionExists,
    CollectionInUse,
    CollectionMissing,
    SearcherError,
)
from tests.searcher.live.fixtures import MODEL, addition

KILLS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def collections(folder: Path) -> Collections:
    """``shoes`` with the image a, ``pg`` with b."""
    made = Collections(folder)
    made.create("shoes", MODEL).add([addition("a", 1)])
    made.create("pg", MODEL).add([addition("b", 1)])
    return made


def paths(collections: Collections, name: str) -> list[str]:
    return [entry.path for entry in collections.open(name).view().entries()]


def test_a_further_name(collections: Collections, folder: Path) -> None:
    other = Collections(folder)  # as another process has it
    collections.give_name("live", "shoes")
    assert (paths(other, "live"), other.names()) == (["a"], ["default", "pg", "shoes"])
    assert other.open("live") is other.open("shoes") and other.aliases() == {"live": "shoes"}
    collections.give_name("live", "pg")
    assert (paths(other, "live"), other.aliases()) == (["b"], {"live": "pg"})
    collections.give_name("again", "live")  # what a name means is a collection, never a name
    collections.give_name("live", "shoes")
    assert other.aliases() == {"again": "pg", "live": "shoes"}
    collections.give_name("live", "default")
    assert other.open("live") is other.open("default")
    collections.remove_name("live")
    with pytest.raises(CollectionMissing, match="there is no collection live"):
        other.open("live")


def test_a_collection_gives_its_name_to_another_and_gets_it_back(collections: Collections, folder: Path) -> None:
    other, held = Collections(folder), collections.open("shoes")
    collections.give_name("shoes", "pg", keep="before")
    assert (paths(other, "shoes"), paths(other, "before"), paths(other, "pg")) == (["b"], ["a"], ["b"])
    assert (other.names(), other.aliases()) == (["default", "before", "pg"], {"shoes": "pg"})
    assert [other.open(name).name for name in ("shoes", "before")] == ["pg", "before"]
    assert [entry.path for entry in held.view().entries()] == ["a"], "what was opened before goes on"
    stores = {name: store.folder.name for name, store in other.stores().items()}
    assert stores == {"default": "store", "before": "shoes", "pg": "pg"}

    collections.give_name("before", "pg", keep="older")  # it has no other name, so it needs one
    assert (paths(other, "older"), other.aliases()) == (["a"], {"before": "pg", "shoes": "pg"})
    collections.give_name("shoes", "older")
    assert (paths(other, "shoes"), other.names()) == (["a"], ["default", "pg", "shoes"])
    assert other.aliases() == {"before": "pg", "older": "shoes"}


def test_what_is_refused_changes_nothing(collections: Collections) -> None:
    collections.give_name("live", "pg")
    for name, to, keep, kind, reason in (
        ("default", "pg", None, CollectionInUse, "the name default is the datalake's"),
        ("shoes", "pg", None, CollectionExists, "shoes is a collection: say by `keep`"),
        ("shoes", "pg", "pg", CollectionExists, "there is a collection pg already"),
        ("shoes", "pg", "live", CollectionExists, "live is an alias of the collection pg"),
        ("shoes", "pg", "../x", BadCollectionName, "cannot be a collection's name"),
        ("a/b", "pg", None, BadCollectionName, "cannot be a collection's name"),
        ("nul", "pg", None, BadCollectionName, "cannot be a collection's name"),
        ("live", "hats", None, CollectionMissing, "there is no collection hats"),
    ):
        with pytest.raises(kind, match=reason):
            collections.give_name(name, to, keep)
    with pytest.raises(CollectionExists, match="live is an alias"):
        collections.create("live", MODEL)
    with pytest.raises(CollectionInUse, match="live is an alias of the collection pg"):
        collections.delete("live")
    with pytest.raises(CollectionInUse, match="pg is also called live"):
        collections.delete("pg")
    with pytest.raises(CollectionInUse, match="shoes is a collection, and no alias"):
        collections.remove_name("shoes")
    with pytest.raises(CollectionMissing, match="there is no alias hats"):
        collections.remove_name("hats")
    assert (collections.names(), collections.aliases()) == (["default", "pg", "shoes"], {"live": "pg"})


def test_the_only_name_of_a_collection_is_not_removed_but_with_it(collections: Collections) -> None:
    collections.give_name("shoes", "pg", keep="before")
    with pytest.raises(CollectionInUse, match="before is all that this collection is called, since shoes means pg"):
        collections.remove_name("before")
    collections.delete("before")
    assert (collections.names(), collections.aliases()) == (["default", "pg"], {"shoes": "pg"})
    collections.remove_name("shoes")
    assert paths(collections, collections.create("shoes", MODEL).name) == []


def test_a_damaged_file_is_told_by_every_collection(collections: Collections, folder: Path) -> None:
    collections.give_name("live", "pg")
    for content in ("{", "[]", '{"live": 7}'):
        (folder / "collections" / ALIASES_FILE).write_text(content)
        for name in ("live", "pg", "default"):
            with pytest.raises(AliasesDamaged, match="which says what the collections are called, cannot be read"):
                collections.open(name)
        assert collections.names() == ["default", "pg", "shoes"]
    (folder / "collections" / ALIASES_FILE).unlink()
    assert paths(collections, "pg") == ["b"]


def test_who_asks_while_a_name_moves_gets_one_or_the_other(collections: Collections, folder: Path) -> None:
    other, found, stop = Collections(folder), list[tuple[str, ...]](), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            found.append(tuple(paths(other, "shoes")))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for each in asking:
        each.start()
    collections.give_name("shoes", "pg", keep="before")
    for number in range(50):
        collections.give_name("shoes", ("before", "pg")[number % 2])
    seen = len(found)
    while len(found) < seen + 3 and all(each.is_alive() for each in asking):
        time.sleep(0.01)
    stop.set()
    for each in asking:
        each.join()
    assert set(found) == {("a",), ("b",)}


def _move(folder: Path) -> None:
    collections = Collections(folder)
    while True:
        for to in ("before", "pg"):
            collections.give_name("shoes", to)


def test_killed_at_any_moment_a_name_means_one_or_the_other(collections: Collections, folder: Path) -> None:
    collections.give_name("shoes", "pg", keep="before")
    for number in range(KILLS):
        moving = multiprocessing.get_context("fork").Process(target=_move, args=(folder,))
        moving.start()
        time.sleep(0.003 * number)
        moving.kill()
        moving.join()
        said = json.loads((folder / "collections" / ALIASES_FILE).read_text())
        assert said["before"] == "shoes" and said.get("shoes", "shoes") in ("shoes", "pg")
        assert paths(collections, "shoes") in (["a"], ["b"]) and paths(collections, "before") == ["a"]
    collections.give_name("shoes", "pg")
    with pytest.raises(SearcherError):
        collections.delete("pg")
    assert paths(collections, "shoes") == ["b"]

"""The datalake is indexed anew, and what its collection was given stays: images from elsewhere, metadata, removals."""

import json

import pytest

from embedding.torchscript import TorchScriptEmbedder
from searcher.collections import Collections
from searcher.entry import Entry
from searcher.errors import ModelMismatch
from searcher.live.collection import Collection
from searcher.versions.images import REMOVED
from tests.fakes import code_bytes
from tests.indexer.conftest import Bench
from tests.indexer.stored import codes_by_path, skipped_of
from tests.vectors import entry_of

LISTED = {"data/a.png": 1, "data/b.png": 2, "data/c.png": 3}
URL = "http://example.org/1.png"


@pytest.fixture
def collection(bench: Bench) -> Collection:
    bench.index("1.0.0", bench.write(LISTED))
    return Collections(bench.store.folder).open("default")


def given(path: str, code: int, **metadata: int) -> Entry:
    return entry_of(path, code_bytes(code), None, json.dumps(metadata) if metadata else None, b"d" * 16)


def state(collection: Collection) -> dict[str, tuple[bytes, str | None]]:
    return {image.path: (image.vectors["code"], image.metadata) for image in collection.view().images(limit=1000)}


@pytest.mark.parametrize("folded", [False, True])
def test_everything_given_is_in_the_next_version(bench: Bench, collection: Collection, folded: bool) -> None:
    collection.add([given(URL, 0xFF00, size=1), given("data/a.png", 9, size=2)])
    collection.remove(["data/b.png"])
    if folded:
        collection.fold()
    bench.index("2.0.0", [*LISTED, *bench.write({"data/d.png": 4})])
    assert state(collection) == {
        "data/a.png": (code_bytes(1), '{"size": 2}'),  # the file's own code again
        "data/c.png": (code_bytes(3), None),
        "data/d.png": (code_bytes(4), None),
        URL: (code_bytes(0xFF00), '{"size": 1}'),
    }
    assert collection.unfolded() == 0
    assert list(codes_by_path(bench.version("2.0.0"))) == ["data/a.png", "data/c.png", "data/d.png", URL]
    assert skipped_of(bench.version("2.0.0")) == [("data/b.png", REMOVED)]


def test_what_was_removed_stays_out_of_every_later_version_until_it_is_added_again(
    bench: Bench, collection: Collection
) -> None:
    collection.remove(["data/b.png"])
    bench.index("2.0.0", LISTED)
    bench.index("3.0.0", LISTED)
    assert list(state(collection)) == ["data/a.png", "data/c.png"]
    collection.add([given("data/b.png", 2)])
    bench.index("4.0.0", LISTED)
    assert list(state(collection)) == ["data/a.png", "data/b.png", "data/c.png"]


@pytest.mark.parametrize("folds", [0, 1, 2])
def test_another_picture_in_its_place_comes_back(bench: Bench, collection: Collection, folds: int) -> None:
    """Only what was removed stays out, however it was carried to the next index."""
    collection.remove(["data/b.png"])
    for _ in range(folds):
        collection.fold()
        collection.add([given(URL, 5)])
    bench.index("2.0.0", LISTED)
    assert "data/b.png" not in state(collection)
    bench.write({"data/b.png": 7})
    bench.index("3.0.0", LISTED)
    assert state(collection)["data/b.png"] == (code_bytes(7), None)
    assert skipped_of(bench.version("3.0.0")) == []


def test_who_indexes_is_told_what_stays_out(
    bench: Bench, collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    collection.remove(["data/b.png", "data/c.png"])
    report = bench.index("2.0.0", LISTED)
    assert report.removed == 2
    report.say("current")
    assert "2 images stay out because they were removed from the collection: " in capsys.readouterr().err


def test_a_removal_from_before_its_picture_was_remembered_stays(bench: Bench, collection: Collection) -> None:
    collection.journal.remove(["data/b.png"], collection.view().version.manifest)
    bench.write({"data/b.png": 7})
    bench.index("2.0.0", LISTED)
    assert "data/b.png" not in state(collection)


def test_an_image_that_was_added_can_be_removed_for_good(bench: Bench, collection: Collection) -> None:
    collection.add([given(URL, 5)])
    bench.index("2.0.0", LISTED)
    collection.remove([URL])
    assert URL not in state(collection)
    bench.index("3.0.0", LISTED)
    assert list(state(collection)) == list(LISTED)


def test_a_listed_file_that_is_gone_takes_its_metadata_along(bench: Bench, collection: Collection) -> None:
    collection.add([given("data/a.png", 1, size=1)])
    (bench.folder / "data" / "a.png").unlink()
    bench.index("2.0.0", ["data/b.png", "data/c.png"])
    assert list(state(collection)) == ["data/b.png", "data/c.png"]


def test_changes_while_it_is_indexed_are_laid_over_it(
    bench: Bench, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    hash_pictures = TorchScriptEmbedder.embed
    collection.add([given(URL, 5), given("http://example.org/2.png", 6)])

    def meanwhile(self: TorchScriptEmbedder, pictures: object) -> object:
        collection.remove(["data/a.png", URL])
        collection.add([given("http://example.org/3.png", 7)])
        return hash_pictures(self, pictures)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchScriptEmbedder, "embed", meanwhile)
    bench.index("2.0.0", LISTED)
    monkeypatch.undo()
    expected = ["data/b.png", "data/c.png", "http://example.org/2.png", "http://example.org/3.png"]
    assert list(state(collection)) == expected
    collection.fold()
    assert list(state(collection)) == expected
    bench.index("3.0.0", LISTED)
    assert list(state(collection)) == expected


def test_going_back_to_an_older_version_loses_no_addition(bench: Bench, collection: Collection) -> None:
    collection.add([given(URL, 5)])
    collection.remove(["data/a.png"])
    bench.index("2.0.0", [*LISTED, *bench.write({"data/d.png": 4})])
    bench.store.promote("1.0.0")
    assert list(state(collection)) == ["data/b.png", "data/c.png", URL]


def test_another_model_is_refused_while_there_are_additions(
    bench: Bench, collection: Collection, other_model: TorchScriptEmbedder
) -> None:
    collection.add([given(URL, 5)])
    with pytest.raises(ModelMismatch, match="images were added to the collection with model"):
        bench.index("2.0.0", LISTED, model=other_model)
    assert bench.store.current() == "1.0.0"
    collection.remove([URL, "data/a.png"])
    collection.add([given("data/b.png", 2, size=1)])
    bench.index("2.0.0", LISTED, model=other_model)
    assert state(collection) == {"data/b.png": (code_bytes(2), '{"size": 1}'), "data/c.png": (code_bytes(3), None)}


def test_after_another_model_has_taken_over_images_are_added_with_it(
    bench: Bench, collection: Collection, other_model: TorchScriptEmbedder
) -> None:
    collection.add([given("data/b.png", 2, size=1)])
    bench.index("2.0.0", LISTED, model=other_model)
    collection.add([given(URL, 5)])
    assert state(collection)[URL] == (code_bytes(5), None)
    with pytest.raises(ModelMismatch):  # whose rows are the first model's, while the addition is the other's
        bench.store.promote("1.0.0")
    assert bench.store.current() == "2.0.0"

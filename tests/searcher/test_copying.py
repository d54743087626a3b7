"""A collection becomes a copy of another one, wherever both live and however often it is interrupted."""

from pathlib import Path

import pytest

from searcher import copying
from searcher.collections import Collections
from searcher.copying import copy
from searcher.errors import CopyDiffers, ModelMismatch
from searcher.open_collection import OpenCollection
from tests.postgres import PostgresServer
from tests.searcher.live.fixtures import DETAILED, MODEL, addition, query

METADATA = '{"z": 1.50, "a": "é", "deep": {"y": [100.0, 1e2, null]}}'


@pytest.fixture
def collections(tmp_path: Path) -> Collections:
    return Collections(tmp_path)


@pytest.fixture
def shoes(collections: Collections) -> OpenCollection:
    """Images of a version and after it, some removed or replaced."""
    made = collections.create("shoes", DETAILED)
    made.add([addition(name, number, 0, METADATA if number % 2 else None) for number, name in enumerate("zyxwvu")])
    assert not hasattr(made, "engine")
    made.fold()  # type: ignore[union-attr]
    made.remove(["x"])
    made.add([addition("y", 9, 1), addition("a", 0, 0, METADATA, bytes(16))])
    return made


def names(collection: OpenCollection) -> list[str]:
    return [entry.path for entry in collection.view().entries()]


@pytest.fixture(params=["index store", "postgresql"])
def target(request: pytest.FixtureRequest, collections: Collections) -> OpenCollection:
    if request.param == "index store":
        return collections.create("copy", DETAILED)
    server: PostgresServer = request.getfixturevalue("postgres")
    return collections.create("copy", DETAILED, server.address(), request.getfixturevalue("place"))


def test_it_answers_as_the_original(shoes: OpenCollection, target: OpenCollection) -> None:
    copied = copy(shoes, target)
    assert (copied.count, copied.added, copied.removed) == (6, 6, 0)
    assert names(target) == names(shoes) == ["z", "w", "v", "u", "y", "a"]
    asked = [query(0, None, 9), query(0, 0, 9, None, "detail")]
    assert [each.paths for each in target.view().search(asked)] == [each.paths for each in shoes.view().search(asked)]
    assert copy(shoes, target) == copying.Copied(6, 0, 0, copied.checksum)


def test_what_was_interrupted_goes_on(
    shoes: OpenCollection, target: OpenCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_BATCH", 2)
    add, times = type(target).add, []

    def killed(self: OpenCollection, additions: object) -> None:
        times.append(additions)
        if len(times) == 2:
            raise KeyboardInterrupt
        add(self, additions)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(type(target), "add", killed)
        with pytest.raises(KeyboardInterrupt):
            copy(shoes, target)
    assert names(target) == ["z", "w"]
    assert copy(shoes, target).added == 4
    assert names(target) == names(shoes)


def test_what_changed_since_is_changed(shoes: OpenCollection, target: OpenCollection) -> None:
    copy(shoes, target)
    shoes.add([addition("z", 7, 7)])
    copied = copy(shoes, target)
    assert (copied.count, copied.added, copied.removed) == (6, 1, 0)
    assert names(target) == names(shoes)


def test_what_goes_meanwhile_is_removed(
    shoes: OpenCollection, target: OpenCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = type(target).add

    def late(self: OpenCollection, additions: object) -> None:
        add(self, additions)  # type: ignore[arg-type]
        shoes.remove(["w"])

    monkeypatch.setattr(type(target), "add", late)
    copied = copy(shoes, target)
    assert (copied.count, copied.added, copied.removed) == (5, 6, 1)
    assert names(target) == names(shoes)


def test_a_collection_of_other_images_is_left_alone(shoes: OpenCollection, target: OpenCollection) -> None:
    target.add([addition("mine", 0, 0), addition("z", 7, 7)])
    with pytest.raises(
        CopyDiffers, match="copy has 1 images that shoes lacks, such as mine: remove them, or copy into"
    ):
        copy(shoes, target)
    assert names(target) == ["mine", "z"]


def test_what_does_not_become_equal_is_told(shoes: OpenCollection, target: OpenCollection) -> None:
    target.add([*shoes.view().entries()][::-1])
    with pytest.raises(CopyDiffers, match="copy is no copy of shoes yet, which changes or has images in another order"):
        copy(shoes, target)


def test_of_another_model_nothing_is_copied(shoes: OpenCollection, collections: Collections) -> None:
    with pytest.raises(ModelMismatch):
        copy(shoes, collections.create("grid", MODEL))

"""A version split by rows: every row is in one shard, in order, with all that is said of it."""

from pathlib import Path

import numpy as np
import pytest

from searcher.versions.images import IMAGES_FILE, ImageTable, Sourced
from searcher.versions.store import IndexStore
from searcher.versions.vectors import write_vectors
from tests.hashlake.command import hashlake
from tests.searcher.versions.versions_by_hand import MODEL, as_codes, file_of, publish

CODES = {f"{number}.png": number * 163 for number in range(10)}


def shards_of(folder: Path, count: int) -> list[dict[str, int]]:
    """Of each shard, its paths and codes in the order of its rows; each is whole, and current."""
    found = []
    for number in range(count):
        store = IndexStore(folder / str(number))
        store.verify(store.require_current())
        version = store.open()
        paths = version.images.paths(list(range(version.manifest.count)))
        found.append(dict(zip(paths, version.vectors["code"].view(">u2")[:, 0].tolist(), strict=True)))
    return found


@pytest.mark.parametrize("mode", ["default", "unnecessary fast"])
def test_every_row_is_in_one_shard_in_order(tmp_path: Path, mode: str) -> None:
    store = IndexStore(tmp_path / "store")
    publish(store, "1.5.0", CODES, {"no.png": "it is none"}, mode=mode)  # type: ignore[arg-type]
    command = ["shards", "--into", "3", "--out", tmp_path / "shards", "--index_store", store.folder]
    made = hashlake(*command)
    assert made.status == 0, made.err
    assert made.out.splitlines() == [
        f"{tmp_path}/shards/{number}: version 1.5.0, {count} images (shard {number + 1} of 3)"
        for number, count in enumerate((3, 3, 4))
    ]
    rows = list(CODES.items())
    assert shards_of(tmp_path / "shards", 3) == [dict(rows[:3]), dict(rows[3:6]), dict(rows[6:])]
    assert IndexStore(tmp_path / "shards" / "1").manifest("1.5.0").mode == mode
    before = (tmp_path / "shards" / "0" / "1.5.0" / "manifest.json").read_bytes()
    assert hashlake(*command, "1.5.0").out == made.out  # what is there stays
    assert (tmp_path / "shards" / "0" / "1.5.0" / "manifest.json").read_bytes() == before


def test_what_is_said_of_an_image_goes_with_it(tmp_path: Path) -> None:
    store = IndexStore(tmp_path / "store")
    folder = store.building("1")
    folder.mkdir(parents=True)
    said = {"a": Sourced("etag a", '{"n": 1}'), "b": Sourced(), "c": Sourced("etag c"), "d": Sourced(None, "{}")}
    with ImageTable(folder / IMAGES_FILE, writable=True) as table:
        table.begin()
        for row, (path, each) in enumerate(said.items()):
            table.add(row, file_of(path), each)
        table.commit()
    vectors = {"code": as_codes(*range(4))}
    files = [*write_vectors(folder, MODEL.spaces, vectors).files, IMAGES_FILE]
    store.publish("1", model=MODEL, count=4, skipped=0, files=files)
    assert hashlake("shards", "--into", "2", "--out", tmp_path, "--index_store", store.folder).status == 0
    for number, paths in enumerate(("ab", "cd")):
        images = IndexStore(tmp_path / str(number)).open().images
        assert images.sourced(list(said)) == {path: said[path] for path in paths if said[path] != Sourced()}
        assert [images.file(row) for row in range(2)] == [file_of(path) for path in paths]


def test_more_shards_than_images_leaves_some_empty(tmp_path: Path) -> None:
    publish(IndexStore(tmp_path / "store"), "1", {"a": 1, "b": 2}, {})
    assert hashlake("shards", "--into", "3", "--out", tmp_path, "--index_store", tmp_path / "store").status == 0
    assert shards_of(tmp_path, 3) == [{}, {"a": 1}, {"b": 2}]
    assert np.array_equal(IndexStore(tmp_path / "0").open().vectors["code"], np.empty((0, 2), np.uint8))

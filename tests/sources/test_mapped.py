"""Copies are read, and their originals answered."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sources.errors import SourceError
from sources.mapped import MappedSource, Mapping
from sources.source import Item
from tests.fakes import code_bytes, png_of
from tests.hashlake.command import hashlake
from tests.indexer.stored import codes_by_path, skipped_of


@pytest.mark.parametrize("command", ["index", "refresh"])
def test_the_index_has_the_originals_names(tmp_path: Path, grid_path: Path, command: str) -> None:
    lake = tmp_path / "lake"
    for name, code in (("resize_224x224/a.png", 1), ("crops/b_crop0.png", 2), ("crops/a.png", 3), ("c.png", 4)):
        (lake / name).parent.mkdir(parents=True, exist_ok=True)
        (lake / name).write_bytes(png_of(code))
    source = ["--source", lake] if command == "index" else [lake]
    run = [command, *source, "--model_path", grid_path, "--index_store", tmp_path / "store"]
    run += ["--map_path", f"{lake}/=", "--map_path", "resize_224x224/=photos/", "--map_path", "crops/=photos/"]
    answer = hashlake(*run, "--new_index_database_version", "1")
    assert answer.status == 0, answer.err
    version = tmp_path / "store" / "1"
    assert codes_by_path(version) == {
        "c.png": code_bytes(4), "photos/a.png": code_bytes(3), "photos/b_crop0.png": code_bytes(2),
    }  # fmt: skip
    assert skipped_of(version) == [("photos/a.png", "listed twice; the first place counts")]
    if command == "index":
        again = hashlake(*run, "--new_index_database_version", "2", "--base_version", "1")
        assert "3 images (3 of them known before), 1 skipped" in again.out
    else:
        assert "nothing has changed since" in hashlake(*run).out


@pytest.mark.parametrize("mapping", ["photos", "=photos"])
def test_what_maps_nothing_is_refused(tmp_path: Path, grid_path: Path, mapping: str) -> None:
    answer = hashlake(
        "index", "--source", tmp_path, "--model_path", grid_path, "--index_store", tmp_path / "store",
        "--new_index_database_version", "1", "--map_path", mapping,
    )  # fmt: skip
    assert answer.status == 1
    assert answer.err == f"Error: {mapping!r} maps no path: write FROM=TO, and TO may be empty\n"


def test_every_picture_keeps_a_name() -> None:
    class One:
        count, state = 1, ""

        def items(self, start: int = 0) -> Iterator[Item]:
            yield Item("a.png")

    with pytest.raises(SourceError, match=r"'a.png' is left without a name: map a part of it alone"):
        list(MappedSource(One(), [Mapping.parse("a.png=")]).items())  # type: ignore[arg-type]

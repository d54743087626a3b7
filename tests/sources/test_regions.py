"""What a detector finds on pictures becomes items of their own, from every kind of source."""

import io
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contract.boxes import Box
from sources.errors import Unreadable
from sources.parts import part_of
from sources.regions import Regions
from sources.source import Item
from tests.fakes import code_bytes
from tests.hashlake.command import hashlake
from tests.indexer.stored import codes_by_path, skipped_of
from tests.sources.fetching.picture_site import PictureSite
from tests.sources.pdf_files import pdf_of
from tests.squares import NAME, Squares, install, page, png

FIGURES = {"red": (10, 20, 0x00FF), "blue": (200, 100, 0xF00F)}
RED, BLUE = "#xywh=10,20,64,64", "#xywh=200,100,64,64"


class Given:
    """Finds the given boxes, and fails where there are none."""

    def __init__(self, *boxes: Box) -> None:
        self._boxes = boxes

    def __call__(self, picture: NDArray[np.uint8]) -> Sequence[Box]:
        if not self._boxes:
            raise Unreadable("the detector fails")
        return self._boxes


class Found:
    """The squares of a picture."""

    def __str__(self) -> str:
        return NAME

    def __call__(self, picture: NDArray[np.uint8]) -> Sequence[Box]:
        return Squares().detect([picture])[0]


def test_a_picture_and_its_regions() -> None:
    picture = page(FIGURES)
    data, item = png(picture), Item("a.png", version="7", metadata='{"page": 3, "score": "x"}')
    whole, red, blue = Regions(Found()).parts(item, data)
    assert whole == (item, data)
    assert [part.name for part, _ in (red, blue)] == [f"a.png{RED}", f"a.png{BLUE}"]
    assert (red[0].parent, red[0].version, red[0].kind) == ("a.png", "7", "picture")
    assert json.loads(red[0].metadata or "") == {"page": 3, "score": 0.9, "label": "red", "full_size": [300, 200]}
    for (part, content), box in ((red, (10, 20, 74, 84)), (blue, (200, 100, 264, 164))):
        assert isinstance(content, bytes)
        seen = np.asarray(picture.crop(box))
        assert (np.asarray(Image.open(io.BytesIO(content))) == seen).all()
        shown = part_of(part.name, data, part.metadata)  # the very same pixels
        assert (np.asarray(Image.open(io.BytesIO(shown))) == seen).all()
    alone = list(Regions(Found(), alone=True).parts(item, data))
    assert alone == [red, blue]


def test_boxes_are_in_pixels_of_the_canvas() -> None:
    """The server gave a third of the size."""
    data = png(page(FIGURES))
    item = Item("https://e.org/c1", metadata='{"manifest": "m", "width": 900, "height": 600}')
    _, (red, content), _ = Regions(Found()).parts(item, data)
    assert red.name == "https://e.org/c1#xywh=30,60,192,192"
    assert isinstance(content, bytes) and Image.open(io.BytesIO(content)).size == (64, 64)
    assert Image.open(io.BytesIO(part_of(red.name, data, red.metadata))).size == (64, 64)


def test_what_a_detector_should_not_answer() -> None:
    boxes = [
        Box(-20, -10, 50, 60, 1.0, "clipped"),
        Box(-20, -10, 50, 60, 0.9, "twice"),
        Box(290, 0, 500, 500, 0.8, "clipped"),
        Box(400, 0, 50, 50, 0.7, "outside"),
        Box(0, 0, 7, 50, 0.6, "speck"),
        Box(0, 0, 50, -50, 0.5, "negative"),
    ]
    parts = list(Regions(Given(*boxes), alone=True).parts(Item("a.png"), png(page({}))))
    assert [part.name for part, _ in parts] == ["a.png#xywh=0,0,30,50", "a.png#xywh=290,0,10,200"]


def test_what_cannot_be_searched_stays_and_has_a_reason() -> None:
    item, data = Item("a.png"), png(page({}))
    whole, (failed, reason) = Regions(Given()).parts(item, data)
    assert whole == (item, data)
    assert (failed.name, str(reason)) == ("a.png#xywh", "the detector fails")
    assert list(Regions(Given()).parts(item, b"none")) == [(item, b"none")]  # its reason comes when it is embedded
    ((same, reason),) = Regions(Given(), alone=True).parts(item, b"none")
    assert same == item and "not an image" in str(reason)


def test_texts_and_regions_have_none() -> None:
    splits = Regions(Found()).splits
    assert splits(Item("a.jpg")) and splits(Item("a.pdf#page=3"))
    assert not splits(Item("a.jpg#xywh=1,2,3,4")) and not splits(Item("a.pdf#page=1&segment=2", kind="text"))


@pytest.fixture
def squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(str(install(tmp_path / "site")))
    return NAME


def test_pages_of_pdfs_and_pictures_of_a_folder_are_indexed(tmp_path: Path, grid_path: Path, squares: str) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "a.png").write_bytes(png(page(FIGURES)))
    (lake / "b.png").write_bytes(png(page({})))
    (lake / "nonsense.png").write_bytes(png(Image.new("RGB", (50, 50), (1, 2, 3))))
    (lake / "c.pdf").write_bytes(pdf_of([page({"red": FIGURES["red"]}, (144, 144))]))
    run: list[str | Path] = ["index", "--source", lake, "--model_path", grid_path, "--index_store", tmp_path / "store"]
    run += ["--detector", squares, "--split", "pdf:dpi=72"]
    answer = hashlake(*run, "--new_index_database_version", "1")
    assert answer.status == 0, answer.err
    version = tmp_path / "store" / "1"
    codes = codes_by_path(version)
    regions = {name.removeprefix(f"{lake}/"): code for name, code in codes.items() if "xywh" in name}
    assert regions == {
        f"a.png{RED}": code_bytes(0x00FF),
        f"a.png{BLUE}": code_bytes(0xF00F),
        "c.pdf#page=1&xywh=10,20,64,64": code_bytes(0x00FF),
    }
    assert [name.removeprefix(f"{lake}/") for name in codes if "xywh" not in name] == [
        "a.png", "b.png", "c.pdf#page=1", "nonsense.png",
    ]  # fmt: skip
    assert skipped_of(version) == [(f"{lake}/nonsense.png#xywh", "squares answers no boxes")]
    with closing(sqlite3.connect(version / "images.db")) as table:
        (said,) = table.execute("SELECT metadata FROM images WHERE path LIKE '%c.pdf%page=1&xywh=10,%'").fetchone()
    assert json.loads(said) == {"page": 1, "pages": 1, "score": 0.9, "label": "red", "full_size": [144, 144]}
    refused = hashlake(*run[:-4], "--detector", "nothing", "--new_index_database_version", "2")
    assert refused.status == 1 and "there is no detector 'nothing'" in refused.err


def test_canvases_are_indexed(tmp_path: Path, grid_path: Path, squares: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    with PictureSite() as site:
        body = {"id": site.put("/a.png", png(page(FIGURES))), "type": "Image"}
        canvas = {"id": "https://e.org/c1", "width": 900, "height": 600, "items": [{"items": [{"body": body}]}]}
        address = site.put("/m.json", json.dumps({"type": "Manifest", "id": "m", "items": [canvas]}).encode())
        answer = hashlake(
            "index", "--source", f"iiif:{address}", "--detector", squares, "--regions_alone", "--model_path", grid_path,
            "--index_store", tmp_path / "store", "--new_index_database_version", "1",
        )  # fmt: skip
    assert answer.status == 0, answer.err
    assert codes_by_path(tmp_path / "store" / "1") == {
        "https://e.org/c1#xywh=30,60,192,192": code_bytes(0x00FF),
        "https://e.org/c1#xywh=600,300,192,192": code_bytes(0xF00F),
    }

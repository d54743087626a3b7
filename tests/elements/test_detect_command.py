"""Elements of folders, PDFs and manifests, boxes by hand; what fails, what goes on, and the files for other tools."""

import csv
import json
import os
import re
import shutil
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from contract.boxes import Box
from contract.regions import region_of
from detection.registry import open_detector
from elements.extraction import in_whole
from elements.pages import Page, Seen, about_of, seen
from sources.errors import Unreadable
from tests.detection.scripted import Says, write
from tests.elements import squares
from tests.elements.squares import Squares, page
from tests.hashlake.command import Answer, hashlake
from tests.sources.fetching.picture_site import PictureSite
from tests.sources.test_iiif import v2, v3

#: What extractorAPI's client takes, and nothing else.
CLIENT = re.compile(r"^\d+\s+\S+\.jpg$|^\d+\s\d+\s\d+\s\d+$")


class Killed(BaseException):
    """As sudden as a kill to what is written."""


def detect(source: Path | str, output: Path, *more: str) -> Answer:
    return hashlake("elements", "detect", str(source), "--detector", "squares", "--output", output, *more)


def lines(output: Path, name: str) -> list[str]:
    found = (output / f"{name}.txt").read_text().splitlines()
    assert all(CLIENT.match(line) for line in found)
    return found


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_folder_in_every_format(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    answer = detect(folder, out)
    assert answer.status == 0, answer.err
    assert f"{folder}: 2 boxes on 3 pages, 1 not read" in answer.out
    assert "page 2 of" in answer.err and "not an image" in answer.err
    assert lines(out, "book") == ["1 book_0001.jpg", "50 70 20 10", "10 20 30 40", "3 book_0003.jpg"]
    told = read(out / "book.json")
    code = Path(squares.__file__).stat().st_mtime
    assert told["detector"] == {
        "name": "squares", "stem": "squares", "labels": ["red", "blue"], "modified": int(code),
    }  # fmt: skip
    assert [(each["page"], each["width"], each["height"], len(each["boxes"])) for each in told["found"]] == [
        (1, 80, 100, 2), (3, 80, 100, 0),
    ]  # fmt: skip
    assert told["found"][0]["boxes"][0] == {
        "label": "red",
        "score": 0.9,
        "absolute": {"x": 10, "y": 20, "width": 30, "height": 40},
        "relative": {"x": 0.125, "y": 0.2, "width": 0.375, "height": 0.4},
    }
    assert [each["page"] for each in told["not_read"]] == [2]
    annotations = read(out / "book.annotations.json")
    assert annotations["type"] == "AnnotationPage"
    assert annotations["items"][0]["target"] == f"{folder}/a.png#xywh=10,20,30,40"
    rows = list(csv.DictReader((out / "book.csv").read_text().splitlines()))
    assert [(row["page"], row["x"], row["label"], row["score"]) for row in rows] == [
        ("1", "10", "red", "0.9000"), ("1", "50", "blue", "0.6000"),
    ]  # fmt: skip
    with zipfile.ZipFile(out / "book.crops.zip") as crops:
        assert crops.namelist() == ["book_0001_10,20,30,40.jpg", "book_0001_50,70,20,10.jpg"]
        assert Image.open(BytesIO(crops.read("book_0001_10,20,30,40.jpg"))).size == (30, 40)
    assert read(out / "documents.json")["documents"] == [
        {"document": str(folder), "name": "book", "pages": 3, "failed": 1, "boxes": 2}
    ]


def test_what_is_known_is_not_looked_at_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[tuple[int, ...]] = []
    before = Squares.detect

    def noted(self: Squares, pictures: Any) -> list[list[Box]]:
        looked.extend(each.shape for each in pictures)
        if len(looked) == 2:
            raise Killed
        return before(self, pictures)

    monkeypatch.setattr(Squares, "detect", noted)
    out = tmp_path / "out"
    with pytest.raises(Killed):
        detect(folder, out)
    assert len(looked) == 2 and not (out / "book.txt").exists()
    assert detect(folder, out).status == 0
    assert len(looked) == 3  # the last page alone
    whole = lines(out, "book")
    (folder / "b.png").write_bytes(page(red=(0, 0, 5, 5)))  # it failed, and is there now
    (folder / "0.png").write_bytes(page())  # all numbers move
    (folder / "c.png").unlink()
    assert detect(folder, out).status == 0
    assert len(looked) == 5
    assert lines(out, "book") == [
        "1 book_0001.jpg", "2 book_0002.jpg", *whole[1:3], "3 book_0003.jpg", "0 0 5 5",
    ]  # fmt: skip
    with zipfile.ZipFile(out / "book.crops.zip") as crops:
        assert "book_0002_10,20,30,40.jpg" in crops.namelist()


def test_manifests_fail_alone_and_boxes_are_the_canvas_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    with PictureSite() as site:
        image = site.put("/a.png", page(red=(10, 20, 30, 40)))
        book = v3({"id": image}, {"id": site.url("/none.png")}, {"id": image})
        for canvas in book["items"]:
            canvas |= {"width": 800, "height": 1000}
        first = site.put("/books/ark:/1/b1/manifest.json", json.dumps(book).encode())
        other = v2({"@id": image})
        other["sequences"][0]["canvases"][0]["@id"] = "d1"
        second = site.put("/books/ms-2", json.dumps(other).encode())
        members = [{"id": each} for each in (first, site.url("/none/manifest.json"), second)]
        both = site.put("/all.json", json.dumps({"type": "Collection", "items": members}).encode())
        answer = detect(both, tmp_path / "out", "--json")
    assert answer.status == 0, answer.err
    *_, last = map(json.loads, answer.out.splitlines())
    assert [(each["name"], each["pages"], each["failed"]) for each in last["documents"]] == [
        ("b1", 3, 1), ("ms-2", 1, 0), ("none", 1, 1),
    ]  # fmt: skip
    assert lines(tmp_path / "out", "b1") == [
        "1 b1_0001.jpg", "100 200 300 400", "3 b1_0003.jpg", "100 200 300 400",
    ]  # fmt: skip
    assert lines(tmp_path / "out", "ms-2") == ["1 ms-2_0001.jpg", "10 20 30 40"]
    assert lines(tmp_path / "out", "none") == []
    (failed,) = read(tmp_path / "out" / "none.json")["not_read"]
    assert "the manifest cannot be had: 127.0.0.1 answers with status 404" in failed["reason"]


def test_pages_of_a_pdf(tmp_path: Path) -> None:
    pages = [Image.open(BytesIO(page(red=(10, 20, 30, 40)))), Image.open(BytesIO(page()))]
    pages[0].save(tmp_path / "Un livre.pdf", save_all=True, append_images=pages[1:], resolution=150)
    answer = detect(tmp_path / "Un livre.pdf", tmp_path / "out")
    assert answer.status == 0, answer.err
    found = lines(tmp_path / "out", "Un_livre")
    assert [line for line in found if line.endswith("jpg")] == ["1 Un_livre_0001.jpg", "2 Un_livre_0002.jpg"]
    assert len(found) == 3
    (told,) = read(tmp_path / "out" / "Un_livre.annotations.json")["items"]
    region = region_of(told["target"])
    assert region is not None and region.parent == f"{tmp_path}/Un livre.pdf#page=1"


def test_images_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    with PictureSite() as site:
        image = site.put("/a.png", page(blue=(1, 2, 3, 4)))
        listed = site.put("/list", json.dumps({"fig 1": image}).encode())
        assert detect(f"images:{listed}", tmp_path / "out").status == 0
        for bad in (b"{", b"[]", b'{"a": 3}'):
            site.put("/bad", bad)
            assert "no JSON" in detect(f"images:{site.url('/bad')}", tmp_path / "bad").err
    (told,) = (tmp_path / "out").glob("*.txt")
    assert told.read_text().splitlines()[1:] == ["1 2 3 4"]


def test_nonsense_of_a_detector_is_reported(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    answer = hashlake("elements", "detect", str(folder), "--detector", "nonsense", "--output", out)
    assert "page 1 of" in answer.err and "answers with what is no box of the picture" in answer.err
    assert answer.status == 0 and lines(out, "book") == []
    missing = hashlake("elements", "detect", str(folder), "--detector", "nothing", "--output", out)
    assert missing.status == 1 and "there is no detector 'nothing'" in missing.err


def test_large_pages_are_seen_smaller_and_told_whole() -> None:
    stream = BytesIO()
    turned = Image.new("RGB", (3000, 1500), "red")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(stream, "JPEG", exif=exif)
    view = seen(Page("", "", 1, "", ""), stream.getvalue())
    assert view.size == (1500, 3000) and view.picture.shape == (2500, 1250, 3)
    (box,) = Squares().detect([view.picture])[0]
    assert in_whole(box, view) == Box(0, 0, 1500, 3000, 0.9, "red")
    tiny = Seen(view.picture[:10, :10], (3, 2))
    assert in_whole(Box(9, 9, 1, 1, 0.9, "red"), tiny) == Box(2, 1, 1, 1, 0.9, "red")
    assert about_of("[]") == {}


def test_pages_of_two_hundred_megapixels() -> None:
    """A JPEG is decoded smaller; what must be decoded whole is refused before it is."""
    jpeg, png = BytesIO(), BytesIO()
    Image.new("L", (16_000, 12_500), 200).save(jpeg, "JPEG")
    view = seen(Page("", "", 1, "", ""), jpeg.getvalue())
    assert view.size == (16_000, 12_500) and max(view.picture.shape) <= 2500
    Image.new("1", (16_000, 12_500)).save(png, "PNG")
    with pytest.raises(Unreadable, match=r"16,?000|pixels"):
        seen(Page("", "", 1, "", ""), png.getvalue())


def test_files_of_detectors(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grid_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(grid_path, models / "grid.pt")
    (models / "broken.pt").write_bytes(b"PK")
    whole = torch.tensor([[[0.0, 0.0, 100.0, 100.0, 0.5, 0.0]]])
    written = write(models / "mine.pt", Says(whole), fit="stretch")
    monkeypatch.setenv("HASHLAKE_MODELS", str(models))
    listed = json.loads(hashlake("elements", "detectors", "--json").out)
    mine = {"name": "mine.pt", "stem": "mine", "labels": ["figure", "object"]}
    assert mine | {"modified": int(written.stat().st_mtime)} in listed
    assert {"squares", "mine.pt"} <= {each["name"] for each in listed}
    for each in listed:
        assert open_detector(each["name"]).stem == each["stem"]
    assert "mine.pt   figure, object" in hashlake("elements", "detectors").out
    run: list[str | Path] = ["elements", "detect", folder, "--detector", "mine", "--output", tmp_path / "out"]
    assert hashlake(*run).status == 0
    assert lines(tmp_path / "out", "book") == [
        "1 book_0001.jpg", "0 0 80 100", "3 book_0003.jpg", "0 0 80 100",
    ]  # fmt: skip
    write(models / "mine.pt", Says(whole / 2), fit="stretch")  # other weights begin anew
    assert hashlake(*run).status == 0
    assert lines(tmp_path / "out", "book")[1] == "0 0 40 50"
    assert len(list((tmp_path / "out" / "crops").iterdir())) == 2  # of a and c, and none of those before


def test_five_thousand_canvases_keep_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "long.json").write_text(json.dumps(v3(*[None] * 5000)))
    answer = detect(f"iiif:{tmp_path}/long.json", tmp_path / "out", "--json")
    (told,) = json.loads(answer.out.splitlines()[-1])["documents"]
    assert (told["pages"], told["failed"], told["name"]) == (5000, 5000, "long")
    pages = [each["page"] for each in read(tmp_path / "out" / "long.json")["not_read"]]
    assert pages == list(range(1, 5001))


def test_names_are_anybody_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that is no address, files that would be called as ours or another's, a canvas in two books and twice in
    one, one that is huge, and a formula."""
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    with PictureSite() as site:
        image = site.put("/a.png", page(red=(10, 20, 30, 40)))
        members = ["http://["]
        for name in ("documents", "ms", "ms.annotations"):
            book = v3({"id": image}, {"id": image}, {"id": image})
            for number, canvas in enumerate(book["items"]):
                canvas |= {"id": "=1+1" if number < 2 else name, "width": 10**30, "height": 10**30}
            members.append(site.put(f"/{name}/manifest.json", json.dumps(book).encode()))
        both = {"type": "Collection", "items": [{"id": each} for each in members]}
        listed = site.put("/all.json", json.dumps(both).encode())
        for _ in range(2):  # the second time, everything is known
            answer = detect(listed, tmp_path / "out", "--json")
            assert answer.status == 0, answer.err
            told = json.loads(answer.out.splitlines()[-1])["documents"]
            assert [(each["name"], each["pages"], each["boxes"]) for each in told] == [
                ("document", 1, 0), ("documents-2", 3, 3), ("ms", 3, 3), ("ms-2", 3, 3),
            ]  # fmt: skip
    assert lines(tmp_path / "out", "ms") == [
        "1 ms_0001.jpg", "10 20 30 40", "2 ms_0002.jpg", "10 20 30 40", "3 ms_0003.jpg", "10 20 30 40",
    ]  # fmt: skip
    assert len(read(tmp_path / "out" / "documents.json")["documents"]) == 4
    rows = list(csv.DictReader((tmp_path / "out" / "ms.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["'=1+1", "'=1+1", "ms"]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"book\xff")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.png")).write_bytes(page())
    answer = detect(folder, tmp_path / "out", "--json")
    assert answer.status == 0, answer.err
    (told,) = json.loads(answer.out.splitlines()[-1])["documents"]
    assert (told["pages"], told["failed"]) == (1, 1)

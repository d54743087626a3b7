"""Pages of PDF files as pictures: their names, text and codes, and files that are encrypted, broken or empty."""

import io
import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from sources.errors import SourceError, Unreadable
from sources.part_names import file_of
from sources.pdf import PdfPages, open_pdf, picture_of
from sources.source import Item
from sources.splitters import open_splitters
from tests.fakes import code_bytes, png_of, write_grid_model
from tests.fakes import picture_of as drawn
from tests.hashlake.command import hashlake
from tests.indexer.stored import codes_by_path, skipped_of
from tests.sources.pdf_files import pdf_of


def parts(data: bytes, splitter: PdfPages = PdfPages()) -> list[tuple[Item, bytes | Unreadable]]:  # noqa: B008
    return list(splitter.parts(Item("a.pdf"), data))


def refused(data: bytes) -> str:
    with pytest.raises(Unreadable) as error:
        parts(data)
    return str(error.value)


def size_of(data: bytes | Unreadable) -> tuple[int, int]:
    assert isinstance(data, bytes)
    return Image.open(io.BytesIO(data)).size


def test_pages_are_numbered_and_say_what_is_on_them() -> None:
    found = parts(pdf_of(["Hello", drawn(0xFF00, 64)], title="Catalogue"))
    assert [item.name for item, _ in found] == ["a.pdf#page=1", "a.pdf#page=2"]
    assert {item.parent for item, _ in found} == {"a.pdf"}
    assert [json.loads(item.metadata or "") for item, _ in found] == [
        {"page": 1, "pages": 2, "title": "Catalogue", "text": "Hello"},
        {"page": 2, "pages": 2, "title": "Catalogue"},
    ]
    assert [size_of(data) for _, data in found] == [(300, 300)] * 2


@pytest.mark.parametrize("title", ["", "untitled", "(anonymous)".replace("(", r"\(").replace(")", r"\)")])
def test_a_title_that_a_program_made_up_is_none(title: str) -> None:
    ((item, _),) = parts(pdf_of(["Hello"], title=title))
    assert "title" not in json.loads(item.metadata or "")


def test_its_options() -> None:
    assert (str(open_pdf("")), str(open_pdf("dpi=200,images"))) == ("pdf:dpi=150", "pdf:dpi=200,images")
    ((_, data),) = parts(pdf_of(["Hello"]), open_pdf("dpi=36"))
    assert size_of(data) == (72, 72)
    for options in ("dpi=0", "dpi=x", "dpi=1201", "pages"):
        with pytest.raises(SourceError, match=f"^pdf:{options} is no option"):
            open_splitters([f"pdf:{options}"])


def test_the_pictures_on_a_page_are_parts_too_when_asked_for() -> None:
    data = pdf_of(["Hello", drawn(0xFF00, 64), drawn(1, 16)])
    found = parts(data, PdfPages(images=True))
    names = ["a.pdf#page=1", "a.pdf#page=2", "a.pdf#page=2&image=1", "a.pdf#page=3"]
    assert [item.name for item, _ in found] == names
    assert size_of(found[2][1]) == (64, 64)


def test_a_huge_page_is_rendered_smaller() -> None:
    data = pdf_of(["Hello"]).replace(b"[0 0 144 144]", b"[0 0 9000 90]")
    ((_, picture),) = parts(data, PdfPages(dpi=1200))
    width, height = size_of(picture)
    assert 9_000_000 < width * height <= 10_100_000


def test_files_that_cannot_be_taken_apart_say_why() -> None:
    assert refused(pdf_of(["Hello"], encrypted=True)) == "the PDF is encrypted, and opens with a password only"
    assert refused(b"no PDF") == "the PDF is damaged, or none"
    assert refused(b"") == "the PDF is damaged, or none"
    assert refused(pdf_of(["x"] * 5001)) == "the PDF has 5,001 pages; the limit is 5,000"


def test_one_part_is_shown_as_a_picture() -> None:
    data = pdf_of(["Hello", drawn(0xFF00, 64)])
    assert file_of("d/a.pdf#page=2&image=1") == file_of("d/a.pdf#page=2") == "d/a.pdf"
    assert file_of("a.pdf") is None
    assert Image.open(io.BytesIO(picture_of("a.pdf#page=2", data))).format == "PNG"
    assert size_of(picture_of("a.pdf#page=2&image=1", data)) == (64, 64)
    for name in ("a.pdf#page=0", "a.pdf#page=3", "a.pdf#page=1&image=1", "a.pdf"):
        with pytest.raises(Unreadable):
            picture_of(name, data)


@pytest.mark.parametrize("archived", [False, True])
def test_pages_are_indexed_among_pictures(tmp_path: Path, archived: bool) -> None:
    lake = {
        "a.png": png_of(7),
        "b.PDF": pdf_of([drawn(0xFF00, 64), drawn(0x00FF, 64)]),
        "c.pdf": pdf_of(["x"], encrypted=True),
    }
    source = tmp_path / ("lake.zip" if archived else "lake")
    if archived:
        with zipfile.ZipFile(source, "w") as archive:
            for name, content in lake.items():
                archive.writestr(name, content)
    else:
        source.mkdir()
        for name, content in lake.items():
            (source / name).write_bytes(content)
    between = "#" if archived else "/"
    model = write_grid_model(tmp_path / "grid.pt")
    run = ["refresh", "--source", source, "--model_path", model, "--index_store", tmp_path / "store"]
    answer = hashlake(*run, "--split", "pdf", "--new_index_database_version", "1")
    assert answer.status == 0, answer.err
    version = tmp_path / "store" / "1"
    assert codes_by_path(version) == {
        f"{source}{between}a.png": code_bytes(7),
        f"{source}{between}b.PDF#page=1": code_bytes(0xFF00),
        f"{source}{between}b.PDF#page=2": code_bytes(0x00FF),
    }
    reason = "the PDF is encrypted, and opens with a password only"
    assert skipped_of(version) == [(f"{source}{between}c.pdf", reason)]
    with closing(sqlite3.connect(version / "images.db")) as table:
        stored = table.execute("SELECT metadata FROM images WHERE path LIKE '%page=2'").fetchone()
    assert json.loads(stored[0]) == {"page": 2, "pages": 2}
    assert "nothing has changed since" in hashlake(*run, "--split", "pdf").out
    assert "1 images" in hashlake(*run).out  # without the splitter, PDFs are not listed

"""A real disk is no data set: what is a picture is found whatever it is called, and what isn't listed is counted."""

import os
from pathlib import Path

import pytest
from PIL import Image

from pictures.formats import FORMATS
from sources.kinds import Kind, kind_by_name, suffix_of
from sources.left_out import HIDDEN, LeftOut
from sources.selection import Selection
from sources.walk import walk
from tests.pictures.files import photo, sample, saved

JPEG = saved(photo(), "JPEG")


def put(folder: Path, *names: str, data: bytes = JPEG) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def walked(folder: Path, *, keep_hidden: bool = False) -> tuple[list[str], dict[str, int]]:
    """What is listed, and what is left out. Fails the test for a folder that cannot be read."""
    left_out = LeftOut()
    paths = [*walk(str(folder), pytest.fail, left_out, Selection(keep_hidden=keep_hidden))]
    return [os.fsdecode(path) for path in paths], dict(+left_out)


@pytest.mark.parametrize("name", ["IMG_0001", "a.jpg_large", "a.jpg?size=large", "a.2026", "noise.dat", ".jpg"])
def test_names_that_tell_nothing(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert walked(tmp_path) == ([name], {})


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_without_a_suffix(tmp_path: Path, format: str) -> None:
    put(tmp_path, "a", data=sample("photo.heic") if format == "HEIF" else saved(photo(), format))
    assert walked(tmp_path) == (["a"], {})


@pytest.mark.parametrize("name", ["a", "a.jpg_large", "Makefile", "a.log"])
@pytest.mark.parametrize("data", [b"", b"#!/bin/sh", b"\0" * 64, b"%PDF-1.7"])
def test_what_is_no_picture_is_neither_listed_nor_counted(tmp_path: Path, name: str, data: bytes) -> None:
    put(tmp_path, name, data=data)
    assert walked(tmp_path) == ([], {})


@pytest.mark.parametrize("name", ["a.txt", "a.mp4", "a.pdf", "a.part", "a.jpg.crdownload", "a.tmp"])
def test_names_of_other_things_are_believed(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert walked(tmp_path) == ([], {})


def test_a_pipe_without_a_suffix_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert walked(tmp_path) == ([], {})


def test_pictures_that_nothing_decodes_are_counted_by_their_kind(tmp_path: Path) -> None:
    put(tmp_path, "a.cr2", "b/B.CR2", "c.dng", "d.svg", "e.jpg", data=b"II*\0")
    assert walked(tmp_path) == (["e.jpg"], {"cr2": 2, "dng": 1, "svg": 1})


@pytest.mark.parametrize(
    "folder",
    [
        ".Trash-1000/files", ".thumbnails", "@eaDir/a.jpg", "$RECYCLE.BIN", "lost+found", "#recycle", "__MACOSX",
        ".Trashes", ".@__thumb", "System Volume Information", "holidays/.cache/thumbs",
    ],
)  # fmt: skip
def test_trash_and_thumbnails_are_left_out_and_counted(tmp_path: Path, folder: str) -> None:
    put(tmp_path, "a.jpg", f"{folder}/b.jpg", f"{folder}/deeper/c.png", f"{folder}/index.db")
    assert walked(tmp_path) == (["a.jpg"], {HIDDEN: 2})
    kept = sorted(["a.jpg", f"{folder}/b.jpg", f"{folder}/deeper/c.png", f"{folder}/index.db"], key=str.encode)
    assert walked(tmp_path, keep_hidden=True) == (kept, {})


@pytest.mark.parametrize("name", ["._a.jpg", ".trashed-1700000000-IMG_1.jpg", ".pending-1700000000-IMG_1.jpg"])
def test_files_that_no_person_put_there(tmp_path: Path, name: str) -> None:
    put(tmp_path, "a.jpg", name)
    assert walked(tmp_path) == (["a.jpg"], {HIDDEN: 1})
    assert walked(tmp_path, keep_hidden=True) == (sorted(["a.jpg", name], key=str.encode), {})


def test_the_folder_itself_may_be_hidden(tmp_path: Path) -> None:
    put(tmp_path / ".photos", "a.jpg")
    assert walked(tmp_path / ".photos") == (["a.jpg"], {})


def test_a_hidden_folder_that_cannot_be_read_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.jpg", "lost+found/b.jpg")
    scan = os.scandir

    def refuse(path: bytes) -> object:
        if b"lost" in path:
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert walked(tmp_path) == (["a.jpg"], {})


def test_a_link_in_the_trash_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg")
    (tmp_path / ".Trash").mkdir()
    (tmp_path / ".Trash" / "a").symlink_to("../a")
    assert walked(tmp_path) == (["a/1.jpg"], {})


def test_one_line_says_it() -> None:
    assert str(LeftOut()) == ""
    counts = LeftOut({"dng": 1, "cr2": 1200, HIDDEN: 3})
    assert str(counts) == "left out: 1,200 cr2, 1 dng, 3 in trash and thumbnail folders (--keep_hidden lists them)"


def test_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from pictures.formats import recognised
    from sources import left_out

    jxl = recognised(saved(Image.new("L", (1, 1)), "JXL")[:64])
    monkeypatch.setattr(left_out, "UNINSTALLED", {".jxl": jxl})
    assert str(LeftOut({"jxl": 4})) == "left out: 4 jxl (pip install 'hashlake[formats]')"


@pytest.mark.parametrize(
    ("name", "suffix"), [(b"a.JPG", ".jpg"), (b"a", ""), (b".jpg", ""), (b"a.b.c", ".c"), (b"a.", "."), (b"", "")]
)
def test_a_suffix(name: bytes, suffix: str) -> None:
    assert suffix_of(name) == suffix


def test_kinds_by_name() -> None:
    assert kind_by_name(b"a.jpeg") is kind_by_name(b"a.HEIC") is Kind.PICTURE
    assert kind_by_name(b"a.nef") is Kind.UNREAD and kind_by_name(b"a.mov") is Kind.OTHER
    assert kind_by_name(b"a.xyz") is kind_by_name(b"a") is None

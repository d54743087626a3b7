"""Labelled pictures are read whole or refused clearly, and held out by name alone."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures.preparation import Preprocessing
from sources.left_out import LeftOut
from training.errors import TrainingError
from training.pictures import for_validation, held_out, read_labelled, read_list

SMALL = Preprocessing(image_size=8)
HELD_OUT = [0, 4, 13, 15, 31, 35, 36, 38, 40, 46, 49]  # of 0.png … 59.png, by SHA-1 of the name


def write_csv(folder: Path, *rows: str, header: str = "path,label") -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join((header, *rows)) + "\n", encoding="utf-8")
    return path


def write_pictures(folder: Path, count: int) -> list[str]:
    """Pictures in one shade of grey each: 0, 1, 2, …"""
    names = [f"{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        Image.new("L", (10, 10), number).save(folder / name)
    return names


# --- Held out


def test_the_pictures_held_out_are_the_same_for_ever() -> None:
    assert [number for number in range(60) if held_out(f"{number}.png")] == HELD_OUT


def test_a_tenth_is_held_out() -> None:
    assert 1800 < sum(held_out(f"{number}.jpg") for number in range(20_000)) < 2200


def test_another_tenth_is_for_validation() -> None:
    names = [f"{number}.jpg" for number in range(20_000)]
    assert 1800 < sum(map(for_validation, names)) < 2200
    assert not any(held_out(name) and for_validation(name) for name in names)


def test_the_folder_does_not_matter() -> None:
    for number in range(60):
        assert held_out(f"/other/place/{number}.png") == held_out(f"{number}.png")


# --- Reading


def test_pictures_labels_and_classes_keep_the_order_of_the_file(tmp_path: Path) -> None:
    names = write_pictures(tmp_path, 6)
    labels = ["shoe", "hat", "shirt", "hat", "shoe", "hat"]
    data = read_labelled(
        write_csv(tmp_path, *(f"{name},{label}" for name, label in zip(names, labels, strict=True))), SMALL, frozenset()
    )
    assert data.classes == ["hat", "shirt", "shoe"]
    assert [data.classes[label] for label in data.labels] == labels
    assert data.labels.dtype == np.int64
    assert data.pictures.shape == (6, 8, 8, 3)
    assert data.pictures.dtype == np.uint8
    assert data.pictures[:, 4, 4, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert data.held_out.tolist() == [number in HELD_OUT for number in range(6)]
    assert data.validation.tolist() == [for_validation(name) for name in names]


def test_paths_are_relative_to_the_file_and_other_columns_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    write_pictures(tmp_path / "images", 3)
    rows = ("me,hat,images/0.png", "me,shoe,images/1.png", "you,hat,images/2.png")
    data = read_labelled(write_csv(tmp_path, *rows, header="who,label,path"), SMALL, frozenset())
    assert data.pictures[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert [data.classes[label] for label in data.labels] == ["hat", "shoe", "hat"]


def test_ignored_labels_are_left_out(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3)
    path = write_csv(tmp_path, "0.png,hat", "missing.png,not sure", "1.png,shoe", "missing.png,other", "2.png,hat")
    data = read_labelled(path, SMALL, frozenset(["not sure", "other"]))
    assert data.classes == ["hat", "shoe"]
    assert len(data.pictures) == len(data.labels) == len(data.held_out) == len(data.validation) == 3


def test_a_folder_has_a_folder_for_each_label(tmp_path: Path) -> None:
    """Pictures are told, and trash is left out, as by an index: also where a label has the name of a trash folder."""
    names = ["shoe/b.png", "hat/deep/er/a.PNG", "hat/c", "hat/._d.png", ".e/f.png", "hat/@eaDir/a.png", "g.png"]
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (10, 10), number).save(tmp_path / name, "PNG")
    (tmp_path / "hat" / "notes.txt").write_text("no picture")
    (tmp_path / "hat" / "raw.dng").write_bytes(b"II*")
    left_out = LeftOut()
    files = read_list(tmp_path, frozenset(), left_out)
    assert left_out == {"dng": 1, "hidden": 3}
    assert [(file.path.relative_to(tmp_path).as_posix(), file.label) for file in files] == [
        ("hat/c", "hat"),
        ("hat/deep/er/a.PNG", "hat"),
        ("shoe/b.png", "shoe"),
    ]
    assert [file.label for file in read_list(tmp_path, frozenset({"hat"}))] == ["shoe"]


def test_space_around_a_label_does_not_count(tmp_path: Path) -> None:
    files = read_list(write_csv(tmp_path, "0.png, hat ", "1.png,hat"), frozenset())
    assert [file.label for file in files] == ["hat", "hat"]


def test_a_name_that_is_not_utf8_is_held_out_or_not() -> None:
    assert held_out(os.fsdecode(b"caf\xe9.png")) in (True, False)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path, 3)
    with pytest.raises(TrainingError, match="needs a folder for each label, with pictures in it"):
        read_list(tmp_path, frozenset())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "needs a header line with the columns path and label"),
        ("path,label\n", "needs a header line with the columns path and label, and rows below it"),
        ("image,class\n0.png,hat\n1.png,shoe\n", "needs a header line with the columns path and label"),
        ("0.png,hat\n1.png,shoe\n", "needs a header line with the columns path and label"),
        ("path;label\n0.png;hat\n", "needs a header line with the columns path and label"),
        ("path,label\n0.png,hat\n1.png,hat\n", "has 1 labels; training needs at least 2"),
        ("path,label\n1.png,hat\n2.png,shoe\n", "lists 2 pictures: too few to hold a tenth out for validation"),
        ("path,label\n0.png,hat\n4.png,shoe\n", "lists 2 pictures: too few to hold a tenth out for validation"),
    ],
    ids=["empty", "header only", "other columns", "no header", "semicolons", "one label", "none held", "all held"],
)
def test_a_list_that_cannot_be_trained_on_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    write_pictures(tmp_path, 5)
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(TrainingError) as refused:
        read_labelled(path, SMALL, frozenset())
    assert str(refused.value).startswith(f"{path} {complaint}")


@pytest.mark.parametrize("row", ["1.png", ",hat"], ids=["no label", "no path"])
def test_a_row_that_is_cut_short_is_refused(tmp_path: Path, row: str) -> None:
    write_pictures(tmp_path, 3)
    with pytest.raises(TrainingError):
        read_labelled(write_csv(tmp_path, "0.png,hat", row, "2.png,shoe"), SMALL, frozenset())


def test_a_list_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"path,label\n0.png,b\xe9ret\n")
    with pytest.raises(TrainingError, match=r"labels\.csv cannot be read"):
        read_labelled(path, SMALL, frozenset())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file or directory"),
        (b"no picture", "not an image of a known format"),
        (b"", "the image is empty"),
    ],
    ids=["missing", "text", "empty"],
)
def test_an_unreadable_picture_is_named(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    write_pictures(tmp_path, 5)
    if content is None:
        (tmp_path / "3.png").unlink()
    else:
        (tmp_path / "3.png").write_bytes(content)
    path = write_csv(tmp_path, *(f"{number}.png,{'hat' if number % 2 else 'shoe'}" for number in range(5)))
    with pytest.raises(TrainingError, match=complaint) as refused:
        read_labelled(path, SMALL, frozenset())
    assert str(refused.value).startswith(f"{tmp_path / '3.png'}: ")

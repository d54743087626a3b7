"""Labelled pictures are read whole or refused clearly, held out by name alone, and augmented within their range."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from hashing.card import Preprocessing
from training.errors import TrainingError
from training.pictures import augment, held_out, read_labelled

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
    assert 900 < sum(held_out(f"{number}.jpg", one_in=20) for number in range(20_000)) < 1100


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
    assert data.validation.tolist() == [number in HELD_OUT for number in range(6)]


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
    assert len(data.pictures) == len(data.labels) == len(data.validation) == 3


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


# --- Augmentation


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch() -> Tensor:
    """Sixteen noisy pictures of 20 × 20."""
    return torch.randint(0, 256, (16, 20, 20, 3), dtype=torch.uint8, generator=random())


@pytest.mark.parametrize("size", [12, 16, 20])
def test_augmented_pictures_have_the_networks_shape_and_range(batch: Tensor, size: int) -> None:
    images = augment(batch, size, random())
    assert images.shape == (16, 3, size, size)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1


def test_augmentation_depends_on_the_generator_alone(batch: Tensor) -> None:
    first = augment(batch, 16, random(7))
    torch.manual_seed(99)
    assert torch.equal(augment(batch, 16, random(7)), first)
    assert not torch.equal(augment(batch, 16, random(8)), first)


def test_augmentation_leaves_the_kept_pictures_as_they_are(batch: Tensor) -> None:
    before = batch.clone()
    augment(batch, 16, random())
    assert torch.equal(batch, before)


def test_no_two_pictures_of_a_batch_are_augmented_alike(batch: Tensor) -> None:
    images = augment(batch[:1].expand(16, -1, -1, -1), 16, random())
    assert len({image.numpy().tobytes() for image in images}) == 16


def test_a_black_picture_stays_black_and_a_grey_one_grey() -> None:
    assert augment(torch.zeros(8, 20, 20, 3, dtype=torch.uint8), 16, random()).max() < 1e-6
    grey = augment(torch.full((64, 20, 20, 3), 100, dtype=torch.uint8), 16, random())
    assert (grey.amax(1) - grey.amin(1)).max() < 1e-5  # no colour comes from nowhere
    assert grey.min() > 0.6 * 100 / 255
    assert grey.max() < 1.4 * 100 / 255


def test_pictures_are_mirrored_about_half_of_the_time() -> None:
    """The left half is white: after augmentation it is brighter on the left or, mirrored, on the right."""
    picture = torch.zeros(200, 20, 20, 3, dtype=torch.uint8)
    picture[:, :, :10] = 255
    images = augment(picture, 16, random()).mean(1)
    mirrored = images[:, :, 8:].mean((1, 2)) > images[:, :, :8].mean((1, 2))
    assert 60 < mirrored.sum() < 140

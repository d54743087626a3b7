"""Queries and database are those of training, or two lists that share nothing."""

from pathlib import Path

import pytest

from tests.training.labelled import HELD_OUT, write_labelled
from training.errors import TrainingError
from training.split import held_out_split, two_list_split

NONE: frozenset[str] = frozenset()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("labelled")).parent


def test_training_and_evaluation_hold_out_the_same_pictures(folder: Path) -> None:
    split = held_out_split(folder / "labels.csv", NONE)
    assert [int(file.path.stem) for file in split.queries] == HELD_OUT
    assert len(split.database) == 32
    assert {file.path for file in split.queries}.isdisjoint(file.path for file in split.database)


def test_two_lists_are_taken_whole(folder: Path, tmp_path: Path) -> None:
    other = write_labelled(tmp_path, 4, start=100)
    split = two_list_split(other, folder / "labels.csv", NONE)
    assert [file.path.name for file in split.queries] == ["100.png", "101.png", "102.png", "103.png"]
    assert len(split.database) == 40
    hats = two_list_split(other, folder / "labels.csv", frozenset(["shoe"]))
    assert {file.label for file in hats.queries + hats.database} == {"hat"}


def test_lists_that_share_a_picture_are_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(f"path,label\n{folder / '..' / folder.name / '3.png'},shoe\n")
    with pytest.raises(TrainingError, match=r"both list .*3\.png: every query would find itself"):
        two_list_split(folder / "labels.csv", other, NONE)


def test_a_list_without_queries_or_database_is_refused(tmp_path: Path) -> None:
    for numbers in ("1", "0"):  # 0.png is held out, 1.png is not
        (tmp_path / "labels.csv").write_text(f"path,label\n{numbers}.png,hat\n")
        with pytest.raises(TrainingError, match="lists 1 pictures: too few to hold a tenth out as queries"):
            held_out_split(tmp_path / "labels.csv", NONE)


def test_a_list_of_ignored_labels_alone_is_refused(folder: Path, tmp_path: Path) -> None:
    other = write_labelled(tmp_path, 4, start=100)
    with pytest.raises(TrainingError, match="has no picture left without the ignored labels"):
        two_list_split(other, folder / "labels.csv", frozenset(["hat", "shoe"]))

"""A checkpoint counts for the training it was made by, and for no other."""

from pathlib import Path

import pytest
import torch

from training.checkpoint import Checkpoint


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    said: list[str] = []
    checkpoint = Checkpoint(tmp_path / "state", "mine", said.append)
    assert checkpoint.load() is None
    checkpoint.save({"epoch": 3, "weights": torch.arange(4)})
    checkpoint.save({"epoch": 4, "weights": torch.arange(5)})
    state = Checkpoint(tmp_path / "state", "mine", said.append).load()
    assert state is not None
    assert state["epoch"] == 4
    assert torch.equal(state["weights"], torch.arange(5))
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []
    assert said == []


def test_another_training_starts_afresh_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    Checkpoint(tmp_path / "state", "mine", said.append).save({"epoch": 3})
    assert Checkpoint(tmp_path / "state", "yours", said.append).load() is None
    assert said == [f"{tmp_path / 'state'} is of another training; starting afresh"]


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04", None], ids=["empty", "text", "zip", "cut"])
def test_a_damaged_file_starts_afresh_and_says_so(tmp_path: Path, content: bytes | None) -> None:
    path, said = tmp_path / "state", []
    checkpoint = Checkpoint(path, "mine", said.append)
    checkpoint.save({"epoch": 3, "weights": torch.arange(1000)})
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    assert checkpoint.load() is None
    assert said == [f"{path} cannot be read; starting afresh"]


def test_a_list_of_anything_else_is_no_checkpoint(tmp_path: Path) -> None:
    said: list[str] = []
    torch.save([1, 2], tmp_path / "state")
    assert Checkpoint(tmp_path / "state", "mine", said.append).load() is None
    assert said == [f"{tmp_path / 'state'} cannot be read; starting afresh"]


def test_a_failed_save_leaves_the_last_one(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", "mine", lambda _: None)
    checkpoint.save({"epoch": 3})
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save({"epoch": 4, "what": lambda: None})
    state = checkpoint.load()
    assert state is not None
    assert state["epoch"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["state"]

"""Vectors of float16 are mapped from a plain .npy file of just the right size, or the version is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from contract.space import Space
from searcher.errors import VersionDamaged
from searcher.versions.vectors import file_of, map_floats, write_vectors

COLOUR = Space(name="colour", kind="float16", width=3, metric="cosine")
ROWS = np.arange(12, dtype=np.float16).reshape(4, 3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    assert write_vectors(tmp_path, [COLOUR], {"colour": ROWS}).files == ["colour.npy"]
    return tmp_path / file_of(COLOUR)


def test_what_was_written_is_mapped_read_only(file: Path) -> None:
    found = map_floats(file, COLOUR, 4)
    assert (found.dtype, found.tolist()) == (np.float16, ROWS.tolist())
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_none_at_all(tmp_path: Path) -> None:
    write_vectors(tmp_path, [COLOUR], {"colour": COLOUR.empty()})
    assert map_floats(tmp_path / "colour.npy", COLOUR, 0).shape == (0, 3)


def test_files_are_called_after_their_spaces() -> None:
    spaces = [Space(name=name, width=16) for name in ("code", "detail", "green")]
    assert [file_of(space) for space in spaces] == ["index.faiss", "details.faiss", "green.faiss"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b"{" + path.read_bytes()[1:]),
        lambda path: np.save(path, ROWS[:3]),
        lambda path: np.save(path, ROWS[:, :2]),
        lambda path: np.save(path, ROWS.astype(np.float32)),
        lambda path: np.save(path, np.asfortranarray(ROWS)),
    ],
    ids=["missing", "empty", "cut short", "no array", "other count", "other width", "other numbers", "other order"],
)
def test_what_is_damaged_is_refused(damage: Callable[[Path], object], file: Path) -> None:
    damage(file)
    with pytest.raises(VersionDamaged, match=r"colour\.npy "):
        map_floats(file, COLOUR, 4)

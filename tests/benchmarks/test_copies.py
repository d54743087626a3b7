"""The gate for copies: which photographs are taken, what the copies are, and how pairs are counted."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import copies
from benchmarks.copies import copy_of, distances_between, main
from tests.fakes import picture_of, write_colour_model, write_grid_model


def test_each_pair_counts_once() -> None:
    codes = np.array([[0b0000_0000], [0b0000_0111], [0b0000_0001]], np.uint8)
    away = distances_between(codes)
    assert [(int(row), int(column)) for row, column in np.argwhere(away <= 2)] == [(0, 2), (1, 2)]
    assert away[0, 1] == 3


def test_copies_are_recompressed_resized_or_slightly_cropped_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture_of(0xA5A5, 400).save(path)
    sizes = [Image.open(BytesIO(copy_of(path, number))).size for number in range(30)]
    assert sizes[::3] == [(400, 400)] * 10
    assert all(160 <= width == height <= 320 for width, height in sizes[1::3])
    assert all(360 <= width <= 400 and 360 <= height <= 400 for width, height in sizes[2::3])
    assert len({*sizes[2::3]}) > 5


def test_copies_are_found_and_other_pairs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six pictures, two of which differ in the name alone, and three copies."""
    monkeypatch.setattr(copies, "PHOTOGRAPHS", 6)
    monkeypatch.setattr(copies, "COPIES", 3)
    for number, detail in enumerate((0, 0xFFFFFFFF, 0x00FF00FF, 0xFF00FF00, 0xF0F0F0F0, 0xF0F0F0F0)):
        picture_of(0xFF00, 400, detail=detail).save(tmp_path / f"{number}.png")
    found = CliRunner().invoke(main, [str(write_colour_model(tmp_path / "model.pt")), str(tmp_path), "--within", "3"])
    assert found.exit_code == 0, found.output
    (line,) = [line for line in found.output.splitlines() if line.startswith("within   3 bits")]
    assert line.startswith("within   3 bits: 3 of 3 copies")
    assert "4.png and 5.png" in found.output or "5.png and 4.png" in found.output


def test_a_model_must_say_what_a_copy_is(tmp_path: Path) -> None:
    model = write_grid_model(tmp_path / "grid.pt")
    found = CliRunner().invoke(main, [str(model), str(tmp_path)])
    assert found.exit_code == 1
    assert "doesn't say what a copy is: give --within" in found.output

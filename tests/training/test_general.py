"""The general model's command on tiny data: a model that servers load, the same each time, with a whole card."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from embedding.torchscript import TorchScriptEmbedder
from training.errors import TrainingError
from training.general import main


def draw(path: Path, seed: int, *, red: bool) -> None:
    """Coarse noise: of reds, or of blues."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 120, (6, 6, 3), dtype=np.uint8)
    pixels[..., 0 if red else 2] += 120
    Image.fromarray(pixels).resize((72, 60), Image.Resampling.NEAREST).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures in two classes, one of which is called like a class of ImageNet, and 12 photographs."""
    folder = tmp_path_factory.mktemp("general")
    for number in range(24):
        draw(folder / "labelled" / ("Jersey", "scarf")[number % 2] / f"{number}.png", number, red=number % 2 == 0)
    for number in range(12):
        draw(folder / "photographs" / f"{number}.png", 100 + number, red=number % 3 == 0)
    (folder / "cache").mkdir()
    return folder


def make(folder: Path, out: Path, *more: str) -> Result:
    arguments = [
        str(folder / "labelled"),
        str(folder / "photographs"),
        "--out",
        str(out),
        "--cache",
        str(folder / "cache"),
    ]
    small = [
        "--bits",
        "16",
        "--image_size",
        "64",
        "--views",
        "2",
        "--part_views",
        "2",
        "--detail_steps",
        "2",
        "--meaning_steps",
        "2",
    ]
    return CliRunner().invoke(main, [*arguments, *small, *more], catch_exceptions=False)


def test_it_makes_a_model_with_its_classes_calibration_and_figures(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "general.pt"
    found = make(folder, out)
    assert found.exit_code == 0, found.output
    model = TorchScriptEmbedder.load(out)
    assert len(model.card.classes) == 1001
    assert {"golden retriever", "Jersey", "scarf"} <= {*model.card.classes}
    assert "jersey" not in model.card.classes
    assert model.embed_text(["JERSEY", "golden retriever"])["code"].shape == (2, 2)
    calibration = model.card.calibration
    assert calibration is not None
    assert calibration.detail is not None
    assert calibration.text is not None
    assert model.card.training["pictures"]
    assert "figures" in model.card.training
    assert out.stat().st_size < 20_000_000
    first = hashlib.sha256(out.read_bytes()).hexdigest()
    made = {path: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}
    make(folder, out)
    assert hashlib.sha256(out.read_bytes()).hexdigest() == first
    assert {path: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()} == made


def test_too_few_photographs_are_refused_before_anything_is_computed(folder: Path, tmp_path: Path) -> None:
    draw(tmp_path / "few" / "one.png", 0, red=True)
    arguments = [
        str(folder / "labelled"),
        str(tmp_path / "few"),
        "--out",
        str(tmp_path / "x.pt"),
        "--cache",
        str(tmp_path),
    ]
    with pytest.raises(TrainingError, match="holds 1 pictures: too few"):
        CliRunner().invoke(main, arguments, catch_exceptions=False)

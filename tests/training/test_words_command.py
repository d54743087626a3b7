"""The command that makes clip-general, on tiny data: a model that servers load, calibrated."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from contract.space import EMBEDDING
from embedding.errors import UnknownWords
from embedding.torchscript import TorchScriptEmbedder
from indexer.sample_datalake import draw_garment
from training.errors import TrainingError
from training.words import main


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((72, 60), Image.Resampling.NEAREST).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures of two kinds of garments, as many photographs, and four drawn garments."""
    folder = tmp_path_factory.mktemp("words")
    for number in range(40):
        draw(folder / "labelled" / ("Dress", "Hat")[number % 2] / f"{number}.png", number)
        draw(folder / "photographs" / f"{number}.png", 100 + number)
    for seed, (shape, colour, pattern) in enumerate(
        (("dress", "red", "stripes"), ("dress", "green", "plain"), ("hat", "red", "dots"), ("hat", "navy", "plain"))
    ):
        path = folder / "drawn" / "garments" / shape / f"{colour}-{pattern}-{seed:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_garment(shape, colour, pattern, Random(seed)).save(path)
    return folder


def make(folder: Path, out: Path, *more: str) -> Result:
    given = [str(folder / name) for name in ("labelled", "photographs", "drawn")]
    small = ["--out", str(out), "--image_size", "32", "--steps", "2"]
    return CliRunner().invoke(main, [*given, *small, *more], catch_exceptions=False)


def test_it_makes_a_model_with_words_and_a_calibration(folder: Path, tmp_path: Path) -> None:
    made = make(folder, tmp_path / "words.pt")
    assert made.exit_code == 0, made.output
    assert "3,317 phrases" in made.output
    model = TorchScriptEmbedder.load(tmp_path / "words.pt")
    assert model.identity.text and model.card.preprocessing.image_size == 32
    assert {"golden retriever", "dress"} <= {*model.card.classes}
    red, dress, both = model.embed_text(["red", "dress", "a red dress"])[EMBEDDING].astype(np.float32)
    assert both @ red > 0.3 and both @ dress > 0.3
    with pytest.raises(UnknownWords):
        model.embed_text(["qwertz"])
    calibration = model.card.calibration
    assert calibration is not None and calibration.embedding is not None and calibration.words is None


def test_a_list_without_garments_is_refused(folder: Path, tmp_path: Path) -> None:
    draw(tmp_path / "labelled" / "Spoon" / "1.png", 1)
    (tmp_path / "photographs").mkdir()
    (tmp_path / "drawn").symlink_to(folder / "drawn")
    with pytest.raises(TrainingError, match=r"lists 0 garments and .* holds 0 pictures"):
        make(tmp_path, tmp_path / "words.pt")

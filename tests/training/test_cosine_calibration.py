"""What cosines mean, measured with the fake model of words: red, green and blue are the numbers of a vector."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedding.torchscript import TorchScriptEmbedder
from tests.fakes import write_words_model
from training.cosine_calibration import Seen, calibrate_cosines, embedded
from training.errors import TrainingError
from training.pictures import LabelledFile

#: Of pictures: red, nearly red, green, and halfway between them.
RED, REDDISH, GREEN, BETWEEN = (1, 0, 0), (0.8, 0.6, 0), (0, 1, 0), (0.6, 0, 0.8)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> TorchScriptEmbedder:
    return TorchScriptEmbedder.load(write_words_model(tmp_path_factory.mktemp("words") / "words.pt"))


def seen(**labelled: list[tuple[float, float, float]]) -> Seen:
    """Pictures by their label; those of ``none`` have none."""
    pictures = [(vector, "" if label == "none" else label) for label, some in labelled.items() for vector in some]
    return Seen(np.array([vector for vector, _ in pictures], np.float32), [label for _, label in pictures])


def test_pictures_by_their_labels(words: TorchScriptEmbedder) -> None:
    """Alike: red and red, both ways, at 0; red and reddish, twice both ways, at 0.2: in the mean at 0.8 / 6. Not alike:
    reddish and green, both ways, at 0.4; red and green, twice both ways, at 1: in the mean at 4.8 / 6."""
    found = calibrate_cosines(words, seen(red=[RED, RED, REDDISH], green=[GREEN]), words=False)
    assert found is not None and found.embedding is not None and found.words is None
    curve = found.embedding
    assert curve.distances == pytest.approx((0.8 / 6, 4.8 / 6), abs=2e-3)
    assert curve.shares == (1, 0)
    # With their kind there, reds find something at 0 or 0.2; without it, nothing nearer than 0.4.
    assert curve.at(0.4) < found.nothing_below <= curve.at(0.2)


def test_what_has_no_label_matches_nothing(words: TorchScriptEmbedder) -> None:
    found = calibrate_cosines(words, seen(red=[RED, RED], green=[GREEN, GREEN], none=[RED]), words=False)
    assert found is not None and found.embedding is not None
    # at 0: 2 + 2 pairs alike, and each red beside the one without a label: 4 of 6
    assert found.embedding.at(0) == round(4 / 6, 4)
    assert found.nothing_below == 0.6667  # the stranger is as near as can be: nothing divides better


def test_words_have_a_curve_of_their_own(words: TorchScriptEmbedder) -> None:
    """The pictures between red and blue are at 0.4 from "red", the green ones at 0 from "green"; "a photo of a red"
    means the same to this model. In the mean, what is alike is at 0.2, the others at 1."""
    found = calibrate_cosines(words, seen(red=[BETWEEN, BETWEEN], green=[GREEN, GREEN]), words=True)
    assert found is not None and found.words is not None and found.embedding is not None
    assert found.words.distances == pytest.approx((0.2, 1), abs=2e-3)
    assert found.embedding.distances == (0, 1)  # pictures of one kind are equal here
    assert found.words.shares == found.embedding.shares == (1, 0)
    assert found.words_nothing_below is not None and found.words_nothing_below > 0


def test_words_that_the_model_cannot_read_are_left_out(words: TorchScriptEmbedder) -> None:
    found = calibrate_cosines(words, seen(**{"red " * 9: [RED, RED], "blue " * 9: [GREEN]}), words=True)
    assert found is not None and found.words is None


@pytest.mark.parametrize("labelled", [{"red": [RED, RED]}, {"none": [RED, RED]}, {"red": [RED], "green": [GREEN]}])
def test_too_little_to_measure(
    words: TorchScriptEmbedder, labelled: dict[str, list[tuple[float, float, float]]]
) -> None:
    assert calibrate_cosines(words, seen(**labelled), words=True) is None


def test_files_that_cannot_be_read_are_left_out(words: TorchScriptEmbedder, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (255, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    files = [LabelledFile(tmp_path / name, "red") for name in ("broken.png", "red.png")]
    found = embedded(words, files)
    assert (found.embeddings.tolist(), found.labels) == ([[1, 0, 0]], ["red"])
    with pytest.raises(TrainingError, match="no picture that can be read"):
        embedded(words, files[:1])

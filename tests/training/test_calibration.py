"""A calibration from pictures with known codes: every share is counted by hand."""

from pathlib import Path

import pytest

from contract.closeness import Calibration
from embedding.torchscript import TorchScriptEmbedder
from tests.fakes import CLASSES, DETAIL_BITS, picture_of, write_colour_model
from training.calibration import calibrate
from training.pictures import LabelledFile
from training.split import Split

SHIRT, ROBE = CLASSES
#: Detail codes: the nearest two, the first and the last, differ in 12 bits.
DETAILS = (0x00000000, 0xFFFFFFFF, 0x0F0F0F0F, 0xF0F0F0F0, 0x00FF00FF, 0xFFFF0000, 0x00000FFF)


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    folder = tmp_path_factory.mktemp("calibration")

    def written(number: int, code: int) -> Path:
        path = folder / f"{number}.png"
        picture_of(code, 64, detail=DETAILS[number]).save(path)
        return path

    queries = [(0xFF00, SHIRT), (0xFF01, SHIRT), (0x00FF, ROBE), (0x00FE, ROBE)]
    database = [(0xFF00, SHIRT), (0x00FF, ROBE)]
    split = Split(
        [LabelledFile(written(number, code), label) for number, (code, label) in enumerate(queries)],
        [LabelledFile(written(4 + number, code), label) for number, (code, label) in enumerate(database)],
        "by hand",
    )
    photograph = written(6, 0xF0F0)
    model = TorchScriptEmbedder.load(write_colour_model(folder / "colours.pt"))
    return calibrate(model, split, [photograph], [SHIRT, ROBE])


def test_pairs_of_one_label_are_matches_and_photographs_match_nothing(calibration: Calibration) -> None:
    """The two shirts are 1 bit apart, and so are the robes. The others are 16, 15, 15 and 16 apart, seen from either
    side, and the photograph 8, 9, 8 and 7 from them: 12 pairs, 13 on average."""
    assert calibration.code.distances == (1, 13)
    assert calibration.code.shares == (1, 0)


def test_words_match_the_pictures_of_their_label(calibration: Calibration) -> None:
    """A class's code is 0 and 1 bit from its pictures; 16, 15 and 8 from the rest."""
    assert calibration.text is not None
    assert calibration.text.distances == (0.5, 13)
    assert calibration.text.shares == (1, 0)


def test_copies_are_nearer_than_the_nearest_different_pictures(calibration: Calibration) -> None:
    assert calibration.copies_within == 11
    assert calibration.detail is not None
    # Grey copies of pictures that differ in colour alone have one code.
    assert calibration.detail.at(0) > 0.9
    assert calibration.detail.at(DETAIL_BITS) < 0.03


def test_a_photograph_of_something_else_finds_nothing_like_it(calibration: Calibration) -> None:
    """Its best closeness is 5/12, 8 bits away; that of the garments, at most 1 bit away, is 1."""
    assert calibration.nothing_below == 1
    assert calibration.code.at(8) == pytest.approx(5 / 12, abs=1e-4)

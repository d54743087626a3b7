"""Curves whose every value a reader computes by hand, and calibrations that are refused at the door."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contract.closeness import Calibration, Curve

CODE = Curve(distances=(0, 8, 16, 32), shares=(1.0, 0.9, 0.4, 0.0))
DETAIL = Curve(distances=(2, 10), shares=(1.0, 0.5))
WHOLE: dict[str, Any] = {"code": CODE, "detail": DETAIL, "copies_within": 10, "nothing_below": 0.2}


@pytest.mark.parametrize(
    ("distance", "share"),
    [(0, 1.0), (4, 0.95), (8, 0.9), (9, 0.8375), (12, 0.65), (16, 0.4), (24, 0.2), (32, 0.0), (64, 0.0)],
)
def test_straight_between_points(distance: int, share: float) -> None:
    assert CODE.at(distance) == share


@pytest.mark.parametrize(("distance", "share"), [(0, 1.0), (2, 1.0), (6, 0.75), (10, 0.5), (256, 0.5)])
def test_constant_beyond_the_ends(distance: int, share: float) -> None:
    assert DETAIL.at(distance) == share


def test_one_point_is_a_constant() -> None:
    assert [Curve(distances=(5,), shares=(0.3,)).at(distance) for distance in (0, 5, 9)] == [0.3, 0.3, 0.3]


def test_four_decimals() -> None:
    assert Curve(distances=(0, 3), shares=(1, 0)).at(1) == 0.6667


points = st.lists(st.floats(0, 1024), min_size=1, max_size=64, unique=True).map(sorted)


@given(points, st.data())
def test_no_farther_image_is_closer(distances: list[float], data: st.DataObject) -> None:
    shares = data.draw(st.lists(st.floats(0, 1), min_size=len(distances), max_size=len(distances)))
    curve = Curve(distances=tuple(distances), shares=tuple(sorted(shares, reverse=True)))
    found = [curve.at(distance) for distance in range(0, 1025, 16)]
    assert found == sorted(found, reverse=True)
    assert found[-1] >= 0 and found[0] <= 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"distances": (), "shares": ()}, "at least 1 item"),
        ({"distances": range(65), "shares": [0.5] * 65}, "at most 64 items"),
        ({"distances": (0, 1), "shares": (0.5,)}, "2 distances have 1 shares"),
        ({"distances": (0, 0), "shares": (1, 0.5)}, "each distance must be greater"),
        ({"distances": (3, 1), "shares": (1, 0.5)}, "each distance must be greater"),
        ({"distances": (0, 1), "shares": (0.5, 0.6)}, "no share may be greater"),
        ({"distances": (-1, 1), "shares": (1, 0.5)}, "greater than or equal to 0"),
        ({"distances": (0, float("inf")), "shares": (1, 0.5)}, "finite number"),
        ({"distances": (0, 1), "shares": (1.1, 0.5)}, "less than or equal to 1"),
        ({"distances": (0, 1), "shares": (1, -0.1)}, "greater than or equal to 0"),
        ({"distances": (0, 1), "shares": (float("nan"), 0)}, "finite number"),
        ({"distances": (0, 1), "shares": (1, 0), "unit": "bits"}, "Extra inputs"),
    ],
)
def test_what_is_no_curve(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Curve(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"detail": None}, "go together"),
        ({"copies_within": None}, "go together"),
        ({"copies_within": -1}, "greater than or equal to 0"),
        ({"nothing_below": 1.5}, "less than or equal to 1"),
        ({"nothing_below": None}, "valid number"),
        ({"code": None}, "has code or embedding"),
        ({"embedding": CODE}, "has code or embedding"),
        ({"words": CODE, "words_nothing_below": 0.1}, "words needs embedding"),
        ({"code": None, "embedding": CODE, "words": CODE}, "words and words_nothing_below go together"),
        ({"code": None, "embedding": CODE, "words_nothing_below": 0.1}, "words and words_nothing_below go together"),
        ({"colour": DETAIL}, "Extra inputs"),
    ],
)
def test_what_is_no_calibration(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Calibration(**WHOLE | wrong)


COSINES = Calibration(
    embedding=Curve(distances=(0, 1), shares=(1, 0)),
    nothing_below=0.5,
    words=Curve(distances=(0.5, 1), shares=(0.8, 0)),
    words_nothing_below=0.2,
)


@pytest.mark.parametrize("calibration", [Calibration(**WHOLE, text=CODE), COSINES])
def test_a_calibration_survives_its_own_text(calibration: Calibration) -> None:
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


def test_words_and_pictures_have_curves_and_bounds_of_their_own() -> None:
    pictures, words = COSINES.curve("embedding"), COSINES.curve("embedding", of_text=True)
    assert pictures is not None and words is not None
    assert (pictures.at(0.75), words.at(0.75)) == (0.25, 0.4)
    assert COSINES.finds_nothing([0.25], "embedding")
    assert not COSINES.finds_nothing([0.25], "embedding", of_text=True)
    assert COSINES.finds_nothing([0.1], "embedding", of_text=True)
    assert COSINES.curve("code") is None and COSINES.curve("code", of_text=True) is None


def test_no_cosine_is_so_far() -> None:
    far = COSINES.model_copy(update={"words": Curve(distances=(2.5,), shares=(1,))})
    COSINES.require_within(256, None)
    with pytest.raises(ValueError, match=r"words has a distance of 2\.5, and 1 − cos is at most 2"):
        far.require_within(256, None)


@pytest.mark.parametrize(
    ("changed", "bits", "detail_bits", "message"),
    [
        ({}, 32, 16, None),
        ({}, 24, 16, "code has a distance of 32, and such codes have 24 bits"),
        ({"text": Curve(distances=(40,), shares=(1,))}, 32, 16, "text has a distance of 40"),
        ({}, 32, 8, "detail has a distance of 10, and such codes have 8 bits"),
        ({"copies_within": 17}, 32, 16, "copies_within has a distance of 17"),
        ({}, 32, None, "detail has a distance of 10, and such codes have 0 bits"),
        ({"detail": None, "copies_within": None}, 32, None, None),
    ],
)
def test_the_widths_of_codes(changed: dict[str, Any], bits: int, detail_bits: int | None, message: str | None) -> None:
    calibration = Calibration(**WHOLE | changed)
    if message is None:
        calibration.require_within(bits, detail_bits)
        return
    with pytest.raises(ValueError, match=message):
        calibration.require_within(bits, detail_bits)

"""Curves of closeness from counted pairs; every expectation is computed by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.curves import dividing, falling_curve, greatest_distance


def counts(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def test_shares_that_fall_are_taken_as_they_are() -> None:
    curve = falling_curve(counts(4, 3, 1, 0), counts(4, 4, 4, 4))
    assert curve.distances == (0, 1, 2, 3)
    assert curve.shares == (1, 0.75, 0.25, 0)


def test_what_would_rise_becomes_one_block_at_the_mean_distance_of_its_pairs() -> None:
    """Distances 0 and 1 share 1.0; 2 and 3 would rise from 1/5 to 2/5, and are 3/10 together."""
    curve = falling_curve(counts(4, 4, 1, 2, 0), counts(4, 4, 5, 5, 9))
    assert curve.distances == (0.5, 2.5, 4)
    assert curve.shares == (1, 0.3, 0)


def test_a_late_rise_reaches_back_over_several_blocks() -> None:
    """2/4, 1/4, 4/4: the last pools with the second (5/8), which then exceeds the first: 7/12 for all, at 12/12."""
    curve = falling_curve(counts(2, 1, 4), counts(4, 4, 4))
    assert curve.distances == (1,)
    assert curve.shares == (0.5833,)


def test_distances_without_pairs_say_nothing() -> None:
    curve = falling_curve(counts(0, 2, 0, 0, 1), counts(0, 2, 0, 0, 2))
    assert curve.distances == (1, 4)
    assert curve.at(2.5) == 0.75


def test_a_curve_has_at_most_48_points_and_keeps_all_pairs() -> None:
    """257 falling shares; joined blocks keep the mean of their shares."""
    pairs = np.full(257, 256, np.int64)
    curve = falling_curve(np.arange(256, -1, -1), pairs)
    assert len(curve.distances) == 48
    assert curve.at(128) == pytest.approx(0.5, abs=0.01)


def test_without_pairs_nothing_is_calibrated() -> None:
    with pytest.raises(ValueError, match="needs pairs"):
        falling_curve(counts(0, 0), counts(0, 0))


def test_copies_are_within_the_greatest_distance_that_different_pictures_hardly_have() -> None:
    """Of 1,000 pairs of different pictures, 1 lies within 2 bits and 3 within 3."""
    others = counts(0, 0, 1, 2, 997)
    assert greatest_distance(others, 1000, 0) == 1
    assert greatest_distance(others, 1000, 0.001) == 2
    assert greatest_distance(others, 1000, 0.003) == 3
    assert greatest_distance(counts(5, 995), 1000, 0.001) == 0


def test_nothing_alike_is_below_what_divides_strangers_and_kin_best() -> None:
    """At 0.4, one of four strangers is above and none of the kin below; at 0.5, a quarter of the kin is lost."""
    assert dividing(np.array([0.1, 0.2, 0.3, 0.45]), np.array([0.4, 0.6, 0.7, 0.9])) == 0.4

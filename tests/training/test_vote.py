"""The vote of the nearest, against every order of the ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training import orders
from training.vote import chance_of_majority

SHIRT, SHOE, HAT = 0, 1, 2


def chance(groups: list[list[int]], label: int, places: int) -> float:
    return chance_of_majority(np.array(groups), label, places)


def test_the_example_of_the_file() -> None:
    assert chance([[1, 0], [1, 2]], SHIRT, 3) == pytest.approx(2 / 3)
    assert chance([[1, 0], [1, 2]], SHOE, 3) == pytest.approx(1 / 3)


def test_a_tie_of_votes_goes_to_the_nearest() -> None:
    assert chance([[0, 1], [2, 0], [0, 1]], SHIRT, 4) == 0.0
    assert chance([[0, 1], [2, 0], [0, 1]], SHOE, 4) == 1.0


def test_a_tie_of_votes_at_one_distance_is_shared() -> None:
    """Shirts and shoes have three votes each, and at distance 0 stand two shirts and one shoe: a shirt comes first in
    two orders of three."""
    assert chance([[2, 1], [1, 2]], SHIRT, 6) == pytest.approx(2 / 3)


def test_fewer_pictures_than_places_all_vote() -> None:
    assert chance([[1, 0], [0, 2]], SHOE, 10) == 1.0


@given(orders.databases, st.integers(1, 8))
@settings(max_examples=80)
def test_it_is_the_mean_over_all_orders(database: list[tuple[int, int]], places: int) -> None:
    table = orders.counts(database)
    groups = table[table.any(axis=1)]
    chances = [chance_of_majority(groups, label, places) for label in range(3)]
    assert sum(chances) == pytest.approx(1.0)
    for label in range(3):
        assert chances[label] == pytest.approx(
            orders.expected(database, lambda ranking: orders.majority(ranking, label, places))  # noqa: B023
        )


def test_a_vote_among_thousands_adds_up() -> None:
    groups = np.random.default_rng(0).integers(0, 5000, (2, 20)) + np.array([[0], [1]])
    groups[0] //= 4000  # a few certain voters
    assert sum(chance_of_majority(groups, label, 10) for label in range(20)) == pytest.approx(1.0)

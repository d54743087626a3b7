"""Mean average precision at all, against rankings worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.quality import mean_average_precision

SHIRT, SHOE, HAT = 0, 1, 2


def measured(queries: list[tuple[int, int]], database: list[tuple[int, int]]) -> float:
    """mAP of (code, label) pairs; codes of one byte."""

    def codes(pairs: list[tuple[int, int]]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return np.array([[code] for code, _ in pairs], np.uint8)

    def labels(pairs: list[tuple[int, int]]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.array([label for _, label in pairs], np.int64)

    return mean_average_precision(codes(queries), labels(queries), codes(database), labels(database))


def test_a_ranking_worked_out_by_hand() -> None:
    """From 0000: distances 1 0 3 2, so the ranking is rows 1 0 3 2; hits on ranks 2 and 4: (1/2 + 2/4) / 2."""
    database = [(0b0001, SHIRT), (0b0000, SHOE), (0b0111, SHIRT), (0b0011, SHOE)]
    assert measured([(0b0000, SHIRT)], database) == pytest.approx((1 / 2 + 2 / 4) / 2)


def test_ties_are_ranked_by_row() -> None:
    """All at distance 1: the order is that of the rows, so the hits are where they stand."""
    database = [(0b0001, SHIRT), (0b0010, SHOE), (0b0100, SHOE), (0b1000, SHIRT)]
    assert measured([(0, SHIRT)], database) == pytest.approx((1 / 1 + 2 / 4) / 2)
    assert measured([(0, SHOE)], database) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_many_ties_are_ranked_by_row_too() -> None:
    """Sorting algorithms that are stable for a few items only would be found out."""
    database = [(0b1111, SHOE), *[(0b0001, SHOE)] * 99, *[(0b0010, SHIRT)] * 100]
    expected = np.mean([hit / (99 + hit) for hit in range(1, 101)])
    assert measured([(0, SHIRT)], database) == pytest.approx(expected)


def test_the_mean_is_over_queries() -> None:
    database = [(0b0000, SHIRT), (0b1111, SHOE)]
    assert measured([(0b0000, SHIRT), (0b0000, SHOE)], database) == pytest.approx((1 + 1 / 2) / 2)


def test_a_query_without_any_picture_of_its_label_does_not_count() -> None:
    database = [(0b0000, SHOE), (0b1111, SHIRT)]
    assert measured([(0b0000, SHIRT), (0b0000, HAT)], database) == pytest.approx(1 / 2)


def test_all_hits_first_is_perfect_and_last_is_worst() -> None:
    database = [(0b0000, SHIRT), (0b0001, SHIRT), (0b1110, SHOE), (0b1111, SHOE)]
    assert measured([(0b0000, SHIRT), (0b1111, SHOE)], database) == 1.0
    assert measured([(0b1111, SHIRT)], database) == pytest.approx((1 / 3 + 2 / 4) / 2)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2)), min_size=1, max_size=30), st.integers(0, 255))
def test_it_is_the_definition(database: list[tuple[int, int]], code: int) -> None:
    label = database[0][1]
    ranking = sorted(range(len(database)), key=lambda row: ((database[row][0] ^ code).bit_count(), row))
    hits = [rank for rank, row in enumerate(ranking, 1) if database[row][1] == label]
    expected = sum(number / rank for number, rank in enumerate(hits, 1)) / len(hits)
    assert measured([(code, label)], database) == pytest.approx(expected)

"""The figures, against rankings worked out by hand and against every order of the ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.training import dense, orders
from training import quality
from training.errors import TrainingError
from training.quality import FIGURES, Ranking, bootstrap, mean_average_precision, measure, recall
from training.signatures import Signatures

SHIRT, SHOE, HAT = 0, 1, 2
Pairs = list[tuple[int, int]]


def codes(pairs: Pairs) -> NDArray[np.uint8]:
    return np.array([[code] for code, _ in pairs], np.uint8)


def labels(pairs: Pairs) -> NDArray[np.int64]:
    return np.array([label for _, label in pairs], np.int64)


def measured(queries: Pairs, database: Pairs) -> float:
    """mAP@all of (code, label) pairs; codes of one byte."""
    return mean_average_precision(codes(queries), labels(queries), codes(database), labels(database))


def ranked(queries: Pairs, database: Pairs) -> Ranking:
    return measure(Signatures(codes(queries)), labels(queries), Signatures(codes(database)), labels(database))


# --- Average precision


def test_a_ranking_worked_out_by_hand() -> None:
    """From 0000: distances 1 0 3 2, so the ranking is rows 1 0 3 2; hits on ranks 2 and 3: (1/2 + 2/3) / 2."""
    database = [(0b0001, SHIRT), (0b0000, SHOE), (0b0111, SHOE), (0b0011, SHIRT)]
    assert measured([(0b0000, SHIRT)], database) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_tie_is_the_mean_of_its_orders() -> None:
    """Two hits among three at distance 1 stand on ranks 1 2, 1 3 or 2 3."""
    database = [(0b0001, SHIRT), (0b0010, SHOE), (0b0100, SHIRT)]
    orders_by_hand = [(1 + 2 / 2) / 2, (1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2]
    assert measured([(0, SHIRT)], database) == pytest.approx(np.mean(orders_by_hand))


def test_the_order_of_the_rows_does_not_matter() -> None:
    """A list sorted by class would else be perfect for a model that sees no difference."""
    database = [(0b0001, SHIRT)] * 5 + [(0b0010, SHOE)] * 5
    assert measured([(0, SHIRT)], database) == pytest.approx(measured([(0, SHIRT)], database[::-1]))
    assert measured([(0, SHIRT)], database) == pytest.approx(measured([(0, SHOE)], database))


def test_codes_that_say_nothing_are_as_good_as_chance() -> None:
    database = [(0, SHIRT)] * 1000 + [(0, SHOE)] * 3000
    assert measured([(7, SHIRT)], database) == pytest.approx(0.25, abs=0.002)


def test_the_mean_is_over_queries() -> None:
    database = [(0b0000, SHIRT), (0b1111, SHOE)]
    assert measured([(0b0000, SHIRT), (0b0000, SHOE)], database) == pytest.approx((1 + 1 / 2) / 2)


def test_a_query_without_any_picture_of_its_label_does_not_count() -> None:
    database = [(0b0000, SHOE), (0b1111, SHIRT)]
    assert measured([(0b0000, SHIRT), (0b0000, HAT)], database) == pytest.approx(1 / 2)


def test_no_query_with_a_picture_of_its_label_is_refused() -> None:
    with pytest.raises(TrainingError, match="no query has a label that occurs in the database"):
        measured([(0, HAT)], [(0, SHOE)])


def test_all_hits_first_is_perfect_and_last_is_worst() -> None:
    database = [(0b0000, SHIRT), (0b0001, SHIRT), (0b1110, SHOE), (0b1111, SHOE)]
    assert measured([(0b0000, SHIRT), (0b1111, SHOE)], database) == pytest.approx(1.0)
    assert measured([(0b1111, SHIRT)], database) == pytest.approx((1 / 3 + 2 / 4) / 2)


@given(orders.databases, st.integers(0, 2), st.integers(1, 8))
@settings(max_examples=60)
def test_average_precision_is_the_mean_over_all_orders(database: Pairs, label: int, within: int) -> None:
    table = orders.counts(database)
    found = quality.average_precision(table.sum(axis=1)[None], table[None, :, label], within)
    assert found == pytest.approx(
        orders.expected(database, lambda ranking: orders.average_precision(ranking, label, within))
    )


def test_hits_beyond_the_place_do_not_count_against_it() -> None:
    """The usual convention: within 2, one hit on rank 1 is perfect, whatever comes later."""
    everything, hits = np.array([[1, 1, 5]]), np.array([[1, 0, 5]])
    assert quality.average_precision(everything, hits, 2) == pytest.approx(1.0)
    assert quality.average_precision(everything, np.array([[0, 0, 5]]), 2) == pytest.approx(0.0)


def test_large_ties_lose_no_digits() -> None:
    """100,000 pictures at one distance, all hits but one: AP of the one miss on any place."""
    count = 100_000
    everything, hits = np.array([[count]]), np.array([[count - 1]])
    # With the miss on place p, the hits after it have precision (i − 1)/i; their expectation, summed over p:
    place = np.arange(1, count + 1)
    after = (place - 1) / count * (place - 1) / place + (count - place) / count
    expected = after.sum() / (count - 1)
    assert quality.average_precision(everything, hits, count) == pytest.approx(expected, rel=1e-9)
    assert quality.average_precision(everything, hits, 100) == pytest.approx(1.0, abs=2e-5)


# --- Precision, recall


@given(orders.databases, st.integers(0, 2), st.integers(1, 8))
@settings(max_examples=40)
def test_precision_is_the_mean_over_all_orders(database: Pairs, label: int, places: int) -> None:
    table = orders.counts(database)
    found = quality.precision(table.sum(axis=1)[None], table[None, :, label], places)
    assert found == pytest.approx(orders.expected(database, lambda ranking: orders.precision(ranking, label, places)))


def test_recall_shares_the_places_among_equals() -> None:
    """From 0000: row 0 is at distance 0; rows 1, 2 and 3 at distance 1, row 4 at 2."""
    database = Signatures(np.array([[0b0000], [0b0001], [0b0010], [0b0100], [0b0011]], np.uint8))
    queries = Signatures(np.zeros((5, 1), np.uint8))
    rows = np.arange(5)
    assert recall(queries, database, rows, 1) == pytest.approx([1, 0, 0, 0, 0])
    assert recall(queries, database, rows, 2) == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0])
    assert recall(queries, database, rows, 3) == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3, 0])
    assert recall(queries, database, rows, 10) == pytest.approx([1, 1, 1, 1, 1])


# --- All figures of a ranking


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2)), min_size=1, max_size=40),
    st.lists(st.integers(0, 255), min_size=1, max_size=4),
)
@settings(max_examples=40)
def test_all_figures_come_from_the_same_counts(database: Pairs, asked: list[int]) -> None:
    queries = [(code, database[0][1]) for code in asked]
    ranking = ranked(queries, database)
    assert ranking.figures.shape == (len(queries), len(FIGURES))
    for (code, label), (at_all, at_100, precision, _) in zip(queries, ranking.figures, strict=True):
        everything, hits = np.zeros((1, 9), np.int64), np.zeros((1, 9), np.int64)
        for other, name in database:
            everything[0, (code ^ other).bit_count()] += 1
            hits[0, (code ^ other).bit_count()] += name == label
        assert at_all == pytest.approx(quality.average_precision(everything, hits, len(database))[0])
        assert at_100 == pytest.approx(at_all)  # there are fewer than 100
        assert precision == pytest.approx(quality.precision(everything, hits, 10)[0])
    assert ranking.same.sum() + ranking.other.sum() == len(queries) * len(database)


def test_the_figures_stand_in_the_order_of_their_names() -> None:
    """Distances 0, then 1 twelve times: nine more places of which shirts get 9/12 · 4 on average."""
    database = [(0b0000, SHOE), *[(0b0001, SHIRT)] * 4, *[(0b0010, HAT)] * 8]
    figures = dict(zip(FIGURES, ranked([(0b0000, SHIRT)], database).figures[0], strict=True))
    assert figures["precision@10"] == pytest.approx(9 / 12 * 4 / 10)
    assert figures["kNN@10"] == 0.0  # of nine, shirts get at most 4, and then hats get 5
    assert figures["mAP@all"] == figures["mAP@100"]
    assert ranked([(0b0000, HAT)], database).figures[0, FIGURES.index("kNN@10")] == 1.0


def test_a_hundred_is_the_limit_of_the_second_figure() -> None:
    """The 100 nearest are shirts but the first: precision of hit i is i / (i + 1); beyond them come 50 more."""
    database = [(0b0000, SHOE), *[(0b0001, SHIRT)] * 99, *[(0b1111, SHIRT)] * 50, *[(0b0011, SHOE)] * 1000]
    at_all, at_100 = ranked([(0b0000, SHIRT)], database).figures[0, :2]
    nearest = [number / (number + 1) for number in range(1, 100)]
    assert at_100 == pytest.approx(np.mean(nearest))
    last = [number / (number + 1001) for number in range(100, 150)]
    assert at_all == pytest.approx(np.mean(nearest + last))


def test_pairs_are_counted_by_distance_and_class() -> None:
    ranking = ranked([(0b0000, SHIRT)], [(0b0000, SHIRT), (0b0001, SHIRT), (0b0011, SHOE), (0b0101, HAT)])
    assert ranking.same.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert ranking.other.tolist() == [0, 0, 2, 0, 0, 0, 0, 0, 0]


def test_blocks_of_queries_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    pairs = [(int(code), int(label)) for code, label in zip(random.bytes(60), random.integers(0, 3, 60), strict=True)]
    whole = ranked(pairs[:20], pairs[20:])
    monkeypatch.setattr("training.signatures._BLOCK", 100)
    parts = ranked(pairs[:20], pairs[20:])
    np.testing.assert_array_equal(whole.figures, parts.figures)
    np.testing.assert_array_equal(whole.same, parts.same)
    np.testing.assert_array_equal(whole.other, parts.other)


@pytest.mark.parametrize("classes", [2, 100])
@pytest.mark.parametrize("count", [3, 40, 900])
def test_nothing_is_lost_by_leaving_out_distances_without_a_hit(count: int, classes: int) -> None:
    """Two codes have 25 × 25 distances, most of which don't occur: the figures are, to the last bit, those of a table
    of all distances and all classes."""
    random = np.random.default_rng(count)
    values = random.integers(0, 256, (count + 30, 6), np.uint8)
    values[:, 1:3] = 0  # many ties
    signatures = Signatures(values, "hamming, ties by detail", 3)
    names = random.integers(0, classes, count + 30)
    names[:30] = random.choice(names[30:], 30)
    ranking = measure(signatures[:30], names[:30], signatures[30:], names[30:])
    figures, same, other = dense.measure(signatures[:30], names[:30], signatures[30:], names[30:], classes)
    np.testing.assert_array_equal(ranking.figures, figures)
    np.testing.assert_array_equal(ranking.same, same)
    np.testing.assert_array_equal(ranking.other, other)


# --- Bootstrap


def test_the_interval_is_the_textbooks() -> None:
    """Of 400 queries, half right: the mean ± 1.96 standard errors."""
    figures = np.repeat([[0.0, 1.0], [1.0, 1.0]], 200, axis=0)
    low, high = bootstrap(figures)
    error = 1.96 * 0.5 / 20
    assert low[0] == pytest.approx(0.5 - error, abs=0.006)
    assert high[0] == pytest.approx(0.5 + error, abs=0.006)
    assert (low[1], high[1]) == pytest.approx((1.0, 1.0))


def test_the_interval_depends_on_the_seed_alone() -> None:
    figures = np.random.default_rng(1).random((50, 3))
    np.testing.assert_array_equal(bootstrap(figures, seed=3), bootstrap(figures, seed=3))
    assert not np.array_equal(bootstrap(figures, seed=3), bootstrap(figures, seed=4))

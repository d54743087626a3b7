"""A shortlist is as long as the version's own pictures need it, and says how many of the nearest it holds."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from searcher.scan import shortlist
from searcher.scan.floats import FloatIndex
from searcher.scan.search import CodeIndex
from searcher.scan.shortlist import LEAST, RECALL, Shortlist, measure, size_for

WIDTH, BITS = 32, 64


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shortlist, "_BLOCK", 500)
        patch.setattr(shortlist, "_SAMPLE", 60)
        yield


def clustered(count: int) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Vectors around 40 centres, and their codes by random directions."""
    random = np.random.default_rng(5)
    centres = random.standard_normal((40, WIDTH))
    vectors = centres[random.integers(40, size=count)] + 0.7 * random.standard_normal((count, WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes = np.packbits(vectors @ random.standard_normal((WIDTH, BITS)) > 0, axis=1)
    return vectors.astype(np.float16), codes


def test_it_holds_what_it_says_when_it_is_used() -> None:
    """For the same sample, every row counted by the searches themselves, the pictures asked for left out."""
    vectors, codes = clustered(3000)
    measured = measure(vectors, codes)
    assert [each.top_k for each in measured] == [10, 100, 1000]
    assert [each.queries for each in measured] == [60, 60, 60]
    sample = np.random.default_rng(0).choice(3000, 60, replace=False)
    for each in measured:
        found = 0
        for row in sample:
            mask = np.arange(3000) != row
            allowed = np.packbits(mask, bitorder="little")
            nearest, _ = FloatIndex(vectors).nearest(vectors[row], each.top_k, allowed)
            (hits,) = CodeIndex(codes).search(codes[[row]], each.size, allowed=allowed)
            found += len(np.intersect1d(nearest, hits.rows))
        recall = found / (60 * each.top_k)
        # Rows equally near count as the last of them when it is measured, and by row when it is used.
        assert recall >= each.recall >= RECALL
        assert recall - each.recall < 0.01
        assert each.top_k < each.size < 3000


def test_a_code_that_says_nothing_needs_all_rows() -> None:
    vectors, codes = clustered(LEAST)
    assert {each.size for each in measure(vectors, np.zeros_like(codes))} == {LEAST - 1}


def test_copies_and_zeros_are_no_obstacle() -> None:
    vectors, codes = clustered(LEAST)
    vectors[:500], codes[:500] = vectors[0], codes[0]
    vectors[700], codes[700] = 0, 0
    assert all(each.recall >= RECALL for each in measure(vectors, codes))


def test_few_images_are_compared_without_one() -> None:
    vectors, codes = clustered(LEAST - 1)
    assert measure(vectors, codes) == ()
    assert size_for(10, ()) is None


def test_it_is_longer_for_more_answers() -> None:
    measured = [
        Shortlist(top_k=10, size=40, recall=0.99, queries=1),
        Shortlist(top_k=100, size=300, recall=1, queries=1),
    ]
    assert [size_for(top_k, measured) for top_k in (1, 10, 11, 100, 101, 1000)] == [40, 40, 300, 300, 303, 3000]

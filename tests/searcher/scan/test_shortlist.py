"""A shortlist is as long as the version's own pictures need it, and says how many of the nearest it holds."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.space import CODE, EMBEDDING
from searcher.scan import shortlist
from searcher.scan.floats import FloatIndex
from searcher.scan.ranking import Query, Ranking
from searcher.scan.search import CodeIndex
from searcher.scan.shortlist import LEAST, RECALL, Shortlist, measure, shortlist_for

WIDTH, BITS = 32, 64
_DIRECTIONS = np.random.default_rng(6).standard_normal((WIDTH, BITS))


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
    return vectors.astype(np.float16), np.packbits(vectors @ _DIRECTIONS > 0, axis=1)


def test_it_holds_what_it_says_when_it_is_used() -> None:
    """For the same sample, the pictures asked for left out: searches find at least what was measured."""
    vectors, codes = clustered(3000)
    measured = measure(vectors, codes)
    assert [each.top_k for each in measured] == [10, 100, 1000]
    assert [each.queries for each in measured] == [60, 60, 60]
    ranking = Ranking({CODE: CodeIndex(codes)}, FloatIndex(vectors), measured)
    sample = np.random.default_rng(0).choice(3000, 60, replace=False)
    for each in measured:
        found = 0
        for row in sample:
            mask = np.arange(3000) != row
            allowed = np.packbits(mask, bitorder="little")
            asked = {CODE: codes[row], EMBEDDING: vectors[row]}
            (nearest,), (near,) = (
                ranking.search([Query(asked, each.top_k, exact=exact)], allowed) for exact in (True, False)
            )
            found += len(np.intersect1d(nearest.rows, near.rows))
        # Rows equally near count as the last of them when it is measured, and by row when it is used; and the reach of
        # the k-th nearest so far is no less than that of the k-th nearest.
        assert found / (60 * each.top_k) >= each.recall >= RECALL
        assert each.top_k < each.size < 3000


def test_easy_questions_compare_less_of_it() -> None:
    """Of what is asked for there are copies: nothing beyond the reach of these can be nearer, and isn't compared."""
    vectors, codes = clustered(3000)
    vectors[2990:], codes[2990:] = vectors[0], codes[0]
    measured = measure(vectors, codes)
    apart = np.bitwise_count(codes ^ codes[0]).sum(axis=1)
    beyond = int(np.argsort(apart, kind="stable")[measured[0].size // 2])
    assert apart[beyond] > measured[0].base
    vectors[beyond] = vectors[0]  # would come before the last of the copies, if it were compared
    ranking = Ranking({CODE: CodeIndex(codes)}, FloatIndex(vectors), measured)
    (found,) = ranking.search([Query({CODE: codes[0], EMBEDDING: vectors[0]}, 11)])
    assert found.rows.tolist() == [0, *range(2990, 3000)]


@pytest.mark.parametrize("known", [True, False], ids=["measured", "of an older version"])
def test_words_find_what_pictures_were_measured_for(known: bool) -> None:
    """Queries of another kind, as words are: farther from all pictures, with codes that say less about them."""
    vectors, codes = clustered(3000)
    random = np.random.default_rng(7)
    words = vectors[random.choice(3000, 100)] + random.standard_normal((100, WIDTH))
    asked = [{EMBEDDING: each.astype(np.float16), CODE: np.packbits(each @ _DIRECTIONS > 0)} for each in words]
    measured = [each if known else each.model_copy(update={"farthest": None}) for each in measure(vectors, codes)]
    ranking = Ranking({CODE: CodeIndex(codes)}, FloatIndex(vectors), measured)
    for top_k, so_far in zip((10, 100), measured, strict=False):
        nearest, found = (
            ranking.search([Query(each, top_k, exact=exact) for each in asked]) for exact in (True, False)
        )
        assert sum(each.of_order[-1] > (so_far.farthest or 0) for each in nearest) > 50
        both = [len(np.intersect1d(one.rows, two.rows)) for one, two in zip(nearest, found, strict=True)]
        assert sum(both) >= RECALL * 100 * top_k


def test_with_few_that_may_be_found_all_of_the_list_is_compared() -> None:
    vectors, codes = clustered(3000)
    ranking = Ranking({CODE: CodeIndex(codes)}, FloatIndex(vectors), measure(vectors, codes))
    mask = np.zeros(3000, bool)
    mask[[5, 2000, 2999]] = True
    allowed = np.packbits(mask, bitorder="little")
    (found,) = ranking.search([Query({CODE: codes[0], EMBEDDING: vectors[0]}, 10)], allowed)
    assert sorted(found.rows.tolist()) == [5, 2000, 2999]


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
    assert shortlist_for(10, ()) is None


def test_it_is_longer_for_more_answers() -> None:
    measured = [
        Shortlist(top_k=10, size=40, base=2, slope=50, recall=0.99, queries=1),
        Shortlist(top_k=100, size=300, base=4, slope=50, recall=1, queries=1),
    ]
    found = [shortlist_for(top_k, measured) for top_k in (1, 10, 11, 100, 101, 1000)]
    assert [each and each.size for each in found] == [40, 40, 300, 300, 303, 3000]
    assert [each and (each.base, each.slope) for each in found] == [(2, 50)] * 2 + [(4, 50)] * 4

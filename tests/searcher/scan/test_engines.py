"""Whatever is asked, every engine gives the answers of the oracle: distances, rows, and the order of ties."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from searcher.scan import flat
from searcher.scan.question import Question, Ties
from tests.searcher.scan.oracle import (
    FLAT_WIDTHS,
    ORDERS,
    WIDTHS,
    Codes,
    ask,
    assert_same,
    at_distances,
    engines,
    multi_index,
    near,
    random_codes,
    right_answers,
)


@pytest.fixture(autouse=True, scope="module")
def _threads_for_few_codes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "_ROWS_PER_THREAD", 1)
        yield


def block_rows(width: int) -> int:
    """Codes that the flat scan takes at a time."""
    return 2048 // width if width in (1, 2, 4) else 256


def mask_of(kind: str | float, count: int, random: np.random.Generator) -> Codes | None:
    """A bitmap, ``kind`` of whose rows may be found. What is beyond the last row is set, and means nothing."""
    if kind == "none":
        return None
    rows = np.zeros(count, bool)
    if isinstance(kind, float):
        rows = random.random(count) < kind
    elif kind == "all":
        rows[:] = True
    elif kind == "last":
        rows[-1:] = True
    padded = np.ones(-(-count // 8) * 8, bool)
    padded[:count] = rows
    return np.packbits(padded, bitorder="little")


MASKS = ["none", "none", "all", "empty", "last", 0.001, 0.01, 0.06, 0.3, 0.5, 0.99]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Codes, Question]:
    """Codes in blocks that are just full or not, in some order; queries near them, each with its own k and radius."""
    width = draw(st.sampled_from(FLAT_WIDTHS) | st.sampled_from(WIDTHS))
    edge = block_rows(width) * draw(st.integers(0, 5)) + draw(st.integers(-1, 1))
    count = draw(st.just(max(0, edge)) | st.integers(0, 100))
    order = draw(st.sampled_from(sorted(ORDERS)))
    batch = draw(st.integers(1, 9) | st.sampled_from([4, 8, 13]))
    mask = draw(st.sampled_from(MASKS))
    top_k = draw(st.lists(st.sampled_from([1, 2, 10, 100, 1000, count + 1]) | st.integers(1, 1000), min_size=1))
    limits = draw(st.lists(st.just(8 * width) | st.integers(0, 8 * width), min_size=1))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    queries = random_codes(random, batch, width)
    codes = ORDERS[order](random, count, queries[0])
    if count:
        queries[1:] = np.where(random.random((batch - 1, 1)) < 0.5, queries[1:], codes[random.integers(0, count)])
    return codes, Question(queries, np.resize(top_k, batch), np.resize(limits, batch) + 1, mask_of(mask, count, random))


@settings(max_examples=300)
@given(case=cases())
@example(case=(random_codes(np.random.default_rng(0), 0, 8), ask(np.zeros((1, 8), np.uint8), 1)))
def test_every_engine_gives_the_right_answers(case: tuple[Codes, Question]) -> None:
    codes, question = case
    expected = right_answers(codes, question)
    for name, engine in engines(codes).items():
        assert_same(engine.search(question), expected, name)


@pytest.mark.parametrize("width", FLAT_WIDTHS)
def test_around_the_edges_of_a_block(width: int) -> None:
    random = np.random.default_rng(width)
    whole = random_codes(random, 3 * block_rows(width) + 1, width)
    queries = near(random, whole[[0, block_rows(width) - 1, block_rows(width), -2, -1]], most=1)
    for blocks in (1, 2, 3):
        for beyond in (-1, 0, 1):
            codes = whole[: blocks * block_rows(width) + beyond]
            for top_k in (1, 10, len(codes)):
                question = ask(queries, top_k)
                expected = right_answers(codes, question)
                for name, engine in engines(codes).items():
                    assert_same(engine.search(question), expected, (name, len(codes), top_k))


@pytest.mark.parametrize("width", [1, 4, 8, 9, 16])
@pytest.mark.parametrize("top_k", [300, 1000])
def test_every_row_nearer_than_those_before_it(top_k: int, width: int) -> None:
    """Each enters the answer, and soon there is no more room for what has fallen out of it: 2k + 1024 are too many."""
    random, bits = np.random.default_rng(0), 8 * width
    (query,) = random_codes(random, 1, width)
    # The last to be kept are ties, as the top k ends within a distance.
    whole = at_distances(query, np.repeat(np.arange(bits, -1, -1), 2 * top_k // 3), random)
    for count in (2 * top_k + 1024, 2 * top_k + 1025, 2 * top_k + 1050, len(whole)):
        codes = whole[:count]
        question = ask(np.stack([query, ~query, query, codes[5], query]), top_k)
        expected = right_answers(codes, question)
        assert count - 1 in expected[0] & 0xFFFFFFFF, "the last row is one of the nearest"
        for name, engine in engines(codes).items():
            assert_same(engine.search(question), expected, (name, count))


@pytest.mark.parametrize("width", [1, 8, 33])
def test_a_batch_of_256_with_a_top_k_and_a_radius_for_each(width: int) -> None:
    random = np.random.default_rng(0)
    codes = near(random, random_codes(random, 20, width)[random.integers(0, 20, 5000)], most=5)
    queries = near(random, codes[random.integers(0, 5000, 256)], most=2)
    question = Question(
        queries, random.integers(1, 1001, 256), random.integers(1, 8 * width + 2, 256), mask_of(0.4, 5000, random)
    )
    expected = right_answers(codes, question)
    assert len({len(keys) for keys in expected}) > 50
    for name, engine in engines(codes).items():
        assert_same(engine.search(question), expected, name)


@pytest.mark.parametrize("width", [1, 8, 9])
@pytest.mark.parametrize("density", ["all", "empty", "last", 0.001, 0.005, 0.06, 0.07, 0.5, 0.99])
def test_a_mask_of_any_density(density: str | float, width: int) -> None:
    """Where few rows of a block are allowed they are looked up one by one: 16 of 256, or of 2048."""
    random = np.random.default_rng(0)
    count = 5 * block_rows(width) + 3
    codes = random_codes(random, count, width)
    mask = mask_of(density, count, random)
    for batch in (1, 4, 6):
        question = ask(codes[:batch] ^ 1, 20, 6 * width, mask)
        expected = right_answers(codes, question)
        for name, engine in engines(codes).items():
            assert_same(engine.search(question), expected, (name, batch))


@pytest.mark.parametrize("width", FLAT_WIDTHS)
def test_codes_that_differ_in_every_bit(width: int) -> None:
    codes = np.array([[0xFF] * width, [0x00] * width], np.uint8)
    for name, engine in engines(codes).items():
        keys = [(8 * width) << 32, 1]
        assert_same(engine.search(ask(codes[1:], 2)), [np.array(keys[::-1])], name)
        assert_same(engine.search(ask(codes[1:], 2, 8 * width - 1)), [np.array(keys[1:])], name)


@settings(max_examples=60)
@given(
    width=st.integers(1, 16),
    tables=st.none() | st.integers(5, 11),
    spread=st.integers(0, 8),
    top_k=st.sampled_from([1, 2, 10, 50]),
    radius=st.none() | st.integers(0, 12),
    mask=st.sampled_from(MASKS),
    seed=st.integers(0, 2**32),
)
def test_a_multi_index_among_enough_codes_to_answer_itself(
    width: int, tables: int | None, spread: int, top_k: int, radius: int | None, mask: str | float, seed: int
) -> None:
    """Duplicates cost a multi-index nothing, so that many of them leave it time for the others."""
    random, bits = np.random.default_rng(seed), 8 * width
    queries = random_codes(random, 3, width)
    centres = np.concatenate([queries[:2], random_codes(random, 3, width)])
    clusters = near(random, centres[random.integers(0, 5, 60)], spread)
    codes = np.concatenate([clusters, np.repeat(~queries[:1], 150_000, axis=0), clusters[::2]])
    question = ask(queries, top_k, bits if radius is None else min(radius, bits), mask_of(mask, len(codes), random))
    # Substrings of 5 to 11 bits, or of the 12 and more that so many codes would get.
    engine, _ = multi_index(codes, tables and -(-bits // tables))
    assert_same(engine.search(question), right_answers(codes, question))


#: Bytes of the second codes that the flat scan is compiled for in tests, beside first ones of so many bytes.
SECOND_WIDTHS = {1: 3, 8: 32, 33: 8}


@settings(max_examples=100)
@given(
    width=st.sampled_from([*SECOND_WIDTHS]),
    edge=st.integers(0, 3),
    beyond=st.integers(-1, 1),
    order=st.sampled_from(sorted(ORDERS)),
    batch=st.sampled_from([1, 3, 4, 9]),
    top_k=st.sampled_from([1, 10, 100, 1000]),
    radius=st.none() | st.integers(0, 100),
    mask=st.sampled_from(MASKS),
    different=st.sampled_from([1, 3, 1000]),
    seed=st.integers(0, 2**32),
)
def test_second_codes_put_ties_in_order(
    width: int,
    edge: int,
    beyond: int,
    order: str,
    batch: int,
    top_k: int,
    radius: int | None,
    mask: str | float,
    different: int,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    count = max(0, edge * block_rows(width) + beyond)
    queries = random_codes(random, batch, width)
    codes = ORDERS[order](random, count, queries[0])
    second = random_codes(random, different, SECOND_WIDTHS[width])
    ties = Ties(second[random.integers(0, different, count)], second[random.integers(0, different, batch)])
    limit = None if radius is None else min(radius, 8 * width)
    question = ask(queries, top_k, limit, mask_of(mask, count, random), ties)
    expected = right_answers(codes, question)
    for name, engine in engines(codes).items():
        assert_same(engine.search(question), expected, name)

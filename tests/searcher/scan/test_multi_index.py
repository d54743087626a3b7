"""A multi-index answers what is near by itself, leaves the rest to the scan, and is exact either way."""

from typing import Any

import numpy as np
import pytest

from searcher.scan.multi_index import _TIES
from searcher.scan.question import Question, Ties
from searcher.scan.table_builder import tables_for
from searcher.scan.tables import substrings
from tests.searcher.scan.oracle import (
    Codes,
    ask,
    assert_same,
    far_from_zero,
    multi_index,
    near,
    random_codes,
    right_answers,
)


def with_duplicates(codes: Codes, count: int) -> Codes:
    """``codes`` and ``count`` times the code that is farthest from the first: it costs a multi-index next to nothing,
    and whether it gives up depends on how many codes there are."""
    return np.concatenate([codes, np.repeat(~codes[:1], count, axis=0)])


class TestBothWays:
    @pytest.mark.parametrize("width", [1, 3, 8, 11, 16])
    def test_what_is_near_is_found_without_a_scan(self, width: int) -> None:
        random = np.random.default_rng(0)
        (query,) = random_codes(random, 1, width)
        codes = with_duplicates(np.concatenate([query[None], near(random, query[None].repeat(40, axis=0), 2)]), 100_000)
        engine, fallback = multi_index(codes)
        for question in (ask(query[None], 5), ask(query[None], 41), ask(query[None], 1000, 2), ask(query[None], 1)):
            assert_same(engine.search(question), right_answers(codes, question))
        assert fallback.queries == 0

    def test_one_table_is_looked_through_to_the_farthest_code(self) -> None:
        codes = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 1000, axis=0)
        np.random.default_rng(0).shuffle(codes)
        engine, fallback = multi_index(codes)
        for question in (ask(codes[:1], 256_000), ask(codes[:1], 255_001), ask(codes[:1], 256_000, 7)):
            assert_same(engine.search(question), right_answers(codes, question))
        assert fallback.queries == 0

    @pytest.mark.parametrize("width", [3, 8, 16])
    def test_what_is_far_from_everything_is_left_to_the_scan(self, width: int) -> None:
        random = np.random.default_rng(0)
        codes = random_codes(random, 20_000, width)
        engine, fallback = multi_index(codes)
        question = ask(random_codes(random, 3, width), 1000)
        assert_same(engine.search(question), right_answers(codes, question))
        assert fallback.queries == 3

    def test_each_query_of_a_batch_gets_its_own_answer(self) -> None:
        random = np.random.default_rng(0)
        codes = with_duplicates(near(random, random_codes(random, 5, 8).repeat(8, axis=0), 1), 20_000)
        queries = np.concatenate([codes[:3], random_codes(random, 3, 8), codes[8:11]])[[0, 3, 1, 4, 5, 6, 2, 7]]
        top_k, limits = np.array([1, 50, 2, 40, 3, 4, 8, 5]), np.array([65, 65, 65, 30, 65, 65, 3, 1])
        engine, fallback = multi_index(codes)
        question = Question(queries, top_k, limits)
        assert_same(engine.search(question), right_answers(codes, question))
        assert fallback.queries == 3

    def test_a_radius_ends_the_search_early(self) -> None:
        random = np.random.default_rng(0)
        codes = random_codes(random, 20_000, 8)
        engine, fallback = multi_index(codes)
        question = ask(random_codes(random, 3, 8), 1000, max_distance=3)
        assert [len(keys) for keys in engine.search(question)] == [0, 0, 0]
        assert fallback.queries == 0

    @pytest.mark.parametrize("count", [0, 1, 2, 159, 160, 161])
    def test_few_codes_are_scanned(self, count: int) -> None:
        codes = random_codes(np.random.default_rng(0), count, 8)
        engine, _ = multi_index(codes)
        question = ask(np.concatenate([codes[:1], ~codes[:1], np.zeros((1, 8), np.uint8)]), 3)
        assert_same(engine.search(question), right_answers(codes, question))


class TestTies:
    @pytest.mark.parametrize("width", [8, 16])
    @pytest.mark.parametrize("tables", [None, 8, 13])
    def test_the_last_code_that_may_still_tie_is_waited_for(self, width: int, tables: int | None) -> None:
        """Differing by a + 1 bits in the first t substrings and by a in the others, a code is met as late as a code
        at its distance can be: in step m·a + t, of which m·a + t is the distance. One with the same distance that is
        met at once, but has a greater row, mustn't win."""
        bits = 8 * width
        query = random_codes(np.random.default_rng(0), 1, width)
        cuts = substrings(bits, tables or tables_for(200_000, bits))
        for weight in (0, 1):
            for wider in range(len(cuts)):
                differing = np.zeros(bits, np.uint8)
                for table, (start, _) in enumerate(cuts):
                    differing[start : start + weight + (table < wider)] = 1
                distance = weight * len(cuts) + wider
                met_at_once = np.zeros(bits, np.uint8)
                met_at_once[bits - distance :] = 1
                codes = query ^ np.packbits([differing, met_at_once, met_at_once], axis=1, bitorder="little")
                codes = np.concatenate([codes, np.repeat(~query, 200_000, axis=0)])
                engine, fallback = multi_index(codes, tables)
                for top_k in (1, 2, 3):
                    (found,) = engine.search(ask(query, top_k))
                    assert found.tolist() == [distance << 32 | row for row in range(top_k)]
                # Nor are they found again, in the tables that are looked into after that.
                for radius in (distance, distance + 1, distance + len(cuts)):
                    (found,) = engine.search(ask(query, 10, radius))
                    assert found.tolist() == [distance << 32 | row for row in range(3)]
                assert fallback.queries == 0

    def test_a_code_is_found_once_however_many_tables_have_it(self) -> None:
        random = np.random.default_rng(0)
        (query,) = random_codes(random, 1, 16)
        codes = with_duplicates(np.stack([query] * 3), 100_000)
        for tables in (None, 9, 16, 32):
            engine, fallback = multi_index(codes, tables)
            question = ask(near(random, query[None], 2), 1000, 20)
            assert_same(engine.search(question), right_answers(codes, question))
            assert fallback.queries == 0

    def test_groups_of_thousands_of_rows(self) -> None:
        random = np.random.default_rng(0)
        distinct = near(random, random_codes(random, 1, 8).repeat(12, axis=0), 3)
        codes = distinct[random.integers(0, 12, 60_000)]
        engine, fallback = multi_index(codes)
        mask = np.packbits(random.random(60_000) < 0.01, bitorder="little")
        for question in (
            ask(distinct[:4], 1),
            ask(distinct[:4], 1000),
            ask(distinct[:4], 9000),
            ask(distinct[:4], 1000, 0),
            ask(distinct[:4], 100, None, mask),
            ask(distinct[:4], 1000, 2, mask),
        ):
            assert_same(engine.search(question), right_answers(codes, question))
        assert fallback.queries == 0


class TestSecondCodes:
    @pytest.mark.parametrize("top_k", [1, 10, 1000, 9000])
    def test_groups_of_thousands_of_rows_need_no_scan(self, top_k: int) -> None:
        random = np.random.default_rng(0)
        distinct = near(random, random_codes(random, 1, 8).repeat(12, axis=0), 3)
        codes = distinct[random.integers(0, 12, 60_000)]
        ties = Ties(random_codes(random, 60_000, 32), random_codes(random, 4, 32))
        engine, fallback = multi_index(codes)
        mask = np.packbits(random.random(60_000) < 0.5, bitorder="little")
        for question in (
            ask(distinct[:4], top_k, None, None, ties),
            ask(distinct[:4], top_k, 2, None, ties),
            ask(distinct[:4], top_k, None, mask, ties),
            ask(distinct[:4], top_k, 0, mask, ties),
        ):
            assert_same(engine.search(question), right_answers(codes, question))
        assert fallback.queries == 0

    def test_the_scan_gets_them_too(self) -> None:
        random = np.random.default_rng(0)
        codes = random_codes(random, 2000, 8)
        ties = Ties(random_codes(random, 2000, 3), random_codes(random, 5, 3))
        engine, fallback = multi_index(codes)
        question = ask(np.concatenate([codes[:2], random_codes(random, 3, 8)]), 300, None, None, ties)
        assert_same(engine.search(question), right_answers(codes, question))
        assert fallback.queries > 0


class TestMoreAnswersThanRoom:
    """What a search has room for is 8k + _TIES. Only among millions of codes is finding so many cheaper than a scan."""

    def test_ties_that_fit_when_what_is_farther_is_dropped(self) -> None:
        random = np.random.default_rng(0)
        # A bucket is in the order of its codes, so those with bit 63, which are nearer, come last.
        found = np.concatenate([far_from_zero(_TIES, 9, 0), far_from_zero(_TIES // 2, 6, 1)])
        random.shuffle(found)
        codes = np.concatenate([found, np.full((4_000_000, 8), 0xFF, np.uint8)])
        engine, fallback = multi_index(codes, 4)
        for top_k in (1, 100):
            question = ask(np.zeros((1, 8), np.uint8), top_k)
            assert len(found) > 8 * top_k + _TIES > _TIES // 2
            assert_same(engine.search(question), right_answers(codes, question))
        assert fallback.queries == 0

    def test_more_ties_than_fit(self) -> None:
        codes = far_from_zero(_TIES + 2000, 6, 1)
        np.random.default_rng(0).shuffle(codes)
        codes = np.concatenate([codes, np.full((200, 8), 0xFF, np.uint8)])
        engine, fallback = multi_index(codes, 4)
        returned = []

        def search(*arguments: Any) -> int:
            returned.append(kernel(*arguments))
            return returned[-1]

        kernel, engine._kernel = engine._kernel, search
        for top_k in (1, 100):
            question = ask(np.zeros((1, 8), np.uint8), top_k)
            assert_same(engine.search(question), right_answers(codes, question))
        # It gave up for the ties, and not yet for the cost: all of them are in one bucket.
        assert returned == [len(codes) + 1] * 2
        assert fallback.queries == 2

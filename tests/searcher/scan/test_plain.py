"""The oracle compares codes block by block, whatever the size of a block."""

import numpy as np
import pytest

from tests.searcher.scan import plain
from tests.searcher.scan.oracle import ask, assert_same, near, random_codes, right_answers
from tests.searcher.scan.plain import PlainScan


@pytest.mark.parametrize("block", [8, 64])
def test_codes_are_compared_block_by_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_BLOCK", block)
    random = np.random.default_rng(0)
    for count in (0, 1, 7, 8, 9, 63, 64, 65, 500):
        codes = near(random, random_codes(random, 1, 8).repeat(count, axis=0), 5)
        mask = random.integers(0, 256, -(-count // 8), np.uint8)
        queries = np.concatenate([codes[:3], random_codes(random, 1, 8)])
        for question in (ask(queries, 1), ask(queries, 20, 6), ask(queries, 600), ask(queries, 20, None, mask)):
            assert_same(PlainScan(codes).search(question), right_answers(codes, question))

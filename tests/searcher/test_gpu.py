"""A GPU that finds rows in any order changes no answer; one that is wrong, slow or broken is not used."""

import logging
import re
import time

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from searcher import gpu
from searcher.engine import Question, Ties
from searcher.flat import FlatScan
from searcher.gpu import GpuScan, faster
from searcher.plain import PlainScan
from searcher.search import CodeIndex
from tests.searcher.oracle import ORDERS, Codes, Keys, ask, assert_same, near, random_codes, right_answers
from tests.searcher.test_engines import MASKS, mask_of

Found = tuple[NDArray[np.int64], NDArray[np.int64]]


class Shuffled:
    """In place of a GPU: faiss's own search, whose rows are handed over in no order."""

    def __init__(self, codes: Codes) -> None:
        self._index = faiss.IndexBinaryFlat(8 * codes.shape[1])
        self._index.add(codes)
        self._random = np.random.default_rng(0)
        self.asked = 0

    def near(self, query: Codes, top_k: int, limit: int, allowed: Codes | None) -> Found:
        self.asked += 1
        distances, rows = (found[0].astype(np.int64) for found in self._index.search(query[None], self._index.ntotal))
        may = distances < limit
        if allowed is not None:
            may &= (allowed[rows >> 3] >> (rows & 7).astype(np.uint8) & 1) == 1
        distances, rows = distances[may], rows[may]
        some = self._random.permutation(np.flatnonzero(distances <= np.sort(distances)[:top_k].max(initial=-1)))
        return distances[some], rows[some]


class Wrong(Shuffled):
    """Loses a row in a thousand answers."""

    def near(self, query: Codes, top_k: int, limit: int, allowed: Codes | None) -> Found:
        distances, rows = super().near(query, top_k, limit, allowed)
        return (distances[:-1], rows[:-1]) if self.asked == 20 else (distances, rows)


class Slow(Shuffled):
    def near(self, query: Codes, top_k: int, limit: int, allowed: Codes | None) -> Found:
        time.sleep(0.002)
        return super().near(query, top_k, limit, allowed)


class Broken(Shuffled):
    """Fails from the ``lasts``-th search on."""

    lasts = 1

    def near(self, query: Codes, top_k: int, limit: int, allowed: Codes | None) -> Found:
        if self.asked >= self.lasts:
            raise RuntimeError("CUDA error: out of luck\nfurther lines")
        return super().near(query, top_k, limit, allowed)


class Slowed(PlainScan):
    """A CPU that any stand-in is faster than."""

    def search(self, question: Question) -> Keys:
        time.sleep(0.05)
        return super().search(question)


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_LEAST", 100)


@pytest.fixture
def codes() -> Codes:
    random = np.random.default_rng(0)
    return near(random, random_codes(random, 20, 8)[random.integers(0, 20, 1000)], most=3)


@pytest.fixture
def second() -> Codes:
    return random_codes(np.random.default_rng(1), 1000, 4)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    (record,) = caplog.records
    assert record.levelno >= logging.WARNING, "a worker's log has no others"
    return record.getMessage()


@settings(max_examples=200)
@given(
    width=st.sampled_from([1, 8, 9, 16]),
    count=st.integers(1, 300),
    order=st.sampled_from(sorted(ORDERS)),
    top_k=st.sampled_from([1, 2, 10, 100, 1000]),
    radius=st.none() | st.integers(0, 128),
    mask=st.sampled_from(MASKS),
    different=st.none() | st.sampled_from([1, 3, 1000]),
    seed=st.integers(0, 2**32),
)
def test_ties_are_decided_as_by_every_engine(
    width: int, count: int, order: str, top_k: int, radius: int | None, mask: str | float, different: int | None,
    seed: int,
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    queries = random_codes(random, 3, width)
    codes = ORDERS[order](random, count, queries[0])
    ties = None
    if different is not None:
        second = random_codes(random, different, 3)
        ties = Ties(second[random.integers(0, different, count)], second[random.integers(0, different, 3)])
    limit = None if radius is None else min(radius, 8 * width)
    question = ask(queries, top_k, limit, mask_of(mask, count, random), ties)
    stand_in = Shuffled(codes)
    assert_same(GpuScan(stand_in, PlainScan(codes[:0])).search(question), right_answers(codes, question))
    assert stand_in.asked == 3


def test_rows_within_a_distance_come_from_the_cpu(codes: Codes) -> None:
    plain = PlainScan(codes)
    assert np.array_equal(GpuScan(Shuffled(codes), plain).within(codes[3], 9), plain.within(codes[3], 9))


@pytest.mark.parametrize("with_ties", [False, True])
def test_a_gpu_that_is_right_and_faster_is_used(
    with_ties: bool, codes: Codes, second: Codes, caplog: pytest.LogCaptureFixture
) -> None:
    engine = faster(lambda: Shuffled(codes), Slowed(codes), codes, second if with_ties else None)
    assert isinstance(engine, GpuScan)
    time = r"\d+\.\d{3}"
    assert re.fullmatch(
        rf"searching on the GPU: a query takes GPU and CPU {time} and {time} ms in batches of 1, "
        rf"{time} and {time} ms in batches of 4",
        logged(caplog),
    )


@pytest.mark.parametrize("with_ties", [False, True])
def test_a_slow_one_is_not(with_ties: bool, codes: Codes, second: Codes, caplog: pytest.LogCaptureFixture) -> None:
    cpu = FlatScan(codes)
    assert faster(lambda: Slow(codes), cpu, codes, second if with_ties else None) is cpu
    assert logged(caplog).startswith("searching on the CPU: a query takes GPU and CPU ")


def test_nor_a_wrong_one(codes: Codes, caplog: pytest.LogCaptureFixture) -> None:
    cpu = Slowed(codes)
    assert faster(lambda: Wrong(codes), cpu, codes, None) is cpu
    assert logged(caplog) == "searching on the CPU: the GPU gave other answers"


@pytest.mark.parametrize("lasts", [0, 60])
def test_nor_one_that_fails_while_it_is_compared_or_timed(
    lasts: int, codes: Codes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Broken, "lasts", lasts)
    cpu = Slowed(codes)
    assert faster(lambda: Broken(codes), cpu, codes, None) is cpu
    assert logged(caplog) == "searching on the CPU: the GPU failed (CUDA error: out of luck)"


def test_nor_one_that_codes_dont_fit_into(codes: Codes, caplog: pytest.LogCaptureFixture) -> None:
    def offer() -> Shuffled:
        raise MemoryError

    cpu = PlainScan(codes)
    assert faster(offer, cpu, codes, None) is cpu
    assert logged(caplog) == "searching on the CPU: the GPU failed (MemoryError)"


def test_few_codes_are_not_even_offered(codes: Codes, caplog: pytest.LogCaptureFixture) -> None:
    def offer() -> Shuffled:
        raise AssertionError("asked for")

    cpu = PlainScan(codes[:99])
    assert faster(offer, cpu, codes[:99], None) is cpu
    assert not caplog.records


def test_one_that_fails_later_is_given_up_without_losing_an_answer(
    codes: Codes, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in, question = Broken(codes), ask(codes[:3] ^ 1, 10)
    engine = GpuScan(stand_in, PlainScan(codes))
    for _ in range(3):
        assert_same(engine.search(question), right_answers(codes, question))
    assert stand_in.asked == 1
    assert logged(caplog) == "searching on the CPU from now on: the GPU failed (CUDA error: out of luck)"


def test_a_version_s_codes_are_searched_on_what_is_offered(codes: Codes, second: Codes) -> None:
    index = CodeIndex(codes)
    index._engine = Slowed(codes)
    ties = Ties(second, second[:2])
    before = index.search(codes[:2], 10, ties=ties)
    offered: list[Shuffled] = []

    def offer(given: Codes) -> Shuffled:
        assert np.array_equal(given, codes)
        offered.append(Shuffled(given))
        return offered[0]

    index.offer_gpu(offer, second)
    asked = offered[0].asked
    after = index.search(codes[:2], 10, ties=ties)
    assert offered[0].asked == asked + 2
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.distances, other.distances) and np.array_equal(one.rows, other.rows)

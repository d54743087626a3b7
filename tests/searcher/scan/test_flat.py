"""A scan on several threads finds what one finds, leaves no thread behind, and may be forked at any time."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest

from searcher.scan import flat
from searcher.scan.flat import FlatScan
from tests.searcher.scan.oracle import Codes, ask, assert_same, near, random_codes, right_answers

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def codes() -> Codes:
    """300,000 codes of 64 bits, half of them in clusters."""
    random = np.random.default_rng(0)
    clustered = near(random, random_codes(random, 3000, 8).repeat(50, axis=0), most=6)
    codes = np.concatenate([clustered, random_codes(random, 150_000, 8)])
    random.shuffle(codes)
    return codes


@pytest.fixture(scope="module")
def queries(codes: Codes) -> Codes:
    random = np.random.default_rng(1)
    return np.concatenate([codes[:10], near(random, codes[10:20], most=4), random_codes(random, 11, 8)])


@pytest.mark.parametrize("top_k", [1, 10, 1000])
def test_the_answers_are_those_of_faiss(top_k: int, codes: Codes, queries: Codes) -> None:
    index = faiss.IndexBinaryFlat(64)
    index.use_heap = False  # with a heap, ties come in no order
    index.add(codes)
    distances, rows = index.search(queries, top_k)
    found = FlatScan(codes).search(ask(queries, top_k))
    assert_same(found, list(distances.astype(np.int64) << 32 | rows))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [1, 3, 4, 5, 31])
def test_any_batch_and_number_of_threads_finds_the_same(
    batch: int, threads: int, codes: Codes, queries: Codes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flat, "_ROWS_PER_THREAD", 1000)
    mask = np.random.default_rng(0).integers(0, 256, len(codes) // 8, np.uint8)
    for question in (ask(queries, 100), ask(queries, 1000, 20), ask(queries, 10, None, mask)):
        one_by_one = [FlatScan(codes).search(question.part([query]))[0] for query in range(len(queries))]
        scan = FlatScan(codes, threads)
        found = []
        for first in range(0, len(queries), batch):
            found += scan.search(question.part(slice(first, first + batch)))
        assert_same(found, one_by_one)


def test_so_few_codes_that_some_threads_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "_ROWS_PER_THREAD", 1)
    for count in (0, 1, 7, 2047, 2048, 2049, 4097):
        few = random_codes(np.random.default_rng(count), count, 8)
        question = ask(np.zeros((5, 8), np.uint8), 7)
        assert_same(FlatScan(few, 8).search(question), right_answers(few, question))


def test_many_searches_at_a_time(codes: Codes, queries: Codes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "_ROWS_PER_THREAD", 100_000)
    scan = FlatScan(codes, 2)
    expected = scan.search(ask(queries, 50))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: scan.search(ask(query[None], 50))[0], queries))
    assert_same(found, expected)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_a_query_in_any_layout(codes: Codes, queries: Codes) -> None:
    expected = FlatScan(codes).search(ask(queries, 5))
    for laid_out in (np.asfortranarray(queries), np.repeat(queries, 2, axis=1)[:, ::2], queries[::-1][::-1]):
        assert_same(FlatScan(codes).search(ask(laid_out, 5)), expected)


FORKS = """
import os, signal, sys, threading
import numpy as np
from searcher.scan import flat
from searcher.scan.flat import FlatScan
from tests.searcher.scan.oracle import ask, random_codes

flat._ROWS_PER_THREAD = 1000
codes = random_codes(np.random.default_rng(0), 100_000, 8)
question = ask(codes[:6] ^ 1, 20)
scan = FlatScan(codes, 3)

def answers():
    return [keys.tolist() for keys in scan.search(question)]

expected = answers()
done = threading.Event()

def go_on_searching():
    while not done.is_set():
        assert answers() == expected

searching = [threading.Thread(target=go_on_searching) for _ in range(int(sys.argv[1]))]
[thread.start() for thread in searching]
for _ in range(20):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if answers() == expected else 1)
    print(os.waitpid(child, 0)[1])
done.set()
[thread.join() for thread in searching]
assert answers() == expected
"""


@pytest.mark.parametrize("searching", [0, 2])
def test_a_process_that_searched_may_fork_and_its_child_search(searching: int) -> None:
    """Even while other threads are at it."""
    command = [sys.executable, "-c", FORKS, str(searching)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["0"] * 20

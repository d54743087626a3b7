"""PyTorch counts the same distances on every device; here on the CPU, and on a GPU too where there is one."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import searcher.gpu
from handler import gpu
from handler.gpu import GpuCodes, search_on
from handler.image_retrieval_handler import STORE_VARIABLE, ImageRetrievalHandler
from hashing.model import HashModel
from searcher.engine import Question, Ties
from searcher.gpu import GpuScan, nearest
from searcher.search import Query
from searcher.store import IndexStore
from tests.fakes import code_bytes, detail_bytes
from tests.searcher.oracle import ORDERS, Codes, assert_same, random_codes, right_answers
from tests.searcher.test_engines import MASKS, mask_of
from tests.versions import publish

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@settings(max_examples=300)
@given(
    width=st.integers(1, 17) | st.sampled_from([24, 32, 33, 64, 125, 128]),
    count=st.integers(1, 300),
    chunk=st.sampled_from([1, 64, 999, 1 << 25]),
    order=st.sampled_from(sorted(ORDERS)),
    top_k=st.lists(st.sampled_from([1, 2, 10, 100, 1000]), min_size=1, max_size=3),
    radius=st.none() | st.integers(0, 100),
    mask=st.sampled_from(MASKS),
    tied=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_the_answers_are_right(
    width: int, count: int, chunk: int, order: str, top_k: Sequence[int], radius: int | None, mask: str | float,
    tied: bool, seed: int,
) -> None:  # fmt: skip
    random = np.random.default_rng(seed)
    queries = random_codes(random, len(top_k), width)
    codes = ORDERS[order](random, count, queries[0])
    codes.flags.writeable = False  # as those of a mapped file
    ties = Ties(random_codes(random, count, 2), random_codes(random, len(top_k), 2)) if tied else None
    limits = np.full(len(top_k), min(8 * width, 8 * width if radius is None else radius) + 1)
    question = Question(queries, np.array(top_k), limits, mask_of(mask, count, random), ties)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "_CHUNK", chunk)
        for device in DEVICES:
            found = nearest(GpuCodes(codes, torch.device(device)), question)
            assert_same(found, right_answers(codes, question), device)


def test_every_bit_of_a_word_counts() -> None:
    random = np.random.default_rng(0)
    edges = [0, 1, -1, 2**31 - 1, -(2**31), *(1 << bit for bit in range(31)), *(~(1 << bit) for bit in range(31))]
    words = np.concatenate([np.array(edges, np.int32), random.integers(-(2**31), 2**31, 100_000, np.int32)])
    for device in DEVICES:
        found = gpu._ones(torch.from_numpy(words.copy()).to(device)).cpu().numpy()
        assert np.array_equal(found, np.bitwise_count(words.view(np.uint32))), device


def test_more_codes_than_a_gpu_can_count_are_refused() -> None:
    endless: Codes = np.broadcast_to(np.zeros(8, np.uint8), (2**31, 8))
    with pytest.raises(RuntimeError, match="2,147,483,648 codes are more than PyTorch counts"):
        GpuCodes(endless, torch.device("cpu"))


def test_no_request_waits_for_the_comparison() -> None:
    started, may_go = threading.Event(), threading.Event()
    made: list[GpuCodes] = []

    class Version:
        def offer_gpu(self, offer: object) -> None:
            assert callable(offer)
            started.set()
            may_go.wait(60)
            made.append(offer(random_codes(np.random.default_rng(0), 10, 8)))

    search_on(torch.device("cpu"))(Version())  # type: ignore[arg-type]
    assert started.wait(60), "it is another thread that waits"
    assert not made
    (other,) = (each for each in threading.enumerate() if each.name.startswith("Thread-") and "offer_gpu" in each.name)
    may_go.set()
    other.join(60)
    assert isinstance(made[0], GpuCodes)


def test_a_version_answers_the_same_from_there(
    colours: HashModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, images = IndexStore(tmp_path / "index_store"), {f"{row}.png": (row % 7, row * 31) for row in range(60)}
    publish(store, "1.0.0", colours, images, tmp_path)
    version = store.open("1.0.0")
    queries = [
        Query(np.frombuffer(code_bytes(code), np.uint8), detail, 9, rank=rank)
        for code in (0, 5, 0xFFFF)
        for detail, rank in (
            (None, "distance"),
            (np.frombuffer(detail_bytes(93), np.uint8), "distance"),
            (np.frombuffer(detail_bytes(93), np.uint8), "detail"),
        )
    ]
    before = version.search(queries)
    monkeypatch.setattr(searcher.gpu, "_LEAST", 60)
    monkeypatch.setattr(searcher.gpu, "_milliseconds", lambda *_: [1.0, 2.0])  # it wins
    version.offer_gpu(lambda codes: GpuCodes(codes, torch.device("cpu")))
    assert isinstance(version.codes._engine, GpuScan)
    assert version.search(queries) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_worker_that_is_given_a_gpu_that_pytorch_cannot_see_serves_on_the_cpu(
    grid_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "index_store"))
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)  # put back afterwards
    context = SimpleNamespace(
        system_properties={"model_dir": str(grid_path.parent), "gpu_id": 3, "batch_size": 1},
        manifest={"model": {"modelName": "image-retrieval-v1.0", "serializedFile": grid_path.name}},
    )
    worker = ImageRetrievalHandler()
    worker.initialize(context)
    assert worker.model.device.type == "cpu"
    assert "device cuda:0 was asked for, and PyTorch sees no GPU here: computing on the CPU" in caplog.messages

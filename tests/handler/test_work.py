"""A batch ends long before the watchdog: decoding has a budget, which no request can use up for its neighbours."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import handler.work
from embedding.torchscript import TorchScriptEmbedder
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from searcher.versions.store import IndexStore
from tests.fakes import png_of
from tests.versions import publish


def flat(width: int, height: int, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def retrieval(tmp_path: Path, grid: TorchScriptEmbedder) -> Retrieval:
    store = IndexStore(tmp_path / "index_store")
    publish(store, "1.0.0", grid, {"a.png": 1}, tmp_path)
    return Retrieval(grid, Served(store.folder, grid.identity), Metrics())


@pytest.fixture
def small_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request may be 40,000 samples, a batch 80,000, and 5,000 are each request's own."""
    for name, samples in (("REQUEST_SAMPLES", 40_000), ("BATCH_SAMPLES", 80_000), ("OWN_SAMPLES", 5_000)):
        monkeypatch.setattr(handler.work, name, samples)


def codes(*files: bytes) -> dict[str, Any]:
    return {"body": {"hash": [base64.b64encode(file).decode() for file in files]}}


def statuses(body: bytes) -> list[int]:
    return [each.get("status", 200) for each in json.loads(body)["hashed"]]


@pytest.mark.usefixtures("small_budgets")
def test_pictures_of_one_request_share_a_budget(retrieval: Retrieval) -> None:
    large, small = flat(100, 100), flat(10, 10)  # 30,000 and 300 samples
    (answer,) = retrieval.answer([codes(large, large, small, large)], [0])
    assert statuses(answer.body) == [200, 503, 200, 503]


@pytest.mark.usefixtures("small_budgets")
def test_requests_of_one_batch_share_one_and_small_ones_have_their_own(retrieval: Retrieval) -> None:
    large, small = {"image": flat(115, 115)}, {"image": png_of(1)}  # 39,675 and 768 samples
    answers = retrieval.answer([large, large, large, small])
    assert [int(answer.status) for answer in answers] == [200, 200, 503, 200]
    assert answers[2].headers["Retry-After"] == "1"
    assert "more pictures to decode than it can answer for at once" in json.loads(answers[2].body)["message"]
    (alone,) = retrieval.answer([large])
    assert alone.status == 200


def test_nothing_is_decoded_after_the_batch_s_time(retrieval: Retrieval, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler.work, "SECONDS", -1.0)
    late, by_code = retrieval.answer([{"image": png_of(1)}, {"body": {"code": "0001"}}])
    assert (int(late.status), int(by_code.status)) == (503, 200)


def test_a_hundred_bombs_cost_no_more_than_one(retrieval: Retrieval) -> None:
    """46 bytes that say 16383 × 5400 pixels with transparency, 32 times in each of four requests: 97 s each, once."""
    stream = io.BytesIO()
    Image.new("RGBA", (16383, 5400), (1, 2, 3, 4)).save(stream, "WEBP", lossless=True, method=0)
    answers = retrieval.answer([codes(*[stream.getvalue()] * 32), {"image": png_of(1)}], [0])
    assert statuses(answers[0].body) == [200] + [503] * 31
    assert answers[1].status == 200

"""Dumps of a model of embeddings hold their numbers, as those of Idios do, and both come back: ours with the code that
is beside them, Idios' with one that the model makes."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pybase64
import pytest

from contract.space import row_of
from embedding.torchscript import TorchScriptEmbedder
from gateway.collections.dump_format import BadEmbedding, Embeddings
from gateway.idios import changing, listing
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.http import Answer
from gateway.torchserve.model_servers import ModelServers
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from searcher.collections import Collections
from searcher.entry import Entry
from tests.fakes import write_grid_model, write_words_model
from tests.gateway.tiny_app import Client, settings_in, tiny_app

ASSUMED = "restore?assume_model=colour+words"


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> TorchScriptEmbedder:
    return TorchScriptEmbedder.load(write_words_model(tmp_path_factory.mktemp("words") / "words.pt"))


@pytest.fixture
def collections(words: TorchScriptEmbedder, tmp_path: Path) -> Collections:
    found = Collections(settings_in(tmp_path).index_store)
    vectors = words.embed(np.random.default_rng(0).integers(0, 256, (2000, 16, 16, 3), np.uint8)[:50])
    found.create("from", words.identity).add([Entry(f"{row:04}", row_of(vectors, row)) for row in range(50)])
    found.create("to", words.identity)
    return found


@pytest.fixture
def client(
    collections: Collections, words: TorchScriptEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    """The gateway's routes; a worker of this process answers it."""
    settings = settings_in(tmp_path)
    retrieval = Retrieval(words, Served(settings.index_store, words.identity), Metrics())

    async def ask(_self: object, what: str, files: Sequence[bytes], _model: str) -> Answer:
        body = {what: [pybase64.b64encode(each).decode() for each in files]}
        (answer,) = retrieval.answer([{"body": body}], [0])
        return Answer(int(answer.status), (), {}, answer.body)

    async def name_of(_self: object, _model: object) -> str:
        return "words"

    monkeypatch.setattr(TorchServeClient, "_ask_privately", ask)
    monkeypatch.setattr(ModelServers, "name_of", name_of)
    with Client(tiny_app(settings, changing.router, listing.router)) as found:
        yield found


def post(client: Client, where: str, body: Any) -> tuple[int, Any]:
    answer = client.request("POST", f"/models/{where}", json=body)
    return answer.status_code, answer.json() if answer.content else None


def entries(collections: Collections, name: str) -> list[Entry]:
    return collections.open(name).view().images(limit=1000)


def test_ours_come_back_to_the_last_bit(client: Client, collections: Collections) -> None:
    status, dumped = post(client, "from/dump", {})
    assert (status, len(dumped)) == (200, 50)
    assert all(len(each["embedding"]) == 3 and isinstance(each["embedding"][0], float) for each in dumped)
    assert post(client, "to/restore", dumped) == (204, None)
    assert entries(collections, "to") == entries(collections, "from")


def test_those_of_idios_get_a_code_and_length_one(client: Client, collections: Collections) -> None:
    dumped = [
        {"url": "http://a.org/1", "metadata": {"a": 1}, "embedding": [2.0, 0.0, 2.0]},
        {"url": "http://a.org/2", "metadata": None, "embedding": [0.0, 1e-30, 0.0]},
        {"url": "http://a.org/3", "metadata": None, "embedding": [-3e300, 4e300, 0.0]},
    ]
    status, said = post(client, "to/restore", dumped)
    assert status == 422 and "if they are of that model, say so with assume_model" in said["detail"][0]["msg"]
    assert post(client, f"to/{ASSUMED}", dumped) == (204, None)
    found = entries(collections, "to")
    assert [(each.path, each.metadata, each.vectors["code"]) for each in found] == [
        ("http://a.org/1", '{"a": 1}', bytes([0b10100000])),
        ("http://a.org/2", None, bytes([0b01000000])),
        ("http://a.org/3", None, bytes([0b01000000])),
    ]
    half = float(np.float16(np.sqrt(0.5)))
    assert [np.frombuffer(each.vectors["embedding"], "<f2").tolist() for each in found] == [
        [half, 0, half],
        [0, 1, 0],
        np.array([-0.6, 0.8, 0], np.float16).tolist(),
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"embedding": [0.0, 0.0, 0.0]}, "has only zeros, which point nowhere"),
        ({"embedding": [1.0, 0.0]}, "has 2 values, and embeddings of colour words have 3"),
        ({"embedding": [1.0, 0.0, 0.0], "code": "z!"}, "code: neither base64 nor hex digits"),
        ({"embedding": [1.0, 0.0, 0.0], "code": "0000"}, "code: has 24 bits, and codes of colour words have 8 bits"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], said: str, client: Client, collections: Collections) -> None:
    good = {"url": "good", "embedding": [1.0, 0.0, 0.0]}
    status, answer = post(client, f"to/{ASSUMED}", [good, {"url": "bad", **given}])
    (problem,) = answer["detail"]
    assert (status, problem["loc"], problem["msg"]) == (422, ["body", 1, "embedding"], said)
    assert entries(collections, "to") == []


def test_numbers_that_are_none_and_those_that_float16_lacks(words: TorchScriptEmbedder) -> None:
    embeddings = Embeddings(words.identity)
    for number in (float("nan"), float("inf")):
        with pytest.raises(BadEmbedding, match="no finite number"):
            embeddings.decode([number, 0.0, 0.0])
    with pytest.raises(BadEmbedding, match="too large for float16"):
        embeddings.decode([1.0] * 8 + [1e6, 0.0, 0.0])
    with pytest.raises(BadEmbedding, match="no finite number"):
        embeddings.decode(pybase64.b64encode(b"\0" + np.array([np.nan, 0, 0], "<f2").tobytes()).decode())


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"complete": []}, 400, "complete must be a list of 1 to 1024 embeddings in base64"),
        ({"complete": [5]}, 400, "complete must be a list of 1 to 1024 embeddings in base64"),
        ({"complete": ["AAAA"]}, 400, "complete: a vector of embedding has 6 bytes"),
    ],
)
def test_a_worker_says_what_it_cannot_complete(
    body: dict[str, Any], status: int, said: str, words: TorchScriptEmbedder, tmp_path: Path
) -> None:
    retrieval = Retrieval(words, Served(tmp_path, words.identity), Metrics())
    mine, strange = retrieval.answer([{"body": body}, {"body": body}], [0])
    assert (mine.status, json.loads(mine.body)["message"]) == (status, said)
    assert (strange.status, json.loads(strange.body)["message"]) == (
        403,
        "complete: only the gateway may ask for codes",
    )


def test_a_model_of_codes_completes_nothing(tmp_path: Path) -> None:
    grid = TorchScriptEmbedder.load(write_grid_model(tmp_path / "grid.pt"))
    (answer,) = Retrieval(grid, Served(tmp_path, grid.identity), Metrics()).answer(
        [{"body": {"complete": ["AAAA"]}}], [0]
    )
    assert json.loads(answer.body)["message"] == "complete: the served model makes no embeddings"

"""Words beside a picture, against it and alone find what a reader computes by hand from red, green and blue."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from contract.space import CODE, EMBEDDING
from embedding.errors import NoMixture
from embedding.part import Part
from embedding.torchscript import TorchScriptEmbedder
from handler.metrics import Metrics
from handler.mixing import NEGATIVE_WEIGHT
from handler.retrieval import Retrieval
from handler.served import Served
from indexer.builder import Request, build
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fakes import CONTEXT, write_grid_model, write_words_model

COLOURS = {
    "red.png": (255, 0, 0), "green.png": (0, 255, 0), "blue.png": (0, 0, 255), "yellow.png": (255, 255, 0),
    "magenta.png": (255, 0, 255), "orange.png": (255, 128, 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> TorchScriptEmbedder:
    return TorchScriptEmbedder.load(write_words_model(tmp_path_factory.mktemp("words") / "words.pt"))


@pytest.fixture(scope="module")
def retrieval(words: TorchScriptEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Retrieval:
    folder = tmp_path_factory.mktemp("colours")
    for name, colour in COLOURS.items():
        Image.new("RGB", (16, 16), colour).save(folder / name)
    listing = folder / "listing.txt"
    listing.write_text("".join(f"{name}\n" for name in COLOURS))
    store = IndexStore(folder / "index_store")
    build(Request(store, "1.0.0", FolderSource(folder, Listing(listing))), words, lambda _: None)
    return Retrieval(words, Served(store.folder, words.identity), Metrics())


def picture(*colour: int) -> str:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def ask(retrieval: Retrieval, **fields: Any) -> Any:
    (answer,) = retrieval.answer([{"body": {"debug": True, **fields}}])
    return json.loads(answer.body)


def expected(*direction: float) -> tuple[list[str], list[float]]:
    """The names and 1 − cos of the pictures in COLOURS, nearest to ``direction`` first."""
    pictures = np.array(list(COLOURS.values()), float)
    cosines = pictures @ direction / np.linalg.norm(pictures, axis=1) / np.linalg.norm(direction)
    order = np.argsort(1 - cosines, kind="stable")
    return [list(COLOURS)[place] for place in order], (1 - cosines[order]).tolist()


@pytest.mark.parametrize(
    ("fields", "direction"),
    [
        ({"text": "red"}, (1, 0, 0)),
        ({"text": "a RED green"}, (1, 1, 0)),
        ({"image": picture(255, 0, 0), "text": "blue"}, (0.5, 0, 0.5)),
        ({"image": picture(255, 0, 0), "text": "blue", "text_weight": 0.2}, (0.8, 0, 0.2)),
        ({"image": picture(255, 0, 0), "text": "blue", "text_weight": 0}, (1, 0, 0)),
        ({"image": picture(255, 0, 0), "text": "blue", "text_weight": 1}, (0, 0, 1)),
        ({"path": "red.png", "text": "green", "text_weight": 0.25}, (0.75, 0.25, 0)),
        ({"embedding": [0.0, 0.0, 7.5]}, (0, 0, 1)),
        ({"embedding": [0, 0, 1e300], "text": "green"}, (0, 0.5, 0.5)),
        ({"image": picture(255, 0, 255), "negative_text": "blue"}, (0.5**0.5, 0, 0.5**0.5 - NEGATIVE_WEIGHT)),
        ({"text": "red green", "negative_text": "green"}, (0.5**0.5, 0.5**0.5 - NEGATIVE_WEIGHT, 0)),
        (
            {"image": picture(255, 0, 0), "text": "blue", "text_weight": 0.4, "negative_text": "green"},
            (0.6, -NEGATIVE_WEIGHT, 0.4),
        ),
    ],
)  # fmt: skip
def test_found_by_the_mixture(fields: dict[str, Any], direction: tuple[float, ...], retrieval: Retrieval) -> None:
    names, distances = expected(*direction)
    answer = ask(retrieval, **fields)
    assert answer["distances"] == pytest.approx(distances, abs=2e-3)
    assert answer["relevant"][0] == names[0]
    assert answer["ordered_by"] == "embedding"


def test_each_request_of_a_batch_has_its_own_words(retrieval: Retrieval) -> None:
    batch = [
        {"body": {"image": picture(255, 0, 0), "text": "blue", "text_weight": 1, "top_k": 1}},
        {"body": {"image": picture(255, 0, 0), "top_k": 1}},
        {
            "body": {
                "image": picture(255, 0, 0),
                "text": "red",
                "text_weight": 1,
                "negative_text": "red " * 9,
                "top_k": 1,
            }
        },
        {"body": {"image": picture(0, 255, 0), "text": "red", "turned": True, "text_weight": 0.4, "top_k": 1}},
    ]
    answers = [json.loads(answer.body) for answer in retrieval.answer(batch)]
    assert [answer.get("relevant") for answer in answers] == [["blue.png"], ["red.png"], None, ["yellow.png"]]
    assert answers[2]["code"] == 400 and "the text is too long: it has 11 tokens" in answers[2]["message"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": "red " * CONTEXT}, "text: the text is too long: it has 8 tokens, and the model reads 6 tokens"),
        ({"embedding": [1.0, 2.0]}, "embedding has 3 numbers by the served model, and 2 are given"),
        ({"image": picture(255, 0, 0), "text": "red", "rank": "detail"}, 'rank "detail" needs an image alone'),
    ],
)
def test_what_cannot_be_mixed_is_a_400(fields: dict[str, Any], said: str, retrieval: Retrieval) -> None:
    answer = ask(retrieval, **fields)
    assert answer["code"] == 400 and said in answer["message"]


def test_a_model_of_codes_mixes_nothing(tmp_path: Path) -> None:
    grid = TorchScriptEmbedder.load(write_grid_model(tmp_path / "grid.pt"))
    codes = Retrieval(grid, Served(tmp_path / "index_store", grid.identity), Metrics())
    for fields, said in (
        ({"text": "red"}, "text beside a picture needs a model that takes any words; grid is none"),
        ({"negative_text": "red"}, "negative_text needs a model that takes any words; grid is none"),
    ):
        answer = ask(codes, image=picture(255, 0, 0), **fields)
        assert answer["code"] == 400 and said in answer["message"]
    answer = ask(codes, embedding=[1.0])
    assert answer["code"] == 400 and "the served model makes codes alone" in answer["message"]
    with pytest.raises(NoMixture, match="grid makes no embeddings"):
        grid.mix([Part(np.ones(3))])


VECTORS = st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3).filter(lambda each: np.linalg.norm(each) > 0.01)
WEIGHTS = st.floats(0, 1, width=32)


@settings(deadline=None)
@given(one=VECTORS, other=VECTORS, weight=WEIGHTS)
def test_a_mixture_has_length_one_and_lies_between_its_parts(
    words: TorchScriptEmbedder, one: list[float], other: list[float], weight: float
) -> None:
    parts = [Part(np.array(one), 1 - weight), Part(np.array(other), weight, of_text=True)]
    units = [np.array(each) / np.linalg.norm(each) for each in (one, other)]
    straight = (1 - weight) * units[0] + weight * units[1]
    if np.linalg.norm(straight) < 2e-3:
        return
    found = words.mix(parts)
    assert np.linalg.norm(found[EMBEDDING].astype(float)) == pytest.approx(1, abs=2e-3)
    assert found[EMBEDDING] == pytest.approx(straight / np.linalg.norm(straight), abs=2e-3)
    near = float(units[0] @ units[1])
    for unit in units:
        assert float(unit @ found[EMBEDDING].astype(float)) >= near - 3e-3
    assert found[CODE].shape == (1,)


@settings(deadline=None)
@given(one=VECTORS, scale=st.floats(0.01, 100))
def test_neither_the_length_nor_a_split_of_a_part_matters(
    words: TorchScriptEmbedder, one: list[float], scale: float
) -> None:
    vector = np.array(one)
    whole = words.mix([Part(vector)])[EMBEDDING]
    assert words.mix([Part(scale * vector)])[EMBEDDING] == pytest.approx(whole, abs=1e-3)
    assert words.mix([Part(vector, 0.3), Part(vector, 0.7)])[EMBEDDING] == pytest.approx(whole, abs=1e-3)
    with pytest.raises(NoMixture, match="nothing is left"):
        words.mix([Part(vector), Part(vector, -1.0)])

"""A worker whose model makes embeddings answers by their cosines, and says so in debug mode."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contract.answer import QueryAnswer
from contract.closeness import Calibration, Curve
from contract.space import row_of
from embedding.torchscript import TorchScriptEmbedder
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from searcher.collections import Collections
from searcher.entry import Entry
from tests.fakes import write_words_model

COLOURS = {"red": (255, 0, 0), "pink": (255, 0, 255), "rather red": (255, 0, 51), "green": (0, 255, 0)}


def png_of(colour: tuple[int, int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def retrieval(tmp_path: Path) -> Retrieval:
    return made(tmp_path)


def made(tmp_path: Path, calibration: Calibration | None = None) -> Retrieval:
    model = TorchScriptEmbedder.load(write_words_model(tmp_path / "words.pt", calibration=calibration))
    vectors = model.embed(np.stack([model.prepare(png_of(colour)) for colour in COLOURS.values()]))
    collections = Collections(tmp_path / "index_store")
    collections.create("colours", model.identity).add(
        [Entry(name, row_of(vectors, row)) for row, name in enumerate(COLOURS)]
    )
    return Retrieval(model, Served(tmp_path / "index_store", model.identity), Metrics())


def ask(retrieval: Retrieval, **fields: Any) -> QueryAnswer:
    (answer,) = retrieval.answer([{"body": {"collection": "colours", **fields}}])
    assert answer.status == 200, answer.body
    return QueryAnswer.model_validate_json(answer.body)


@pytest.mark.parametrize("exact", [False, True])
def test_the_nearest_by_cosine(exact: bool, retrieval: Retrieval) -> None:
    found = ask(retrieval, image=base64.b64encode(png_of((255, 0, 0))).decode(), top_k=3, debug=True, exact=exact)
    assert found.relevant == ["red", "rather red", "pink"]
    assert found.ordered_by == "embedding"
    # (1, 0, 0) with itself, (5, 0, 1) / √26 and (1, 0, 1) / √2
    assert found.distances == pytest.approx([0, 1 - 5 / 26**0.5, 1 - 0.5**0.5], abs=1e-3)
    assert found.distances_by_space == {"code": [0, 1, 1], "embedding": found.distances}
    assert found.codes == {"code": ["80", "a0", "a0"]}
    assert found.embeddings is not None
    assert np.float16(found.embeddings) == pytest.approx(
        np.array([[1, 0, 0], [5 / 26**0.5, 0, 1 / 26**0.5], [0.5**0.5, 0, 0.5**0.5]], np.float16)
    )


def test_closeness_of_pictures_and_of_words_by_curves_of_their_own(tmp_path: Path) -> None:
    """Pink is at 1 − 0.71 from red, and rather red at 0.02; from the word "red" likewise, but there that means less."""
    calibration = Calibration(
        embedding=Curve(distances=(0, 1), shares=(1, 0)),
        nothing_below=0.5,
        words=Curve(distances=(0, 1), shares=(0.5, 0)),
        words_nothing_below=0.6,
    )
    retrieval = made(tmp_path, calibration)
    red = base64.b64encode(png_of((255, 0, 0))).decode()
    of_picture, of_words = ask(retrieval, image=red, top_k=3), ask(retrieval, text="red", top_k=3)
    assert of_picture.relevant == of_words.relevant == ["red", "rather red", "pink"]
    assert of_picture.closeness == pytest.approx([1, 0.98, 0.71], abs=0.01)
    assert of_words.closeness == pytest.approx([0.5, 0.49, 0.355], abs=0.01)
    assert (of_picture.nothing_like_it, of_words.nothing_like_it) == (False, True)
    # Nobody measured mixtures, nor knows whether an embedding is of a picture or of words; codes have no curve.
    for unmeasured in ({"image": red, "text": "blue"}, {"embedding": [1, 0, 0]}, {"code": "80"}):
        assert ask(retrieval, **unmeasured).closeness is None


def test_of_an_image_of_the_collection_and_of_words(retrieval: Retrieval) -> None:
    assert ask(retrieval, path="rather red", top_k=2).relevant == ["rather red", "red"]
    assert ask(retrieval, text="green", top_k=1).relevant == ["green"]


def test_codes_alone_are_compared_by_bits(retrieval: Retrieval) -> None:
    found = ask(retrieval, code="80", debug=True)
    assert (found.relevant[0], found.distances, found.ordered_by) == ("red", [0, 1, 1, 2], "code")


def test_numbers_come_back_as_the_same_float16(retrieval: Retrieval) -> None:
    (answer,) = retrieval.answer([{"body": {"collection": "colours", "path": "pink", "debug": True}}])
    (first, *_) = json.loads(answer.body)["embeddings"]
    assert np.array(first, np.float16).tobytes() == np.array([0.5**0.5, 0, 0.5**0.5], np.float16).tobytes()
    assert max(len(str(number)) for number in first) <= 10

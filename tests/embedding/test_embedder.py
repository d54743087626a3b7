"""What every embedder gives: vectors in the spaces that its identity names, the same whatever batch a picture is in."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from contract.model import ModelIdentity
from contract.registry import NotRegistered
from contract.space import row_of
from embedding.embedder import Embedder
from embedding.errors import UnknownText
from embedding.registry import MODELS
from embedding.torchscript import TorchScriptEmbedder
from pictures.errors import ImageError
from tests.fake_embedder import COLOUR, GREEN, CellEmbedder
from tests.fakes import png_of

CODES = [0x8001, 0xFF00, 0x0000, 0xFFFF, 0x1234]
#: A word that each of them knows.
WORD = {"colours": "shirt", "cells": "white", "cells in three spaces": "white"}


@pytest.fixture(params=WORD)
def word(request: pytest.FixtureRequest) -> str:
    return WORD[request.param]


@pytest.fixture
def embedder(request: pytest.FixtureRequest, word: str, colours: TorchScriptEmbedder) -> Embedder:
    """Each implementation."""
    made: dict[str, Embedder] = {
        "colours": colours,
        "cells": CellEmbedder(),
        "cells in three spaces": CellEmbedder(GREEN, COLOUR),
    }
    return made[request.node.callspec.params["word"]]


def pictures(embedder: Embedder) -> np.ndarray:
    return np.stack([embedder.prepare(png_of(code)) for code in CODES])


def test_a_picture_is_prepared_or_refused(embedder: Embedder) -> None:
    picture = embedder.prepare(png_of(0x8001))
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    with pytest.raises(ImageError):
        embedder.prepare(b"no picture")


@pytest.mark.parametrize("count", [0, 1, 5])
def test_vectors_are_in_the_spaces_of_its_identity(count: int, embedder: Embedder) -> None:
    found = embedder.embed(pictures(embedder)[:count])
    assert {name: (array.dtype, array.shape) for name, array in found.items()} == {
        space.name: (space.dtype, (count, space.columns)) for space in embedder.identity.spaces
    }


def test_the_code_of_a_grey_picture_by_hand(embedder: Embedder) -> None:
    assert [row.tobytes().hex() for row in embedder.embed(pictures(embedder))["code"]] == [
        "8001", "ff00", "0000", "ffff", "1234"
    ]  # fmt: skip


def test_they_are_the_same_in_any_batch_and_thread(embedder: Embedder) -> None:
    batch = pictures(embedder)
    together = embedder.embed(batch)
    with ThreadPoolExecutor(3) as pool:
        alone = list(pool.map(lambda row: embedder.embed(batch[row : row + 1]), range(len(batch))))
    assert [row_of(each, 0) for each in alone] == [row_of(together, row) for row in range(len(batch))]


def test_words_have_a_place_in_some_of_the_spaces(word: str, embedder: Embedder) -> None:
    assert embedder.identity.text
    found = embedder.embed_text([word, word])
    for name, array in found.items():
        space = embedder.identity.space(name)
        assert space is not None and (array.dtype, array.shape) == (space.dtype, (2, space.columns))
    with pytest.raises(UnknownText):
        embedder.embed_text([word, "no such word"])


def test_its_identity_survives_json(embedder: Embedder) -> None:
    assert ModelIdentity.model_validate_json(embedder.identity.model_dump_json()) == embedder.identity


def test_the_registry_knows_ours_and_says_so() -> None:
    assert MODELS.get("pt") == TorchScriptEmbedder.load
    with pytest.raises(NotRegistered, match="there is no model format 'onnx'; there are: pt"):
        MODELS.get("onnx")

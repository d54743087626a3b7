"""The model that ships: words find what is drawn."""

import random
from pathlib import Path

import numpy as np
import pytest

from contract.space import CODE, EMBEDDING
from embedding.errors import UnknownWords
from embedding.torchscript import TorchScriptEmbedder
from indexer.sample_datalake import draw_garment

SHIPPED = Path("torchscripts_models/clip-general.pt")


@pytest.fixture(scope="module")
def shipped() -> TorchScriptEmbedder:
    return TorchScriptEmbedder.load(SHIPPED)


def drawn(shape: str, colour: str, pattern: str, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    picture = draw_garment(shape, colour, pattern, random.Random(f"words/{seed}"))
    return np.asarray(picture.resize((128, 128)))


def test_the_shipped_model_is_small_and_finds_a_red_striped_dress(shipped: TorchScriptEmbedder) -> None:
    assert SHIPPED.stat().st_size < 20_000_000
    kinds = [
        ("dress", "red", "stripes"),
        ("dress", "red", "plain"),
        ("skirt", "red", "stripes"),
        ("dress", "green", "stripes"),
        ("hat", "navy", "dots"),
        ("t-shirt", "white", "checks"),
    ]
    pictures = np.stack([drawn(*kind, seed) for seed, kind in enumerate(kinds)])
    found = shipped.embed(pictures)[EMBEDDING].astype(np.float32)
    words = ["a red striped dress", "plain red dress", "navy hat with polka-dots", "checked white T-Shirt"]
    asked = shipped.embed_text(words)[EMBEDDING].astype(np.float32)
    assert (asked @ found.T).argmax(axis=1).tolist() == [0, 1, 4, 5]
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)


def test_the_shipped_models_vectors_dont_depend_on_the_batch(shipped: TorchScriptEmbedder) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 128, 128, 3), dtype=np.uint8)
    together = shipped.embed(pictures)
    alone = [shipped.embed(picture[None]) for picture in pictures]
    for name in (CODE, EMBEDDING):
        assert np.array_equal(together[name], np.concatenate([each[name] for each in alone]))


def test_words_that_mean_nothing_to_it_are_said(shipped: TorchScriptEmbedder) -> None:
    with pytest.raises(UnknownWords, match="qwertz frobnicate"):
        shipped.embed_text(["a red dress", "qwertz frobnicate"])

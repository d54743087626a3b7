"""The general network: cells are what they say, their order doesn't matter, and float16 is only a way to store."""

from pathlib import Path

import numpy as np
import pytest
import torch

from embedding.card import ModelCard
from embedding.torchscript import TorchScriptEmbedder, save_model
from pictures.preparation import Preprocessing
from training.cells import CELL_CHANNELS, GRAIN_CHANNELS, CellBackbone
from training.efficientnet import CHANNELS, VARIANTS, Classifier, EfficientNetLite
from training.general_network import DetailHead, GeneralNetwork, MeaningHead, Pooling, with_half_weights


@pytest.fixture(scope="module")
def backbone() -> CellBackbone:
    torch.manual_seed(0)
    return CellBackbone(EfficientNetLite(VARIANTS["efficientnet-lite0"])).eval()


def network(backbone: CellBackbone) -> GeneralNetwork:
    torch.manual_seed(1)
    classifier = Classifier(torch.randn(5, CHANNELS), torch.zeros(5))
    codes = torch.where(torch.randn(5, 16) > 0, 1.0, -1.0)
    return GeneralNetwork(backbone, MeaningHead(classifier, codes), DetailHead(32), codes).eval()


def test_cells_begin_with_the_colours_of_their_parts_and_features_are_the_networks(backbone: CellBackbone) -> None:
    picture = torch.zeros(1, 3, 128, 128)
    picture[:, 0, :32, :32] = 1.0  # the first of 4 × 4 parts is red
    with torch.inference_mode():
        features, cells, grain = backbone(picture)
        expected, _ = backbone.network(picture)
    assert cells.shape == (1, 16, CELL_CHANNELS)
    assert grain.shape == (1, GRAIN_CHANNELS)
    reds = cells[0, :, 0]
    assert reds.sum() == 1.0
    assert reds[15] == 1.0  # the network sees the picture turned by 180°
    torch.testing.assert_close(features, expected)


def test_the_order_of_cells_does_not_matter() -> None:
    torch.manual_seed(0)
    pooling, cells, grain = Pooling().eval(), torch.randn(2, 16, CELL_CHANNELS), torch.randn(2, GRAIN_CHANNELS)
    with torch.inference_mode():
        torch.testing.assert_close(pooling(cells, grain), pooling(cells.flip(1), grain))


def test_a_picture_of_one_class_expects_its_code() -> None:
    """The classifier is sure: the probability of class 1 is nearly 1. Where it can't tell two classes, bits that they
    share are whole, and the others cancel out."""
    classifier = Classifier(torch.eye(3, CHANNELS) * 100, torch.zeros(3))
    codes = torch.tensor([[1.0, 1, 1, -1, -1, -1, 1, -1], [1, -1, 1, -1, 1, -1, 1, 1], [-1] * 8])
    head = MeaningHead(classifier, codes)
    with torch.inference_mode():
        torch.testing.assert_close(head.expected(torch.eye(3, CHANNELS)), codes)
        both = head.expected((torch.eye(3, CHANNELS)[0] + torch.eye(3, CHANNELS)[1])[None])
    torch.testing.assert_close(both[0], (codes[0] + codes[1]) / 2)


def test_stored_in_float16_it_takes_half_the_room_and_computes_in_float32(
    backbone: CellBackbone, tmp_path: Path
) -> None:
    card = ModelCard(name="both", bits=16, detail_bits=32, preprocessing=Preprocessing(image_size=64))
    whole, half = tmp_path / "whole.pt", tmp_path / "half.pt"
    made = network(backbone)
    save_model(torch.jit.script(made), card, whole)
    save_model(torch.jit.script(with_half_weights(made)), card, half)
    made.float()
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    pictures = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    first, second = (TorchScriptEmbedder.load(path).embed(pictures) for path in (whole, half))
    for name in first:
        assert np.bitwise_count(first[name] ^ second[name]).mean() < 0.1
    assert TorchScriptEmbedder.load(half)._compiled  # uncompiled, it takes twice as long
    one_by_one = np.concatenate([TorchScriptEmbedder.load(half).embed(pictures[:1])["detail"]])
    np.testing.assert_array_equal(one_by_one, second["detail"][:1])

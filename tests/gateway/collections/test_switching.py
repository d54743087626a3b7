"""Searching ``default`` while another model takes over, on a real stack."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from embedding.card import ModelCard
from embedding.torchscript import save_model
from tests.fakes import BITS, PREPROCESSING, Grid
from tests.gateway.stack import Stack, wait_until

#: By either model: the picture itself, then one that differs in half of the bits, then one that differs in all.
LAKE = {"data/robe.png": 0x00FF, "data/shirt.png": 0xFF00, "data/sock.png": 0xF0F0}
NEAREST = [
    {"url": "data/robe.png", "metadata": None, "similarity": 100.0},
    {"url": "data/sock.png", "metadata": None, "similarity": 0.0},
    {"url": "data/shirt.png", "metadata": None, "similarity": 0.0},
]


class Inverse(nn.Module):
    """(n, 3, 16, 16) → (n, 16): the opposite of the grid's code. What is nearest to it was farthest from the grid's."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = Grid()

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = -self.grid(x)
        return code


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), LAKE) as running:
        card = ModelCard(name="inverse", bits=BITS, preprocessing=PREPROCESSING)
        save_model(torch.jit.script(Inverse().eval()), card, running.models / "inverse.pt")
        assert running.reindex("1.0.0").status_code == 200
        yield running


@pytest.mark.parametrize("model", ["inverse.pt", "wide/001/"])
def test_codes_of_one_model_are_not_looked_for_among_the_others(stack: Stack, model: str) -> None:
    def nearest() -> object:
        return stack.call("POST", "/models/default/search", json={"url": "data/robe.png"}).json()

    assert nearest() == NEAREST
    job = stack.started("2.0.0", model_path=model)
    wait_until(lambda: stack.job(job)["phase"] in ("registering", "switching"), "the new workers")
    with stack.publishing_held():
        wait_until(lambda: stack.job(job)["phase"] == "publishing", "the switch")
        assert nearest() == NEAREST  # TorchServe's new workers answer, and the current version is the old one's
    assert stack.ended(job)["state"] == "succeeded"
    assert nearest() == NEAREST

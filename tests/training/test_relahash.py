"""The loss is the formula, worked out by hand for two bits, and descending it leads to the centroids."""

import math

import pytest
import torch
from torch import Tensor

from training.relahash import RelaHashLoss, far_apart_centroids

PLUS_AND_MINUS = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])  # the centroids of two classes, two bits


def nearest_pair(centroids: Tensor) -> int:
    """The smallest Hamming distance between two of the centroids."""
    distances = (centroids[:, None] != centroids[None]).sum(2)
    distances.fill_diagonal_(centroids.shape[1])
    return int(distances.min())


# --- Loss


def test_the_loss_of_a_batch_worked_out_by_hand() -> None:
    """z = (4 2), (0 0)   mean (2 1)   z − mean = ±(2 1)   rms = √((4+1+4+1)/4) = √2.5   l = ±(2+1)/√2.5/2

    Each picture's own class leads by 2l − m, so that the cross-entropy is log(1 + exp(−β(2l − m))).
    """
    outputs = torch.tensor([[4.0, 2.0], [0.0, 0.0]])
    loss = RelaHashLoss(PLUS_AND_MINUS, beta=3.0, margin=0.5)(outputs, torch.tensor([0, 1]))
    similarity = 3 / math.sqrt(2.5) / 2
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-3 * (2 * similarity - 0.5))), rel=1e-5)


def test_the_loss_of_wrong_labels_worked_out_by_hand() -> None:
    outputs = torch.tensor([[2.0, 2.0], [0.0, 0.0]])  # relative: ±(1 1), so l = ±1
    loss = RelaHashLoss(PLUS_AND_MINUS, beta=1.0, margin=0.5)(outputs, torch.tensor([1, 0]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(2.5)), rel=1e-5)


def test_only_the_place_relative_to_the_batch_counts() -> None:
    centroids = far_apart_centroids(4, 16, seed=1)
    labels = torch.arange(12) % 4
    outputs = centroids[labels] + torch.randn(12, 16, generator=torch.Generator().manual_seed(1))
    loss_of = RelaHashLoss(centroids)
    assert loss_of(7 * outputs + 3, labels).item() == pytest.approx(loss_of(outputs, labels).item(), rel=1e-4)
    assert loss_of(-outputs, labels) > 10 * loss_of(outputs, labels)


def test_the_margin_keeps_pulling_after_the_class_is_right() -> None:
    labels = torch.tensor([0, 1])
    losses, pulls = [], []
    for margin in (0.0, 0.5, 1.0):
        outputs = torch.tensor([[1.0, 0.2], [-1.0, -0.2]], requires_grad=True)
        loss = RelaHashLoss(PLUS_AND_MINUS, margin=margin)(outputs, labels)
        loss.backward()
        assert outputs.grad is not None
        losses.append(loss.item())
        pulls.append(outputs.grad.norm().item())
    assert losses == sorted(losses)
    assert losses[0] < losses[1] / 10
    assert pulls[0] < pulls[1] < pulls[2]


def test_the_gradient_points_to_the_own_centroid() -> None:
    """The second bit of either picture is the wrong one, and each is pushed to its centroid's side."""
    outputs = torch.tensor([[1.0, -0.2], [-1.0, 0.2]], requires_grad=True)
    RelaHashLoss(PLUS_AND_MINUS)(outputs, torch.tensor([0, 1])).backward()
    assert outputs.grad is not None
    step = -outputs.grad
    assert step[0, 1] > 0
    assert step[1, 1] < 0


def test_descending_the_loss_brings_every_picture_to_its_centroid() -> None:
    centroids = far_apart_centroids(4, 16, seed=0)
    labels = torch.arange(32) % 4
    outputs = torch.randn(32, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss_of = RelaHashLoss(centroids)
    optimiser = torch.optim.Adam([outputs], lr=0.1)
    for _ in range(100):
        optimiser.zero_grad()
        loss_of(outputs, labels).backward()
        optimiser.step()
    codes = outputs.detach() > 0
    distances = (codes[:, None] != (centroids > 0)[None]).sum(2)  # (pictures, classes)
    assert torch.equal(distances.argmin(1), labels)
    own = distances[torch.arange(32), labels]
    assert own.max() <= 4
    assert own.float().mean() < 2


def test_a_batch_of_equal_outputs_has_a_finite_loss() -> None:
    outputs = torch.ones(4, 2, requires_grad=True)
    loss = RelaHashLoss(PLUS_AND_MINUS)(outputs, torch.tensor([0, 1, 0, 1]))
    loss.backward()
    assert outputs.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(outputs.grad).all()


# --- Centroids


@pytest.mark.parametrize(("classes", "bits", "least"), [(2, 16, 13), (8, 64, 31), (40, 64, 26)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_centroids_are_far_apart(classes: int, bits: int, least: int, seed: int) -> None:
    """Forty codes of 64 bits drawn blindly would have two that differ in some 20 bits only."""
    centroids = far_apart_centroids(classes, bits, seed)
    assert centroids.shape == (classes, bits)
    assert centroids.dtype == torch.float32
    assert set(centroids.flatten().tolist()) == {-1.0, 1.0}
    assert nearest_pair(centroids) >= least


def test_centroids_depend_on_the_seed_alone() -> None:
    first = far_apart_centroids(8, 64, seed=3)
    torch.manual_seed(1)
    assert torch.equal(far_apart_centroids(8, 64, seed=3), first)
    assert not torch.equal(far_apart_centroids(8, 64, seed=4), first)

"""The instance loss is NT-Xent on signs, worked out by hand for two pictures and four bits."""

import math

import pytest
import torch

from training.details import instance_loss


def test_the_loss_of_two_pictures_worked_out_by_hand() -> None:
    """The copies are given in the wrong order. The first picture's code differs from its supposed copy in three of four
    bits (similarity −1/2) and is equal to the other's (1); the second's differs in all (−1), from the other in one."""
    first = torch.tensor([[9.0, 9.0, 9.0, 9.0], [-9.0, -9.0, -9.0, -9.0]])
    second = torch.tensor([[-0.2, -2.0, -1.0, 0.3], [0.1, 3.0, 0.5, 1.0]])
    rows = [math.log(1 + math.exp(12 * (1 + 0.5))), math.log(1 + math.exp(12 * (0.5 + 1)))]
    columns = [math.log(1 + math.exp(12 * (0.5 + 0.5))), math.log(1 + math.exp(12 * (1 + 1)))]
    expected = (sum(rows) / 2 + sum(columns) / 2) / 2
    assert instance_loss(first, second).item() == pytest.approx(expected, rel=1e-5)


def test_it_pulls_the_copies_together_through_the_signs() -> None:
    first = torch.tensor([[0.5, 0.5], [-0.5, -0.5]], requires_grad=True)
    second = torch.tensor([[0.5, -0.1], [-0.5, -0.5]], requires_grad=True)
    instance_loss(first, second).backward()
    assert second.grad is not None
    assert second.grad[0, 1] < 0  # descending raises the bit that differs


def test_descending_it_makes_copies_equal_and_pictures_differ() -> None:
    random = torch.Generator().manual_seed(0)
    first, second = (torch.randn(16, 32, generator=random).requires_grad_() for _ in range(2))
    optimiser = torch.optim.Adam([first, second], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        instance_loss(first, second).backward()
        optimiser.step()
    apart = ((first[:, None] > 0) != (second[None] > 0)).sum(2)
    own = apart.diagonal().clone()
    apart.fill_diagonal_(99)
    assert own.max() < apart.min()

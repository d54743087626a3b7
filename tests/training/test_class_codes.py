"""Classes whose directions are alike get codes with more bits in common than others; each gets its own."""

import torch

from training.class_codes import class_codes


def directions() -> torch.Tensor:
    """Ten groups of six directions: those of a group differ little."""
    random = torch.Generator().manual_seed(0)
    groups = torch.randn(10, 1, 40, generator=random)
    return (groups + 0.4 * torch.randn(10, 6, 40, generator=random)).flatten(0, 1)


def test_codes_are_near_where_directions_are() -> None:
    codes = class_codes(directions(), 32, seed=0)
    assert codes.shape == (60, 32)
    assert codes.abs().eq(1).all()
    away = (32 - codes @ codes.T) / 2
    group = torch.arange(60) // 6
    alike = group[:, None] == group
    different = ~torch.eye(60, dtype=torch.bool)
    assert away[alike & different].min() > 0
    assert away[alike & different].mean() < 11
    assert away[~alike].mean() > 15


def test_a_seed_gives_the_same_codes() -> None:
    assert torch.equal(class_codes(directions(), 16, seed=1), class_codes(directions(), 16, seed=1))
    assert not torch.equal(class_codes(directions(), 16, seed=1), class_codes(directions(), 16, seed=2))

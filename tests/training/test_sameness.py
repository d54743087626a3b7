"""A trained detail head gives views of one picture one code, and other pictures others."""

import torch

from training.cells import CELL_CHANNELS, GRAIN_CHANNELS
from training.efficientnet import CHANNELS
from training.sameness import _pairs, train_details
from training.seen import Seen, Views


def views_of(pictures: int, views: int, noise: float, seed: int, tilings: int = 1) -> Views:
    """Pictures are random cells and grain; a view is its picture with noise. ``tilings`` pictures share a file."""
    random = torch.Generator().manual_seed(seed)
    rows = pictures * views
    cells = torch.randn(pictures, 1, 16, CELL_CHANNELS, generator=random)
    grain = torch.randn(pictures, 1, GRAIN_CHANNELS, generator=random)
    cells = (cells + noise * torch.randn(pictures, views, 16, CELL_CHANNELS, generator=random)).flatten(0, 1)
    grain = (grain + noise * torch.randn(pictures, views, GRAIN_CHANNELS, generator=random)).flatten(0, 1)
    subject = torch.arange(pictures).repeat_interleave(views)
    seen = Seen(cells.half(), grain.half(), torch.zeros(rows, CHANNELS, dtype=torch.float16))
    return Views(seen, subject, torch.arange(pictures) // tilings, torch.arange(pictures) % tilings)


def test_copies_are_nearer_than_other_pictures_after_training() -> None:
    head = train_details([views_of(40, 4, 0.5, seed=0), views_of(30, 3, 0.5, seed=1)], bits=64, steps=12, seed=0)
    unseen = views_of(20, 2, 0.5, seed=2)
    with torch.inference_mode():
        codes = head(unseen.seen.cells.float(), unseen.seen.grain.float()) > 0
    away = (codes[:, None] != codes).sum(2)
    originals, copies = away[::2, 1::2].diagonal(), away[::2, ::2]
    assert originals.float().mean() < 0.7 * copies[~torch.eye(20, dtype=torch.bool)].float().mean()


def test_the_same_seed_gives_the_same_head() -> None:
    first, second = (train_details([views_of(12, 3, 1.0, seed=0)], bits=16, steps=3, seed=5) for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_two_views_of_a_subject_differ_and_parts_of_one_file_are_doubtful() -> None:
    """Six subjects in two files, each cut in three ways: subjects of a file are in different tilings."""
    views = views_of(6, 2, 1.0, seed=0, tilings=3)
    cells, grain, doubtful = _pairs(views, 6, torch.Generator().manual_seed(0))
    assert not (cells[:, 0] == cells[:, 1]).all(2).all(1).any()
    assert grain.shape == (6, 2, GRAIN_CHANNELS)
    assert doubtful.sum() == 12
    assert not doubtful.diagonal().any()

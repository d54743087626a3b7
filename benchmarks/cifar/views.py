"""Random views of 32 × 32 pictures, mildest first. None resamples: at this size, training on blurred pictures makes a
network markedly worse on sharp ones.

uint8 (n, 32, 32, 3) → float32 (n, 3, 32, 32), normalised, in the memory order of the input (channels last).
"""

import torch
from torch import Tensor

#: Mean and standard deviation of the training pictures' channels, in 0…255.
MEAN = torch.tensor([125.3, 123.0, 113.9]).reshape(1, 3, 1, 1)
STD = torch.tensor([63.0, 62.1, 66.7]).reshape(1, 3, 1, 1)


def plain(pictures: Tensor) -> Tensor:
    """Returns the unchanged pictures."""
    return (pictures.permute(0, 3, 1, 2).float() - MEAN) / STD


def weak(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Returns the pictures moved by up to 2 pixels either way, half of them flipped."""
    return plain(_moved(pictures, 2, random))


def patchy(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Returns weak views with a square of 9 × 9 hidden."""
    return _hidden(weak(pictures, random), 4, random)


def _moved(pictures: Tensor, reach: int, random: torch.Generator) -> Tensor:
    """Returns pictures moved by up to ``reach`` pixels either way, some flipped; mirror images fill the edges."""
    n, side = pictures.shape[:2]
    places = torch.arange(side)
    rows, columns = (places + torch.randint(-reach, reach + 1, (n, 1), generator=random) for _ in range(2))
    columns = torch.where(torch.rand(n, 1, generator=random) < 0.5, columns, side - 1 - columns)
    rows, columns = ((side - 1) - ((side - 1) - index.abs()).abs() for index in (rows, columns))  # −1 → 1, 32 → 30
    return pictures[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _hidden(images: Tensor, reach: int, random: torch.Generator) -> Tensor:
    """Cutout (T. DeVries, G. W. Taylor, 2017): pixels within ``reach`` of a random pixel become the mean."""
    n, _, side, _ = images.shape
    places = torch.arange(side)
    rows, columns = ((places - torch.randint(side, (n, 1), generator=random)).abs() <= reach for _ in range(2))
    return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0.0)

"""Random changes that keep a picture recognisable, applied to whole batches as tensors.

    batch uint8 ─▶ augment: crop, stretch, turn, mirror (one affine map), light, contrast, colours, a hidden square
                ─▶ mix: a window of every picture replaced by another's (classes only; details are about one picture)

All random numbers come from a generator on the CPU, so a seed gives the same numbers on every device.
"""

import torch
from torch import Tensor
from torch.nn import functional


def augment(batch: Tensor, size: int, random: torch.Generator) -> Tensor:
    """uint8 (n, s, s, 3) → float32 in 0…1, (n, 3, size, size), on the batch's device."""
    n, device = len(batch), batch.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=random) * (high - low) + low

    def each(values: Tensor) -> Tensor:
        return values.to(device).reshape(n, 1, 1, 1)

    scale = uniform(0.35, 1.0).sqrt()
    stretch = uniform(-0.25, 0.25).exp()
    width, height = (scale * stretch).clamp(max=1.0), (scale / stretch).clamp(max=1.0)
    angle = uniform(-0.25, 0.25)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = width * angle.cos() * flip, -height * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = width * angle.sin() * flip, height * angle.cos()
    theta[:, 0, 2] = uniform(-1, 1) * (1 - width)
    theta[:, 1, 2] = uniform(-1, 1) * (1 - height)
    grid = functional.affine_grid(theta.to(device), [n, 3, size, size], align_corners=False)
    images = batch.permute(0, 3, 1, 2).float() / 255.0
    images = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    images = images * each(uniform(0.7, 1.3))
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * each(uniform(0.7, 1.3)) + mean
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * each(uniform(0.6, 1.4)) + grey
    side = size // 3
    for row in torch.nonzero(uniform(0, 1) < 0.3).flatten().tolist():  # hide a square: the rest must suffice
        top, left = torch.randint(0, size - side, (2,), generator=random).tolist()
        images[row, :, top : top + side, left : left + side] = mean[row]
    return images.clamp(0.0, 1.0)


def mix(images: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """CutMix (Yun et al., 2019): replaces one window of each picture by the same window of another.

    ``images`` (n, 3, size, size) → the mixed pictures; int64 (n,), the row that each was mixed with; and the share of
    its own area that each keeps.
    """
    size = images.shape[-1]
    others = torch.randperm(len(images), generator=random)
    share = float(torch.rand(1, generator=random))
    side = round(size * share**0.5)
    top, left = torch.randint(0, size - side + 1, (2,), generator=random).tolist()
    mixed = images.clone()
    mixed[:, :, top : top + side, left : left + side] = images[others, :, top : top + side, left : left + side]
    return mixed, others, 1 - (side / size) ** 2

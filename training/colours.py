"""Which colours a picture has, by name, measured from its pixels.

picture ─▶ 32 × 32 ─▶ CIELAB ─▶ how much each pixel is of each name ─┬─▶ the border's shares
                                                                    └─▶ the subject's: pixels near the middle,
                                                                        of names that the border lacks
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Names of colours, each with sRGB values that people call so.
COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((20, 20, 22), (42, 42, 45)),
    "white": ((250, 250, 250), (232, 232, 230)),
    "grey": ((128, 128, 128), (90, 92, 95), (175, 177, 180)),
    "red": ((200, 30, 40), (160, 20, 30), (230, 55, 55)),
    "orange": ((240, 130, 30), (225, 105, 50)),
    "yellow": ((240, 210, 50), (230, 190, 40), (250, 235, 120)),
    "green": ((40, 120, 60), (90, 165, 75), (60, 90, 50), (130, 190, 130)),
    "blue": ((50, 110, 200), (40, 80, 160), (130, 180, 225), (60, 160, 190)),
    "navy": ((25, 40, 95), (35, 45, 75)),
    "purple": ((110, 60, 150), (150, 100, 180), (90, 35, 90)),
    "pink": ((235, 150, 180), (240, 190, 200), (225, 90, 140)),
    "brown": ((120, 75, 45), (90, 55, 35), (150, 100, 65)),
    "beige": ((220, 200, 170), (200, 175, 140), (235, 222, 200)),
}

#: Length of what ``ColourShares`` answers.
SHARES = 2 * len(COLOURS)

#: Squared distances in CIELAB at which a name counts less by a factor of e.
_SPREAD = 90.0
_SIDE, _BORDER = 32, 3


class ColourShares(nn.Module):
    """Pictures (n, 3, size, size), normalised by ``mean`` and ``std`` → (n, SHARES): the shares of ``COLOURS`` in the
    subject, then at the border; each sums to 1."""

    values: Tensor
    lengths: Tensor
    names: Tensor
    scale: Tensor
    shift: Tensor
    to_xyz: Tensor
    middle: Tensor

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        super().__init__()
        self.side, self.border = _SIDE, _BORDER
        self.register_buffer("scale", torch.tensor(std).view(1, 3, 1, 1))
        self.register_buffer("shift", torch.tensor(mean).view(1, 3, 1, 1))
        # sRGB's primaries, each row divided by the white of D65.
        primaries = torch.tensor([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        self.register_buffer("to_xyz", primaries / primaries.sum(1, keepdim=True))
        named = [(place, value) for place, values in enumerate(COLOURS.values()) for value in values]
        srgb = torch.tensor([value for _, value in named]).float().div(255).view(-1, 1, 3)
        # A softmax of −|lab − value|² / spread; |lab|² is the same for all values, and left out.
        values = self._lab(srgb).view(-1, 3)
        self.register_buffer("values", 2 / _SPREAD * values.T)
        self.register_buffer("lengths", values.square().sum(1) / _SPREAD)
        self.register_buffer("names", functional.one_hot(torch.tensor([place for place, _ in named])).float())
        away = (torch.arange(_SIDE) + 0.5) / _SIDE * 2 - 1
        middle = torch.exp(-1.5 * (away[:, None].square() + away.square()))
        self.register_buffer("middle", middle.flatten())

    def _lab(self, srgb: Tensor) -> Tensor:
        """sRGB (n, pixels, 3) in 0…1 → CIELAB."""
        linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp_min(0.0) + 0.055) / 1.055).pow(2.4))
        xyz = linear @ self.to_xyz.T
        root = torch.where(xyz > 0.008856, xyz.clamp_min(1e-6).pow(1 / 3), xyz * 7.787 + 16 / 116)
        x, y, z = root[..., 0], root[..., 1], root[..., 2]
        return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), -1)

    def forward(self, x: Tensor) -> Tensor:
        small = functional.adaptive_avg_pool2d(x * self.scale + self.shift, self.side).clamp(0.0, 1.0)
        lab = self._lab(small.flatten(2).transpose(1, 2))
        of_names = (lab @ self.values - self.lengths).softmax(2) @ self.names  # (n, pixels, names)
        grid = of_names.view(-1, self.side, self.side, of_names.shape[2])
        border = torch.cat(
            (
                grid[:, : self.border].flatten(1, 2),
                grid[:, -self.border :].flatten(1, 2),
                grid[:, :, : self.border].flatten(1, 2),
                grid[:, :, -self.border :].flatten(1, 2),
            ),
            1,
        ).mean(1)
        lacking = (1 - (of_names * border.unsqueeze(1)).sum(2)).square()
        weights = self.middle * (0.02 + lacking)
        subject = (of_names * weights.unsqueeze(2)).sum(1) / weights.sum(1, keepdim=True)
        return torch.cat((subject, border), 1)

"""What the fixed part of a backbone answers for several random views of each picture: computed once, then kept.

    tune   fixed                    trained on what was kept
    frozen the whole backbone       the heads
    top    its bottom               its top, and the heads
    full   nothing                  everything: nothing is kept

A view of 3,676 pictures takes 42 MB at 160 pixels, and later epochs a fifth of the arithmetic.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from training.network import OwnBackbone

Tune = Literal["frozen", "top", "full"]

#: Views of each picture, if they fit into _MOST_BYTES, and at least one.
_VIEWS = 8
_MOST_BYTES = 4 << 30

_BATCH = 16


class Fixed(nn.Module):
    """The part of ``backbone`` that isn't trained: pictures (n, 3, size, size) → the two tensors that are kept."""

    def __init__(self, backbone: nn.Module, whole: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.whole = whole

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = self.backbone(x) if self.whole else self.backbone.bottom(x)  # type: ignore[operator]
        return first, second


def rest(backbone: nn.Module, tune: Tune, kept: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Returns features (n, channels) and levels (n, level_channels), from what ``Fixed`` answered."""
    if tune == "frozen":
        return kept
    maps, lower = kept
    features, upper = backbone.top(maps)  # type: ignore[operator]
    return features, torch.cat((lower, upper), 1)


def trained_parameters(backbone: nn.Module, tune: Tune) -> list[nn.Parameter]:
    """Returns the weights of ``backbone`` that ``tune`` trains.

    In the top these aren't the filters that see one channel each: a few hundredths of the weights, whose gradients cost
    a CPU more than all others together.
    """
    if tune == "full":
        return list(backbone.parameters())
    layers = backbone.top_layers() if tune == "top" else []  # type: ignore[operator]
    return [
        parameter
        for layer in layers
        for part in layer.modules()
        if not isinstance(part, nn.Conv2d) or part.groups == 1
        for parameter in part.parameters(recurse=False)
    ]


class Views:
    """``of`` computes a view at the first call for it. The same ``seed`` gives the same views, whatever came before.

    ``rows``: those of the pictures, ascending. ``view`` makes normalised pictures of some rows with random numbers.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tune: Tune,
        rows: Tensor,
        view: Callable[[Tensor, torch.Generator], Tensor],
        seed: int,
    ) -> None:
        self._rows = rows
        self._view = view
        self._seed = seed
        self._count = _VIEWS
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}
        self._fixed: nn.Module = Fixed(backbone, tune == "frozen").eval()
        self._compiled = not isinstance(backbone, OwnBackbone)
        if self._compiled:
            self._compile(view(self._whole_batch(rows[:_BATCH]), torch.Generator().manual_seed(seed)))

    def _compile(self, pictures: Tensor) -> None:
        """Compile, which saves half of the time, unless the compiler fails (as it does on maps of one pixel)."""
        plain = self._fixed
        torch.jit.enable_onednn_fusion(True)
        try:
            with torch.jit.optimized_execution(True):  # type: ignore[attr-defined]
                self._fixed = torch.jit.freeze(torch.jit.script(plain))
            for _ in range(3):  # TorchScript compiles in the third run, and then answers as ever after
                self._answer(pictures)
        except RuntimeError:
            self._fixed, self._compiled = plain, False

    def of(self, number: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what is kept of view ``number`` (modulo their number) of ``rows``, float32."""
        number %= self._count
        if number not in self._kept:
            self._kept[number] = self._computed(torch.Generator().manual_seed(self._seed + 1 + number))
            size = sum(part.numel() * part.element_size() for part in self._kept[number])
            self._count = max(1, min(_VIEWS, _MOST_BYTES // size))
        places = torch.searchsorted(self._rows, rows)
        first, second = (part[places].float() for part in self._kept[number])
        return first, second

    def _computed(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        parts = []
        for rows in torch.split(self._rows, _BATCH):
            answers = self._answer(self._view(self._whole_batch(rows), random))
            parts.append([answer[: len(rows)].bfloat16().cpu() for answer in answers])
        first, second = (torch.cat(column) for column in zip(*parts, strict=True))
        return first, second

    def _whole_batch(self, rows: Tensor) -> Tensor:
        """Returns ``rows``, some again if they are fewer than a batch: kernels and so answers depend on its size."""
        return rows.repeat(-(-_BATCH // len(rows)))[:_BATCH]

    def _answer(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(), torch.jit.optimized_execution(self._compiled):  # type: ignore[attr-defined]
            answer: tuple[Tensor, Tensor] = self._fixed(pictures)
        return answer

"""Detectors whose answers a test decides."""

from pathlib import Path

import torch
from torch import nn

from detection.card import DetectorCard
from detection.torchscript import save_detector


class Says(nn.Module):
    """Answers the same, whatever the picture."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("answer", answer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer


class SaysTwo(Says):
    """Answers a tuple, as YOLO's exports do."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        return self.answer, x


class Dark(nn.Module):
    """Answers one box around all that is darker than a half."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dark = x.mean(1)[0] < 0.35
        rows, columns = torch.where(dark.any(1))[0], torch.where(dark.any(0))[0]
        if len(rows) == 0:
            return torch.zeros(1, 0, 6)
        box = torch.stack((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)).float()
        return torch.cat((box, torch.tensor([0.9, 0.0]))).reshape(1, 1, 6)


def write(path: Path, module: nn.Module, **card: object) -> Path:
    """Writes ``module`` as a detector of two labels at 100 × 100, unless ``card`` says otherwise."""
    values = {"name": path.stem, "labels": ("figure", "object"), "width": 100, "height": 100} | card
    save_detector(torch.jit.script(module.eval()), DetectorCard.model_validate(values), path)
    return path

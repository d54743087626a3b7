"""What a detector is trained towards: each box is the matter of the cells near its middle.

Scores learn how well the cell's own box fits (varifocal loss, H. Zhang et al., 2021), so that the best score has the
best box; boxes learn from their generalised overlap (H. Rezatofighi et al., 2019).
"""

import torch
from torch import Tensor
from torch.nn import functional

from training.detecting.network import STRIDE, Cells

#: The part of a box's width and height, about its middle, whose cells are responsible for it.
_MIDDLE = 0.4
_BOX_WEIGHT = 2.0


def responsible(boxes: Tensor, side: int) -> Tensor:
    """Returns int64 (side, side): for each cell the row of ``boxes``, float (n, ≥ 4), that it is responsible for, or
    −1. Of several it is the smallest; each box has a cell, unless a smaller one needs the same."""
    owner = torch.full((side, side), -1, dtype=torch.int64)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for row in area.argsort(descending=True).tolist():
        left, top, right, bottom = boxes[row, :4].tolist()
        x, y = (left + right) / 2, (top + bottom) / 2
        wide, high = (right - left) * _MIDDLE / 2, (bottom - top) * _MIDDLE / 2
        # The middle of cell i is at (i + ½) · STRIDE.
        columns = _cells(x, wide, side)
        rows = _cells(y, high, side)
        owner[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = row
    return owner


def _cells(middle: float, reach: float, side: int) -> tuple[int, int]:
    nearest = min(side - 1, max(0, int(middle // STRIDE)))
    first = -int(-(middle - reach - STRIDE / 2) // STRIDE)
    last = int((middle + reach - STRIDE / 2) // STRIDE)
    return max(0, min(first, nearest)), min(side - 1, max(last, nearest))


def detection_loss(cells: Cells, owners: Tensor, boxes: list[Tensor]) -> Tensor:
    """Returns the loss of a batch. ``owners`` int64 (n, side, side), and ``boxes`` float (m, 5) of each picture, the
    last column being the label's number."""
    picture, row, column = (owners >= 0).nonzero(as_tuple=True)
    flat = torch.cat(boxes)
    starts = torch.tensor([0, *[len(each) for each in boxes[:-1]]]).cumsum(0)
    wanted = flat[owners[picture, row, column] + starts[picture]]
    found = cells.boxes[picture, :, row, column]
    overlap, generalised = _overlaps(found, wanted[:, :4])
    fit = overlap.detach().clamp(min=0)
    target = torch.zeros_like(cells.scores)
    target[picture, wanted[:, 4].long(), row, column] = fit
    score = cells.scores.sigmoid().detach()
    weight = torch.where(target > 0, target, 0.75 * score**2)
    scores = functional.binary_cross_entropy_with_logits(cells.scores, target, weight, reduction="sum")
    total = fit.sum().clamp(min=1.0)
    # A cell counts as much in its box as the box does in the picture: large ones have many cells.
    sides = ((1 - generalised) * (fit + 0.1)).sum()
    return scores / total + _BOX_WEIGHT * sides / (fit + 0.1).sum().clamp(min=1.0)


def _overlaps(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Overlap and generalised overlap of boxes, both (n, 4), pair by pair."""
    low, high = torch.maximum(found[:, :2], wanted[:, :2]), torch.minimum(found[:, 2:], wanted[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    either = (found[:, 2:] - found[:, :2]).prod(1) + (wanted[:, 2:] - wanted[:, :2]).prod(1) - both
    around = (torch.maximum(found[:, 2:], wanted[:, 2:]) - torch.minimum(found[:, :2], wanted[:, :2])).prod(1)
    overlap = both / either.clamp(min=1e-6)
    return overlap, overlap - (around - either) / around.clamp(min=1e-6)

"""Trains a detail head on views of many pictures: two views of one get one code, views of others different ones."""

import torch
from torch import Tensor

from training.details import instance_loss
from training.general_network import DetailHead
from training.seen import Views
from training.steps import mixed_precision, train_head

#: Pictures in a batch, from each source alike.
_BATCH = 512
#: Rows whose cells tell the scale of each channel.
_SCALE_ROWS = 3000


def train_details(sources: list[Views], bits: int, steps: int, seed: int) -> DetailHead:
    """Returns a detail head, in eval mode. Every picture of ``sources`` needs at least two views."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    head = DetailHead(bits)
    head.pooling.fit_scale(_some_cells(sources, random))

    def loss() -> Tensor:
        parts = [_pairs(views, _BATCH // len(sources), random) for views in sources]
        cells, grain = (torch.cat([part[place] for part in parts]) for place in (0, 1))
        doubtful = torch.block_diag(*(part[2] for part in parts))  # type: ignore[no-untyped-call]
        with mixed_precision():
            outputs = head(cells.flatten(0, 1), grain.flatten(0, 1)).float().view(-1, 2, bits)
        return instance_loss(outputs[:, 0], outputs[:, 1], doubtful)

    return train_head("details", head, loss, steps)


def _some_cells(sources: list[Views], random: torch.Generator) -> Tensor:
    """Returns cells of random rows, (n, 16, CELL_CHANNELS) float32: a scale of each channel follows from them."""
    cells = [views.seen.cells for views in sources]
    rows = [torch.randperm(len(each), generator=random)[:_SCALE_ROWS] for each in cells]
    return torch.cat([each[some].float() for each, some in zip(cells, rows, strict=True)])


def _pairs(views: Views, count: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Returns two views of each of ``count`` subjects: cells (n, 2, …), grain (n, 2, …), and which pairs of subjects
    are doubtful, bool (n, n): parts of one file, cut in two ways, may show the same."""
    subjects = torch.randperm(len(views.file), generator=random)[:count]
    counts, first = views.count[subjects], views.first[subjects]
    one = (torch.rand(len(subjects), generator=random) * counts).long()
    other = (one + 1 + (torch.rand(len(subjects), generator=random) * (counts - 1)).long()) % counts
    seen = views.seen.rows(torch.stack((first + one, first + other), 1))
    file, tiling = views.file[subjects], views.tiling[subjects]
    return seen.cells, seen.grain, (file[:, None] == file) & (tiling[:, None] != tiling)

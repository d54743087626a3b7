"""What each phrase means, as a vector in the space of pictures: the text tower, in closed form.

    concepts of "car": sports car, cab, minivan, …  ─▶  a direction that these classes lie along, and others don't

A picture's part for classes is about p @ directions, for its probabilities p. The text that answers the sum of p over
some classes best, in the least squares sense with a ridge, is (directionsᵀ directions + ridge)⁻¹ directionsᵀ members:
nothing is to be learned by steps. The other parts have a dimension for each concept.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from training.vocabulary import BLOCKS
from training.words_network import PARTS, WIDTH

_RIDGE = 1.0


def meanings(vocabulary: Mapping[str, tuple[int, ...]], directions: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the row of each token of ``word_tokenizer(vocabulary)``, int64 (tokens,), and the rows, float32
    (rows, WIDTH): parts of length 1 or 0. Row 0, zero, is that of the tokens without a meaning."""
    row_of: dict[tuple[int, ...], int] = {}
    for concepts in vocabulary.values():
        row_of.setdefault(concepts, len(row_of) + 1)
    rows = torch.zeros(len(row_of) + 1, WIDTH)
    ridge = _RIDGE * torch.eye(directions.shape[1])
    answering = directions @ torch.linalg.inv(directions.T @ directions + ridge)
    for concepts, row in row_of.items():
        start = 0
        for (name, (first, end)), width in zip(BLOCKS.items(), PARTS, strict=True):
            members = [concept - first for concept in concepts if first <= concept < end]
            if members and name == "classes":
                rows[row, start : start + width] = functional.normalize(answering[members].sum(0), dim=0)
            elif members:
                rows[row, [start + member for member in members]] = len(members) ** -0.5
            start += width
    return torch.tensor([0, 0, *(row_of[concepts] for concepts in vocabulary.values())]), rows

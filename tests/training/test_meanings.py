"""What phrases mean: directions that answer for their classes, and a dimension for all else."""

import torch
from torch.nn import functional

from training.meanings import meanings
from training.vocabulary import BLOCKS
from training.words_network import PARTS, WIDTH

GARMENT, COLOUR = BLOCKS["garments"][0], BLOCKS["colours"][0]


def directions() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return functional.normalize(torch.randn(1000, PARTS[0], generator=random))


def test_tokens_of_one_meaning_share_a_row_and_those_without_have_none() -> None:
    row_of, rows = meanings({"cab": (468,), "taxi": (468,), "red": (COLOUR + 3,)}, directions())
    assert row_of.tolist() == [0, 0, 1, 1, 2]
    assert rows.shape == (3, WIDTH)
    assert not rows[0].any()


def test_a_wide_term_lies_along_its_classes_more_than_along_others() -> None:
    where = directions()
    row_of, rows = meanings({"car": (10, 20, 30)}, where)
    along = where @ rows[row_of[2], : PARTS[0]]
    assert set(along.topk(3).indices.tolist()) == {10, 20, 30}
    assert along.topk(4).values[3] < along.topk(3).values[2] / 1.5
    assert torch.isclose(rows[1].norm(), torch.tensor(1.0), atol=1e-5)


def test_every_part_of_a_meaning_has_length_one() -> None:
    _, rows = meanings({"orange dress": (5, GARMENT + 1, GARMENT + 2, COLOUR + 4)}, directions())
    classes, garment, colour, pattern = rows[1].split(list(PARTS))
    for part in (classes, garment, colour):
        assert torch.isclose(part.norm(), torch.tensor(1.0), atol=1e-5)
    assert garment.nonzero().flatten().tolist() == [1, 2]
    assert not pattern.any()

"""Colours by name, from pixels: a subject before a ground of another colour."""

import pytest
import torch
from torch import Tensor

from training.colours import COLOURS, ColourShares

NAMES = list(COLOURS)
SHARES = torch.jit.script(ColourShares((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).eval())


def picture(ground: tuple[int, int, int], subject: tuple[int, int, int]) -> Tensor:
    """(1, 3, 64, 64), normalised: the subject is the middle quarter."""
    pixels = torch.tensor(ground).float().view(1, 3, 1, 1).repeat(1, 1, 64, 64)
    pixels[:, :, 16:48, 16:48] = torch.tensor(subject).float().view(1, 3, 1, 1)
    return (pixels / 255 - 0.5) / 0.5


@pytest.mark.parametrize(
    ("ground", "subject", "names"),
    [
        ((250, 250, 250), (200, 30, 40), ("red", "white")),
        ((200, 30, 40), (250, 250, 250), ("white", "red")),
        ((226, 217, 203), (25, 40, 95), ("navy", "beige")),
        ((20, 20, 22), (240, 210, 50), ("yellow", "black")),
        ((128, 128, 128), (40, 120, 60), ("green", "grey")),
    ],
)
def test_the_subject_has_its_colour_and_the_border_the_grounds(
    ground: tuple[int, int, int], subject: tuple[int, int, int], names: tuple[str, str]
) -> None:
    of_subject, of_border = SHARES(picture(ground, subject))[0].split(len(NAMES))
    assert NAMES[int(of_subject.argmax())] == names[0]
    assert NAMES[int(of_border.argmax())] == names[1]
    assert of_subject.sum() == pytest.approx(1, abs=1e-4)
    assert of_border.sum() == pytest.approx(1, abs=1e-4)


def test_a_picture_of_one_colour_is_all_of_it() -> None:
    of_subject = SHARES(picture((50, 110, 200), (50, 110, 200)))[0, : len(NAMES)]
    assert of_subject[NAMES.index("blue")] > 0.9


def test_every_named_colour_is_called_so() -> None:
    for name, values in COLOURS.items():
        for value in values:
            shares = SHARES(picture(value, value))[0, : len(NAMES)]
            assert NAMES[int(shares.argmax())] == name, value

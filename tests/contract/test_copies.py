"""Which codes tell copies, and how many of their bits may differ."""

import pytest

from contract.closeness import Calibration, Curve
from contract.copies import CopyRule
from contract.model import ModelIdentity
from tests.vectors import spaces_of

CURVE = Curve(distances=(0, 16), shares=(1, 0))
WHOLE = Calibration(code=CURVE, detail=CURVE, copies_within=7, nothing_below=0.2)
CODES_ALONE = Calibration(code=CURVE, nothing_below=0.2)


@pytest.mark.parametrize(
    ("bits", "detail_bits", "calibration", "rule"),
    [
        (64, 256, WHOLE, ("detail", 256, 7)),
        (64, 256, CODES_ALONE, ("detail", 256, 10)),
        (64, 256, None, ("detail", 256, 10)),
        (64, 128, None, ("detail", 128, 5)),
        (64, None, None, ("code", 64, 2)),
        (64, None, CODES_ALONE, ("code", 64, 2)),
        (16, None, None, ("code", 16, 0)),
    ],
)
def test_by_the_calibration_or_as_was_measured(
    bits: int, detail_bits: int | None, calibration: Calibration | None, rule: tuple[str, int, int]
) -> None:
    model = ModelIdentity(
        name="m",
        sha256="a" * 64,
        spaces=spaces_of(bits, detail_bits),
        precision="float32",
        preprocessing={},
        calibration=calibration,
    )
    space, width, most = rule
    assert CopyRule.of(model) == CopyRule(space=space, bits=width, max_distance=most)

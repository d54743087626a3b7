"""A model's identity by its spaces, as it is written now and as it was before spaces had names."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from contract.closeness import Calibration, Curve
from contract.model import ModelIdentity
from contract.space import Space

CODE, DETAIL = Space(name="code", width=64), Space(name="detail", width=256)
COLOUR = Space(name="colour", kind="float16", width=3, metric="cosine")
REST: dict[str, Any] = {"name": "m", "sha256": "a" * 64, "precision": "float32", "preprocessing": {"image_size": 224}}


@pytest.mark.parametrize(
    ("spaces", "bits", "detail_bits"),
    [((CODE,), 64, None), ((CODE, DETAIL), 64, 256), ((CODE, DETAIL, COLOUR), 64, 256), ((COLOUR,), 0, None)],
)
def test_what_is_written_keeps_the_widths(spaces: tuple[Space, ...], bits: int, detail_bits: int | None) -> None:
    model = ModelIdentity(spaces=spaces, **REST)
    written = json.loads(model.model_dump_json())
    assert (written["bits"], written["detail_bits"]) == (model.bits, model.detail_bits) == (bits, detail_bits)
    assert ModelIdentity.model_validate(written) == model


@pytest.mark.parametrize(
    ("earlier", "spaces"),
    [
        ({"bits": 64}, (CODE,)),
        ({"bits": 64, "detail_bits": None}, (CODE,)),
        ({"bits": 64, "detail_bits": 256}, (CODE, DETAIL)),
    ],
)
def test_format_1(earlier: dict[str, Any], spaces: tuple[Space, ...]) -> None:
    assert ModelIdentity.model_validate(earlier | REST) == ModelIdentity(spaces=spaces, **REST)


@pytest.mark.parametrize("spaces", [(), (CODE, CODE)], ids=["none", "twice"])
def test_each_space_has_a_name_of_its_own(spaces: tuple[Space, ...]) -> None:
    with pytest.raises(ValidationError, match="each with a name of its own"):
        ModelIdentity(spaces=spaces, **REST)


def test_a_space_by_its_name() -> None:
    model = ModelIdentity(spaces=(CODE, COLOUR), **REST)
    assert (model.space("colour"), model.space("detail")) == (COLOUR, None)


def test_a_calibration_is_written_where_there_is_one() -> None:
    calibration = Calibration(code=Curve(distances=(0, 64), shares=(1, 0)), nothing_below=0.2)
    model = ModelIdentity(spaces=(CODE,), calibration=calibration, **REST)
    assert ModelIdentity.model_validate_json(model.model_dump_json()) == model
    without = model.model_copy(update={"calibration": None})
    assert "calibration" not in json.loads(without.model_dump_json()), "as it was written before there were any"

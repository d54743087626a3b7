"""The card of a detector: everything beside the weights that decides a picture's boxes.

It travels inside the TorchScript file.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from detection.errors import DetectorError
from detection.fitting import Fit

CARD_FILE = "detector.json"

#: What a network answers for one picture, in pixels of its input (detection/answers.py).
Form = Literal["boxes", "yolov5", "yolov8"]

_Share = Annotated[float, Field(ge=0, le=1)]


class DetectorCard(BaseModel):
    """Name and labels of a detector, how it takes pictures and what it answers.

    ``width`` and ``height`` of its input in pixels, and how pictures are brought to them; each channel's value in 0…1
    minus ``mean`` is divided by ``std``. Boxes with a score below ``threshold`` are left out, and those that overlap
    with a better one of their label by more than ``overlap``. ``training`` is free text for people: data, recipe,
    figures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[1] = 1
    name: str = Field(min_length=1)
    labels: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(min_length=1, max_length=10_000)
    width: int = Field(ge=16, le=4096)
    height: int = Field(ge=16, le=4096)
    fit: Fit = "letterbox"
    form: Form = "boxes"
    threshold: _Share = 0.25
    overlap: _Share = 0.45
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1, 1, 1)
    training: dict[str, JsonValue] = {}

    @field_validator("labels")
    @classmethod
    def each_once(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) != len(labels):
            raise ValueError("each label needs a name of its own")
        return labels


def parse_detector_card(text: str, source: str) -> DetectorCard:
    """Returns the card in ``text``. Raises a DetectorError that names ``source`` and the first wrong field."""
    try:
        return DetectorCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole card"
        raise DetectorError(f"{source} has a card that cannot be used: {where}: {first['msg']}") from error

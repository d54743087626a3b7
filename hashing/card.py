"""The card of a hash model: everything that decides which code a picture gets, beside the weights.

The card travels inside the TorchScript file (``_extra_files``), so that whoever has the model has its preprocessing.
Indexer and handler read the same card and cannot drift apart.
"""

import unicodedata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from hashing.errors import ModelError

CARD_FILE = "card.json"

#: Channel statistics of ImageNet (Deng et al., 2009), which nearly every published backbone expects.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

#: Models that come without a card say their input size by name, as in ``relahash-medium-64bits.pt``.
SIZE_BY_NAME = {"small": 224, "medium": 300, "large": 600}

Positive = Annotated[float, Field(gt=0)]


def plain_name(name: str) -> str:
    """``name`` of a class as it is compared: space around it, case, and how its accents are encoded, don't count."""
    return unicodedata.normalize("NFC", name).strip().casefold()


class Preprocessing(BaseModel):
    """How image bytes become the model's input. Two models with equal weights and unequal preprocessing differ.

    ``resize``: ``stretch`` squeezes the whole picture into the square; ``center-crop`` keeps the aspect ratio and
    cuts the middle. ``reducing_gap`` is Pillow's: above None, big pictures are first reduced by whole factors.
    ``jpeg_draft``: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as both its sides stay at least
    this many times ``image_size``; None decodes every pixel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    image_size: int = Field(ge=8, le=2048)
    resize: Literal["stretch", "center-crop"] = "stretch"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    reducing_gap: Annotated[float, Field(ge=1)] | None = None
    jpeg_draft: Annotated[float, Field(ge=1)] | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD


class ModelCard(BaseModel):
    """Name, width and preprocessing of a model, and where it comes from.

    ``detail_bits`` is the width of the second code, which tells pictures of one class apart; None where the model has
    none. ``classes`` names the rows of its buffer of class centroids. ``cuda_precision`` is the arithmetic on a GPU; on
    a CPU it is always float32. ``training`` is free text for people: data, recipe, figures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str = Field(min_length=1)
    bits: int = Field(ge=8, le=1024)
    detail_bits: Annotated[int, Field(ge=8, le=1024)] | None = None
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing
    cuda_precision: Literal["float32", "float16"] = "float16"
    training: dict[str, JsonValue] = {}

    @field_validator("bits", "detail_bits")
    @classmethod
    def whole_bytes(cls, bits: int | None) -> int | None:
        if bits is not None and bits % 8:
            raise ValueError(f"a code is stored in whole bytes, and {bits} is no multiple of 8")
        return bits

    @field_validator("classes")
    @classmethod
    def each_once(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        known = {plain_name(name) for name in classes}  # as they are asked for
        if "" in known or len(known) != len(classes):
            raise ValueError("each class needs a name of its own, whatever its case")
        return classes


def parse_card(text: str, source: str) -> ModelCard:
    """The card in ``text``, or a ModelError that names ``source`` and the first field that is wrong."""
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole card"
        raise ModelError(f"{source} has a model card that cannot be used: {where}: {first['msg']}") from error


def preprocessing_for(model_path: Path, image_size: int | None) -> Preprocessing:
    """Preprocessing of a model file without a card: the size that the caller gives, or the one its name implies."""
    if image_size is None:
        sizes = [size for word, size in SIZE_BY_NAME.items() if word in model_path.stem.lower()]
        if len(sizes) != 1:
            raise ModelError(
                f"{model_path.name} has no model card, and its name doesn't say small, medium or large: "
                "give its input size with --image_size"
            )
        image_size = sizes[0]
    try:
        return Preprocessing(image_size=image_size)
    except ValidationError as error:
        raise ModelError(f"--image_size {image_size}: {error.errors()[0]['msg']}") from error

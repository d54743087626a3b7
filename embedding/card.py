"""The card of a model: everything beside the weights that decides a picture's vectors.

The card travels inside the TorchScript file (``_extra_files``), so the model always comes with its preprocessing.
Indexer and handler read the same card and cannot drift apart.
"""

import unicodedata
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from contract.closeness import Calibration
from contract.space import CODE, DETAIL, EMBEDDING, Space
from embedding.errors import ModelError
from pictures.preparation import Preprocessing

CARD_FILE = "card.json"

#: Input sizes of models without a card, by a word in the file's name, as in ``relahash-medium-64bits.pt``.
SIZE_BY_NAME = {"small": 224, "medium": 300, "large": 600}


def plain_name(name: str) -> str:
    """The class ``name`` as compared: without surrounding space, case and differences in how accents are encoded."""
    return unicodedata.normalize("NFC", name).strip().casefold()


class TextTower(BaseModel):
    """The part of a model that embeds words. ``context_length`` is the most tokens that it reads, the marks of begin
    and end among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context_length: int = Field(ge=3, le=4096)


class ModelCard(BaseModel):
    """Name, width and preprocessing of a model, and where it comes from.

    ``aliases`` are further names by which users know it. ``detail_bits`` is the width of the second code, which tells
    pictures of one class apart; None if the model has none. ``embedding_width`` counts the dimensions of its float
    vectors; None if it makes codes alone. ``text`` describes its text tower. ``classes`` names the rows of its buffer
    of class centroids; of a model with a text tower, which takes any words, they are suggestions. ``cuda_precision`` is
    the arithmetic on a GPU; on a CPU it is always float32. ``calibration`` says what the distances of its vectors mean;
    None where that wasn't measured. ``crop``: it wants the main object of a query, where a detector is served that
    finds it. ``training`` is free text for people: data, recipe, figures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    bits: int = Field(ge=8, le=1024)
    detail_bits: Annotated[int, Field(ge=8, le=1024)] | None = None
    embedding_width: Annotated[int, Field(ge=1, le=65_536)] | None = None
    text: TextTower | None = None
    classes: tuple[str, ...] = ()
    preprocessing: Preprocessing
    cuda_precision: Literal["float32", "float16"] = "float16"
    calibration: Calibration | None = None
    crop: Literal["auto"] | None = None
    training: dict[str, JsonValue] = {}

    @field_validator("bits", "detail_bits")
    @classmethod
    def whole_bytes(cls, bits: int | None) -> int | None:
        if bits is not None and bits % 8:
            raise ValueError(f"a code is stored in whole bytes, and {bits} is no multiple of 8")
        return bits

    @model_validator(mode="after")
    def _has_what_goes_together(self) -> Self:
        if self.embedding_width and self.detail_bits:
            raise ValueError("a model has detail_bits or embedding_width, not both")
        if self.text and not self.embedding_width:
            raise ValueError("a text tower needs embedding_width")
        return self

    @model_validator(mode="after")
    def _calibrated_for_its_codes(self) -> Self:
        if self.calibration is not None:
            self.calibration.require_within(self.bits, self.detail_bits)
            if self.calibration.text is not None and not (self.classes or self.text):
                raise ValueError("the calibration has a curve for text, and the model knows no classes")
            if self.calibration.embedding is not None and not self.embedding_width:
                raise ValueError("the calibration has a curve for embedding, and the model makes none")
            if self.calibration.words is not None and not self.text:
                raise ValueError("the calibration has a curve for words, and the model has no text tower")
        return self

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces of its vectors, in the order of the model's outputs."""
        widths = {CODE: self.bits, DETAIL: self.detail_bits}
        codes = [Space(name=name, width=width) for name, width in widths.items() if width]
        if self.embedding_width:
            codes.append(Space(name=EMBEDDING, kind="float16", width=self.embedding_width, metric="cosine"))
        return tuple(codes)

    @field_validator("classes")
    @classmethod
    def each_once(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        known = {plain_name(name) for name in classes}  # as queries compare them
        if "" in known or len(known) != len(classes):
            raise ValueError("each class needs a name of its own, whatever its case")
        return classes


def parse_card(text: str, source: str) -> ModelCard:
    """The card in ``text``. Raises a ModelError that names ``source`` and the first wrong field."""
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole card"
        raise ModelError(f"{source} has a model card that cannot be used: {where}: {first['msg']}") from error


def preprocessing_for(model_path: Path, image_size: int | None) -> Preprocessing:
    """The preprocessing of a model file without a card: at the caller's size, or the one that its name implies."""
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

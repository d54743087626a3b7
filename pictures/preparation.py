"""How image bytes become a model's input: a part of the model's card."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Channel statistics of ImageNet (Deng et al., 2009), which nearly every published backbone expects.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Positive = Annotated[float, Field(gt=0)]

Decoding = Literal[1, 2]

#: How pictures are decoded for people, and for models that are trained from now on.
NEWEST_DECODING: Decoding = 2


class Preprocessing(BaseModel):
    """How image bytes become the model's input. Equal weights with unequal preprocessing are two models.

    ``decoding``: 1 takes samples as they are stored (pictures/as_stored.py), 2 as they are meant: by colour profile,
    range and alpha (pictures/as_meant.py). 1 isn't written, so cards and manifests from before this field stay equal.
    ``resize``: ``stretch`` squeezes the whole picture into the square; ``center-crop`` keeps the aspect ratio and
    cuts the middle. ``reducing_gap`` is Pillow's: unless None, big pictures are first reduced by whole factors.
    ``jpeg_draft``: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as both its sides stay at least
    this many times ``image_size``; None decodes every pixel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    decoding: Annotated[Decoding, Field(exclude_if=lambda decoding: decoding == 1)] = 1
    image_size: int = Field(ge=8, le=2048)
    resize: Literal["stretch", "center-crop"] = "stretch"
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    reducing_gap: Annotated[float, Field(ge=1)] | None = None
    jpeg_draft: Annotated[float, Field(ge=1)] | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD

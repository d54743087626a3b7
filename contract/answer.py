"""A worker's answer to a query, as clients, the gateway and the OpenAPI document see it.

A plain answer has the first two fields. ``debug`` and ``metadata`` in the request add the others. All fields describe
one state of the collection; a second request might meet another.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from contract.model import ModelIdentity
from contract.space import Space

_Box = tuple[int, int, int, int]
_Metadata = Annotated[Any, WithJsonSchema({"type": ["object", "null"]})]


class AnsweringModel(BaseModel):
    """The model that made the codes of both the query and the images."""

    name: str = Field(description="as its card says", examples=["relahash-small-64bits"])
    sha256: str = Field(description="of the model's file, hex", examples=["9f86d081884c7d65…"])
    spaces: tuple[Space, ...] = Field(description="the kinds of vectors that it makes")

    @classmethod
    def of(cls, identity: ModelIdentity) -> "AnsweringModel":
        return cls(name=identity.name, sha256=identity.sha256, spaces=identity.spaces)

    def space(self, name: str) -> Space | None:
        """The space called ``name``; None if the model makes no such vectors."""
        return next((space for space in self.spaces if space.name == name), None)

    def width(self, name: str) -> int | None:
        """The width of the space called ``name``; None if the model makes no such vectors."""
        space = self.space(name)
        return None if space is None else space.width


class CroppedBox(BaseModel):
    """Where the main object is, in pixels of the upright picture."""

    x: int = Field(description="left", examples=[120])
    y: int = Field(description="top", examples=[80])
    width: int = Field(examples=[300])
    height: int = Field(examples=[400])
    score: float = Field(description="the detector's confidence, 0 to 1", examples=[0.93])
    label: str = Field(description="what the detector calls it", examples=["object"])


class QueryAnswer(BaseModel):
    """The images found, best first; each list has one entry per path in `relevant`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "index_database_version": "1.2.0",
                "relevant": ["data/abc.com/69_abc_com.jpg"],
                "distances": [2],
            }
        }
    )

    index_database_version: str = Field(description="the version that answered")
    relevant: list[str] = Field(description="paths, best first, as the listing spells them")
    parents: list[str] | SkipJsonSchema[None] = Field(
        None,
        description="with `collapse`, or where some images are regions: the picture that each is on",
    )
    boxes: list[_Box | None] | SkipJsonSchema[None] = Field(
        None,
        description="beside `parents`: where on it each region is: left, top, width and height in pixels of its full "
        "size; null for what is no region",
    )
    cropped_image: str | SkipJsonSchema[None] = Field(
        None, description="with `crop`: what was looked for, base64 of a JPEG of at most 1024 pixels a side"
    )
    cropped_box: CroppedBox | SkipJsonSchema[None] = Field(
        None,
        description="with `crop`: where it is on the query; absent where no object was found",
    )
    closeness: list[float] | SkipJsonSchema[None] = Field(
        None,
        description="0 to 1: the share of pictures so far apart that show the same kind of thing or, with `rank` "
        "`detail`, are the very same picture; only where that was measured for the model",
    )
    nothing_like_it: bool | SkipJsonSchema[None] = Field(
        None,
        description="beside `closeness`: true if even the best image, but for the one asked about, is hardly like the "
        "query",
    )
    distances: list[int] | list[float] | SkipJsonSchema[None] = Field(
        None,
        description="with `debug`: differing bits of the codes; with `rank` `detail`, of the detail codes; where "
        "`ordered_by` is `embedding`, 1 − cos",
    )
    ordered_by: str | SkipJsonSchema[None] = Field(
        None,
        description="with `debug`, where the model makes embeddings: the kind of vector whose `distances` order the "
        "images",
        examples=["embedding"],
    )
    rows: list[int | None] | SkipJsonSchema[None] = Field(
        None, description="with `debug`: the image's number in the version; null where it was added since"
    )
    codes: dict[str, list[str]] | SkipJsonSchema[None] = Field(
        None, description="with `debug`: the images' own codes by kind, hex; not their embeddings"
    )
    distances_by_space: dict[str, list[int] | list[float]] | SkipJsonSchema[None] = Field(
        None, description="with `debug`: by kind of vector that the query has, differing bits, or 1 − cos"
    )
    embeddings: list[list[float]] | SkipJsonSchema[None] = Field(
        None, description="with `debug`: the images' own embeddings, where the model makes some"
    )
    model: AnsweringModel | SkipJsonSchema[None] = Field(None, description="with `debug`")
    metadata: list[_Metadata] | SkipJsonSchema[None] = Field(
        None, description="with `metadata`: as given; null for an image that has none"
    )

"""Answers of the Idios routes."""

import json
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field, JsonValue
from pydantic.json_schema import SkipJsonSchema


class Found(BaseModel):
    """One image that is like the one asked about."""

    url: str = Field(description="its name", examples=["https://iiif.example.org/letters/001/full/full/0/default.jpg"])
    metadata: dict[str, JsonValue] | None = Field(
        description="as it was added; null if nothing was", examples=[{"language": "ja"}]
    )
    similarity: float = Field(
        ge=0,
        le=100,
        description="100 · (1 − 2 · differing bits / bits): 100 for equal codes, 0 where half of the bits differ; of "
        "the codes or, with `rank` `detail`, of the detail codes; 100 · cos where the model makes embeddings",
        examples=[96.875],
    )
    closeness: float | SkipJsonSchema[None] = Field(
        None,
        description="0 to 1: the share of pictures so far apart that show the same kind of thing or, with `rank` "
        "`detail`, are the very same picture; only where that was measured for the model",
        examples=[0.93],
    )
    differing_bits: int | SkipJsonSchema[None] = Field(
        None,
        description="with `turned`: between its code (detail code, with `rank` `detail`) and that of the picture in "
        "the position that found it",
    )


class Failed(BaseModel):
    """One image that was not added."""

    url: str = Field(description="as it was sent", examples=["https://iiif.example.org/letters/404.jpg"])
    error: str = Field(description="why not", examples=["iiif.example.org answers with status 404"])
    status: int = Field(
        description="what `add` would answer: 422, or 502 or 504 where the URL's server fails and may be asked later",
        examples=[422],
    )


class Bulk(BaseModel):
    """What became of many images, as they were spelled and in the order they were sent."""

    added: list[str] = Field(
        description="images that are new, or were added again", examples=[["https://iiif.example.org/letters/001.jpg"]]
    )
    found: list[str] = Field(
        description="with `known` `keep`: images that were there already; nothing was done to them", examples=[[]]
    )
    failed: list[Failed] = Field(description="the others")


class Dumped(BaseModel):
    """One image, as ``restore`` takes it."""

    url: str = Field(description="its name", examples=["https://iiif.example.org/letters/001/full/full/0/default.jpg"])
    metadata: dict[str, JsonValue] | None = Field(
        description="as it was added; null if nothing was", examples=[{"language": "ja"}]
    )
    embedding: str | list[float] = Field(
        description="base64 of the code, and of the detail code behind it if the model gives one; numbers where the "
        "model makes embeddings",
        examples=["nzoAwdLk9Qc="],
    )
    code: str | SkipJsonSchema[None] = Field(None, description="beside numbers: the code, in base64")
    model: str | dict[str, JsonValue] = Field(
        description="the model that made it: its whole identity in the first image of an answer, then name and sha256 "
        "in short",
        examples=["relahash-small-64bits@9f86d081884c7d65"],
    )


def json_answer(value: Any) -> Response:
    """Returns ``value`` as JSON, with non-ASCII characters unescaped."""
    return Response(json.dumps(value, ensure_ascii=False, separators=(",", ":")), media_type="application/json")

"""Requests to the Idios routes: a form with picture files, or JSON under any other content type.

application/json       {"url": "https://…", "metadata": {…}}
multipart/form-data    image=@file, url=…, metadata={…}        one part per field; metadata and filter are JSON text
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, TypeVar

from fastapi import Request
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, from_json
from starlette.datastructures import UploadFile
from typing_extensions import TypedDict

from contract.amounts import bytes_beyond
from contract.query import DEFAULT_RANK, MAX_TOP_K, Finite, MaxDistance, Rank, TextWeight, described
from gateway.access.whole_bodies import MAX_FIELDS_BYTES
from gateway.idios.errors import Problem, Unprocessable, invalid, unprocessable
from gateway.idios.old_words import bad_json
from pictures.base64_text import file_in

#: As in Idios, which takes it from Milvus.
MAX_PAGE = 16_384
MAX_METADATA = 65_535
MAX_RESULTS = MAX_TOP_K

Body = TypeVar("Body")

#: An escaped NUL in JSON text: an even number of backslashes may stand before it.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

_JSON_PARTS = ("metadata", "filter", "embedding")
_URL = "https://iiif.example.org/letters/001/full/full/0/default.jpg"


#: JSON text as filters need it, with non-ASCII characters unescaped.
_text_of = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode


def _metadata_text(metadata: Any) -> str | None:
    if metadata is None:
        return None
    if not isinstance(metadata, dict):
        raise PydanticCustomError("dict_type", "Input should be a valid dictionary")
    try:
        text = _text_of(metadata)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise PydanticCustomError(
            "value_error.json", "metadata has a number that JSON cannot say, or a character that isn't one"
        ) from error
    if "\\u0000" in text and _ESCAPED_NUL.search(text):  # SQLite would end the string there
        raise PydanticCustomError("value_error.json", "metadata has a character of value zero")
    if len(text) > MAX_METADATA:
        raise PydanticCustomError(
            "value_error.metadata_json_too_long",
            "metadata json too long ({length} > {limit})",
            {"length": len(text), "limit": MAX_METADATA},
        )
    return text


#: An image's name: its URL, or any name it was uploaded by. Without NUL, which ends strings early in places.
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        pattern=r"^[^\x00]+$",
        description="URL of the image, which is its name in the collection",
        examples=[_URL],
    ),
]
#: A JSON object, validated to the JSON text that is stored.
Metadata = Annotated[
    str | None,
    PlainValidator(_metadata_text),
    WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "null"}]}),
    Field(
        description=f"any JSON object, of at most {MAX_METADATA:,} characters as JSON text",
        examples=[{"tags": ["text"], "language": "ja"}],
    ),
]
Filter = Annotated[
    dict[str, JsonValue] | None,
    Field(description="only images whose metadata meet this", examples=[{"language": {"$in": ["ja", "it"]}}]),
]


class _Fields(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Removal(_Fields):
    """Which image."""

    url: Name


class NewImage(_Fields):
    """An image to add. Of one that is there already, ``metadata`` are replaced, by nothing unless given."""

    url: Name
    metadata: Metadata = None


class Question(_Fields):
    """What to look for: images like the one at ``url`` or like ``embedding``, like ``text``, or both. Order and
    greatest distance are as in every search (contract/query.py)."""

    url: Name | None = None
    text: Annotated[
        str | None,
        Field(
            max_length=4096,
            description="any words, where the model takes them, beside a picture too; elsewhere a class of the model",
            examples=["Dress"],
        ),
    ] = None
    text_weight: Annotated[TextWeight | None, Field(description=described("text_weight"))] = None
    negative_text: Annotated[
        str | None, Field(min_length=1, max_length=4096, description=described("negative_text"))
    ] = None
    embedding: Annotated[
        list[Finite] | None, Field(min_length=1, description="instead of a picture: its embedding, by the same model")
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_RESULTS, description="how many at most")] = 10
    rank: Annotated[Rank, Field(description=described("rank"))] = DEFAULT_RANK
    max_distance: Annotated[MaxDistance | None, Field(description=described("max_distance"))] = None
    turned: Annotated[
        bool,
        Field(
            description="true also looks for the picture turned by 90°, 180° or 270° and mirrored; of an image of the "
            "collection, it is fetched again for that"
        ),
    ] = False
    exact: Annotated[bool, Field(description=described("exact"))] = False
    filter: Filter = None


class ImagePair(_Fields):
    """Two images."""

    url: Name
    other: Name


class Page(_Fields):
    """A part of all images, sorted by URL."""

    cursor: Annotated[
        str | None,
        Field(max_length=4096, pattern=r"^[^\x00]*$", description="the last URL of the page before", examples=[_URL]),
    ] = None
    limit: Annotated[int | None, Field(ge=1, le=MAX_PAGE, description="how many at most; 16384 unless given")] = None
    filter: Filter = None


class Count(_Fields):
    """Which images to count; all without a filter."""

    filter: Filter = None


class BulkImage(TypedDict):
    """One of many images to add."""

    url: Name
    metadata: NotRequired[Metadata]


class StoredImage(TypedDict):
    """One image as ``dump`` gives it."""

    url: Name
    metadata: NotRequired[Metadata]
    embedding: Annotated[
        str | list[float],
        Field(
            description="base64 or hex of the code, the detail code behind it if the model gives one; "
            "or a number for each bit, positive for 1; or the numbers of an embedding, where the model makes some",
            examples=["nzoAwdLk9Qc="],
        ),
    ]
    code: NotRequired[
        Annotated[
            str | None,
            Field(description="beside an embedding: base64 or hex of the code; made of the embedding unless given"),
        ]
    ]
    model: NotRequired[
        Annotated[
            str | dict[str, JsonValue] | None,
            Field(description="the model that made it, as `dump` says it", examples=["grid@9f86d081884c7d65"]),
        ]
    ]


removal = TypeAdapter(Removal)
new_image = TypeAdapter(NewImage)
question = TypeAdapter(Question)
image_pair = TypeAdapter(ImagePair)
page = TypeAdapter(Page)
count = TypeAdapter(Count)
bulk = TypeAdapter(list[BulkImage])
stored = TypeAdapter(list[StoredImage])


@dataclass(frozen=True)
class RequestFields:
    """A request's fields, not yet validated: ``json``, or, from a form, its ``parts`` and its picture ``files``."""

    json: bytes = b""
    parts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    form: bool = False

    def understood(
        self, adapter: TypeAdapter[Body], defaults: Mapping[str, str] | None = None, *, optional: bool = False
    ) -> Body:
        """Returns the fields validated by ``adapter``; ``defaults`` are values for parts that the form lacks.

        Raises Unprocessable. Where the body is ``optional``, none at all or null counts as an empty object.
        """
        text = self.json.strip()
        try:
            if self.form:
                return adapter.validate_python({**(defaults or {}), **self.parts})
            if text in (b"", b"null"):
                if not optional:
                    raise unprocessable("field required", "body", kind="value_error.missing")
                text = b"{}"
            return adapter.validate_json(text)
        except ValidationError as error:
            found = error.errors(include_url=False)
            if found[0]["type"] == "json_invalid":
                raise Unprocessable([Problem(**bad_json(self.json))]) from error
            raise invalid(found, "body") from error


async def read_body(request: Request, *files: str) -> RequestFields:
    """Returns the fields of ``request``; in a form, the parts named ``files`` are pictures. Raises Unprocessable for
    parts of the wrong kind and fields of more than MAX_FIELDS_BYTES, and HTTPException (400) for an unreadable form."""
    content_type = request.headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        return RequestFields(json=_short(await request.body(), "body"))
    parts: dict[str, Any] = {}
    pictures: dict[str, bytes] = {}
    async with request.form(max_files=8, max_fields=32) as form:
        for name, value in form.multi_items():
            if name in files:
                if not isinstance(value, UploadFile):
                    raise unprocessable("must be a file", "body", name, kind="value_error.file")
                pictures[name] = file_in(await value.read())
            elif isinstance(value, UploadFile):
                parts[name] = _text(name, _short(await value.read(), "body", name))
            else:
                parts[name] = value
    for name in _JSON_PARTS:
        if isinstance(parts.get(name), str):
            parts[name] = _json(name, parts[name])
    # A form also sends its empty fields; they count as absent.
    return RequestFields(parts={name: value for name, value in parts.items() if value != ""}, files=pictures, form=True)


def _short(value: bytes, *loc: str) -> bytes:
    if len(value) > MAX_FIELDS_BYTES:
        message = f"has, besides pictures, {bytes_beyond(len(value), MAX_FIELDS_BYTES)}"
        raise unprocessable(message, *loc, kind="value_error.too_long")
    return value


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise unprocessable("is not text", "body", name, kind="value_error.text") from error


def _json(name: str, text: str) -> Any:
    if not text.strip():
        return ""
    try:
        return from_json(text)
    except ValueError as error:
        raise unprocessable(
            f"must be JSON ({str(error)[:100]})", "body", name, kind="value_error.jsondecode"
        ) from error


def documented(
    adapter: TypeAdapter[Any], example: Any, *, files: Mapping[str, str] | None = None, required: bool = True
) -> dict[str, Any]:
    """Returns the ``openapi_extra`` of a route that takes ``adapter``'s fields as JSON and, if it takes pictures, as a
    form; ``files`` are the pictures' names and descriptions."""
    schema = _inlined(adapter.json_schema())
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": example}}
    if files:
        pictures = {name: {"type": "string", "format": "binary", "description": text} for name, text in files.items()}
        content["multipart/form-data"] = {
            "schema": {"type": "object", "properties": {**schema["properties"], **pictures}}
        }
    return {"requestBody": {"required": required, "content": content}}


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns ``schema`` with its references replaced by what they refer to: only FastAPI can add to the part of the
    document that references point into."""
    definitions = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                # JsonValue is anything at all; it refers to itself.
                name = node["$ref"].removeprefix("#/$defs/")
                rest = {key: value for key, value in node.items() if key != "$ref"}
                return rest if name == "JsonValue" else {**inline(definitions[name]), **rest}
            return {key: inline(value) for key, value in node.items()}
        return [inline(each) for each in node] if isinstance(node, list) else node

    inlined: dict[str, Any] = inline(schema)
    return inlined

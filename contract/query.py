"""The fields of a request, with their limits and meanings, defined once.

The worker parses requests with it. The OpenAPI document, the form of ``/api/search``, the options of ``hashlake
search`` and the README's table are made from it.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, WithJsonSchema

from contract.names import DEFAULT_COLLECTION

#: How images are ordered: by the code (what a picture shows) or by the detail code (which picture it is).
Rank = Literal["distance", "detail"]
RANKS: tuple[Rank, ...] = get_args(Rank)
DEFAULT_RANK: Rank = "distance"

DEFAULT_TOP_K = 10
#: As many as Milvus, and so Idios, gives.
MAX_TOP_K = 16_384
#: No code is wider than this, so no image is farther.
MAX_DISTANCE = 1024

#: The most embeddings in one request of the gateway for their codes.
MAX_COMPLETED = 1024

#: How much words beside a picture count, the picture having the rest.
DEFAULT_TEXT_WEIGHT = 0.5

TextWeight = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
#: Whether a query is cut down to its main object before it is hashed.
Crop = Literal["auto", "none"]

Diversity = Annotated[float, Field(ge=0, le=MAX_TOP_K, allow_inf_nan=False)]
TopK = Annotated[int, Field(ge=1, le=MAX_TOP_K)]
MaxDistance = Annotated[int, Field(ge=0, le=MAX_DISTANCE)]

#: The subject of a request: it has one of these fields, and may have text beside one of WITH_TEXT.
SUBJECTS = ("image", "path", "text", "code", "embedding")
WITH_TEXT = ("image", "path", "embedding")


Finite = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Wanted:
    """What a field must be, in words for a client that sent something else."""

    words: str


class QueryFields(BaseModel):
    """A request as sent. A null field, or an empty one in a form, counts as absent; unknown fields are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)

    image: Annotated[str | None, Wanted("a string of base64")] = Field(
        None,
        description="the picture: base64 in JSON (standard or URL-safe, padded or not, `data:` prefix allowed), or the "
        "file itself as a part",
    )
    path: Annotated[str | None, Wanted("the path of an indexed image")] = Field(
        None,
        description="instead of `image`: an indexed image, as answers spell it; finds images like it by its stored "
        "codes",
    )
    text: Annotated[str | None, Wanted("words")] = Field(
        None,
        description="instead of `image`: words, where the model takes any; elsewhere the name of a class that the "
        "model was trained on, in any case; finds its pictures. Beside `image`, `path` or `embedding`, where the model "
        "takes any words: what else images should show",
    )
    text_weight: Annotated[TextWeight | None, Wanted("a number from 0 to 1")] = Field(
        None,
        description="how much `text` counts beside a picture, which has the rest: 0 to 1, default "
        f"{DEFAULT_TEXT_WEIGHT}",
    )
    negative_text: Annotated[str | None, Wanted("words")] = Field(
        None, description="what images should not be like, where the model takes any words"
    )
    embedding: Annotated[list[Finite] | None, Wanted("a list of numbers")] = Field(
        None, description="instead of `image`: an embedding, of a picture or a text, by the same model"
    )
    code: Annotated[str | None, Wanted("a string of hex digits")] = Field(
        None, description="instead of `image`: the code of an earlier query, in hex"
    )
    detail_code: Annotated[str | None, Wanted("a string of hex digits")] = Field(
        None, description="beside `code`: the detail code of that query, in hex, which `rank` `detail` needs"
    )
    top_k: Annotated[TopK, Wanted(f"an integer from 1 to {MAX_TOP_K}")] = Field(
        DEFAULT_TOP_K,
        validation_alias=AliasChoices("top_k", "topk"),
        description=f"how many answers, 1 to {MAX_TOP_K}, default {DEFAULT_TOP_K} (`topk` works too)",
    )
    max_distance: Annotated[MaxDistance | None, Wanted(f"an integer from 0 to {MAX_DISTANCE}")] = Field(
        None,
        description=f"leave out images whose codes differ in more bits, 0 to {MAX_DISTANCE}, whatever the `rank`; "
        "there may then be fewer answers than `top_k`",
    )
    rank: Annotated[Rank, Wanted(" or ".join(f'"{rank}"' for rank in RANKS))] = Field(
        DEFAULT_RANK,
        description="`distance` (default), or `detail`: the pictures most like this very one, whatever class the model "
        "sees in them",
    )
    turned: Annotated[bool, Wanted("true or false")] = Field(
        False,
        description="true, beside `image`, also looks for it turned by 90°, 180° or 270° and mirrored: an image counts "
        "by the nearest of the eight positions",
    )
    exact: Annotated[bool, Wanted("true or false")] = Field(
        False,
        description="true compares all embeddings, where the model makes some; without it, those of a shortlist that "
        "is sized to hold 99% of the nearest (the version's manifest says what was measured)",
    )
    collapse: Annotated[bool, Wanted("true or false")] = Field(
        False,
        description="true gives the best of each picture alone: of its regions (`x.jpg#xywh=…`), its crops "
        "(`x_crop0.jpg`) and itself; `top_k` then counts pictures",
    )
    diversity: Annotated[Diversity, Wanted(f"a number from 0 to {MAX_TOP_K}")] = Field(
        1,
        description="n gives every n-th of n times as many answers, `top_k` in all; `top_k` times n is at most "
        f"{MAX_TOP_K}",
    )
    crop: Annotated[Crop | None, Wanted('"auto" or "none"')] = Field(
        None,
        description="`auto`, beside `image`: looks for its main object alone, if the server's detector finds one, and "
        "answers what it saw as `cropped_image`; `none`: for the whole picture; without it, as the server is set",
    )
    collection: Annotated[str, Wanted("a collection's name")] = Field(
        DEFAULT_COLLECTION, description="the collection to search; without it, the datalake's"
    )
    filter: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(
        None, description="only images whose metadata meet this"
    )
    metadata: Annotated[bool, Wanted("true or false")] = Field(
        False, description="true adds the `metadata` of each image"
    )
    debug: Annotated[bool, Wanted("true or false")] = Field(
        False,
        description="true adds `distances`, one for each path: differing bits of the codes or, with `rank` "
        "`detail`, of the detail codes, or 1 − cos of the embeddings; the rows, codes and distances of each kind; the "
        "model; and headers: the query's codes, the time of each step",
    )


#: What each field must be, in words.
WANTED = {
    name: words
    for name, field in QueryFields.model_fields.items()
    for words in [each.words for each in field.metadata if isinstance(each, Wanted)]
}


def described(name: str) -> str:
    """The description of the field ``name``."""
    return QueryFields.model_fields[name].description or ""


def request_schema(*, as_form: bool) -> dict[str, Any]:
    """The JSON schema of a request's fields. ``as_form``: the picture is a file."""
    properties: dict[str, dict[str, Any]] = QueryFields.model_json_schema()["properties"]
    for field in properties.values():
        del field["title"]
        if field.get("default", ...) is None:
            del field["default"]
        if "anyOf" in field:  # null counts as absent
            field |= field.pop("anyOf")[0]
    if as_form:
        properties["image"] |= {"format": "binary"}
    return {"type": "object", "properties": properties}

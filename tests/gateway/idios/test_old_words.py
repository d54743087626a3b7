"""Problems in pydantic 1's words, against pydantic 1 itself, which pydantic 2 brings."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, v1

from gateway.idios import bodies
from gateway.idios.bodies import RequestFields
from gateway.idios.errors import Unprocessable
from gateway.idios.old_words import bad_json


class NewImage(v1.BaseModel):
    """As Idios declares it."""

    url: v1.HttpUrl
    metadata: dict[str, Any] | None


class Question(v1.BaseModel):
    text: str | None
    url: v1.HttpUrl | None
    limit: v1.conint(ge=1, le=16_384) = 10  # type: ignore[valid-type]


class Page(v1.BaseModel):
    cursor: str | None
    limit: v1.conint(ge=1, le=16_384) | None  # type: ignore[valid-type]


class Bulk(v1.BaseModel):
    __root__: list[NewImage]


@pytest.mark.parametrize(
    ("adapter", "old", "body"),
    [
        (bodies.new_image, NewImage, {}),
        (bodies.new_image, NewImage, {"url": None}),
        (bodies.new_image, NewImage, {"url": ""}),
        (bodies.new_image, NewImage, {"metadata": "text"}),
        (bodies.new_image, NewImage, {"url": "http://a.example/", "metadata": "text"}),
        (bodies.question, Question, {"limit": 0}),
        (bodies.question, Question, {"limit": 16_385}),
        (bodies.question, Question, {"limit": "many"}),
        (bodies.question, Question, {"limit": None}),
        (bodies.page, Page, {"limit": 0}),
        (bodies.bulk, Bulk, [{"url": "http://a.example/"}, {}]),
    ],
)
def test_as_pydantic_1_says_it(adapter: TypeAdapter[Any], old: type[v1.BaseModel], body: Any) -> None:
    with pytest.raises(v1.ValidationError) as expected:
        old.parse_obj(body)
    with pytest.raises(Unprocessable) as caught:
        RequestFields(json=json.dumps(body).encode()).understood(adapter)
    problems = [each.model_dump(exclude_none=True) for each in caught.value.problems]
    said = [{**each, "loc": ["body", *(place for place in each["loc"] if place != "__root__")]} for each in
            expected.value.errors()]  # fmt: skip
    assert problems == said


@pytest.mark.parametrize("text", [b"{", b"", b'{"url": }', b'{"url": "a"} x', b"\n\n[1,"])
def test_where_json_breaks_off(text: bytes) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(text)
    error = caught.value
    assert bad_json(text) == {
        "loc": ["body", error.pos],
        "msg": str(error),
        "type": "value_error.jsondecode",
        "ctx": {"msg": error.msg, "pos": error.pos, "lineno": error.lineno, "colno": error.colno},
    }


@pytest.mark.parametrize("text", [b"\xff\xfe\xff", b"[" * 100_000])
def test_what_says_no_place(text: bytes) -> None:
    assert bad_json(text)["loc"] == ["body"]

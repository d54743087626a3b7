"""The fields of a request are said once: the README's table, the OpenAPI document and the form are made of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contract.query import MAX_DISTANCE, MAX_TOP_K, RANKS, SUBJECTS, WANTED, QueryFields, request_schema

REPOSITORY = Path(__file__).parents[2]


def test_the_readme_has_the_table() -> None:
    rows = [f"| `{name}` | {field.description} |" for name, field in QueryFields.model_fields.items()]
    table = "\n".join(["| Field | Meaning |", "|---|---|", *rows, ""])
    assert table in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_document_has_the_schema() -> None:
    document = json.loads((REPOSITORY / "docs" / "openapi.json").read_text(encoding="utf-8"))
    content = document["paths"]["/predictions/image-retrieval-v1.0"]["post"]["requestBody"]["content"]
    assert content["application/json"]["schema"] == request_schema(as_form=False)
    assert content["multipart/form-data"]["schema"] == request_schema(as_form=True)


def test_the_form_of_the_search_has_the_same_limits_and_words() -> None:
    document = json.loads((REPOSITORY / "docs" / "openapi.json").read_text(encoding="utf-8"))
    form: dict[str, Any] = document["components"]["schemas"]["Body_search"]["properties"]
    fields = request_schema(as_form=True)["properties"]
    assert form.keys() == (fields.keys() | {"url"}) - {"metadata", "debug"}
    for name in form.keys() - {"image", "url", "embedding", "filter"}:  # the last two are text in a form
        assert form[name]["description"] == fields[name]["description"]
        limits = form[name] | form[name].get("anyOf", [{}])[0]
        for what in ("minimum", "maximum", "enum", "type"):
            assert limits.get(what) == fields[name].get(what)


def test_every_field_says_what_it_means_and_must_be() -> None:
    fields = QueryFields.model_fields
    assert all(field.description for field in fields.values())
    assert WANTED.keys() == fields.keys() - {"filter"}, "a filter's parser has words of its own"
    assert set(SUBJECTS) <= fields.keys()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"topk": 3}, QueryFields(top_k=3)),
        ({"top_k": 3, "topk": 4}, QueryFields(top_k=3)),
        ({"top_k": MAX_TOP_K, "rank": RANKS[-1]}, QueryFields(top_k=16_384, rank="detail")),
        ({"max_distance": 0}, QueryFields(max_distance=0)),
        ({"diversity": 0.3}, QueryFields(diversity=0.3)),
        ({"sort": "newest"}, QueryFields()),
    ],
)  # fmt: skip
def test_what_is_understood(given: dict[str, Any], expected: QueryFields) -> None:
    assert QueryFields.model_validate(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        {"top_k": 0},
        {"top_k": MAX_TOP_K + 1},
        {"top_k": "3"},
        {"top_k": True},
        {"topk": 3.0},
        {"max_distance": -1},
        {"max_distance": MAX_DISTANCE + 1},
        {"rank": "near"},
        {"debug": 1},
        {"collapse": "yes"},
        {"diversity": -1},
        {"diversity": "3"},
        {"crop": True},
        {"metadata": "true"},
        {"path": 5},
        {"collection": ["shoes"]},
    ],
)
def test_what_is_not(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ValidationError) as refused:
        QueryFields.model_validate(given)
    assert refused.value.errors()[0]["loc"][0] == name

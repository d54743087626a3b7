"""A filter means in PostgreSQL what it says: the same as a few lines of Python do, on any metadata."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.engines.postgres_filter import condition_of
from searcher.filters import MAX_CONDITIONS, MAX_DEPTH, MAX_ESCAPED, MAX_VALUES, parse_filter
from tests.postgres import PostgresServer
from tests.searcher.filter_cases import (
    BY_HAND,
    DOCUMENTS,
    DOCUMENTS_BY_HAND,
    FILTERS,
    NOTHING,
    SCALARS,
    STORED,
    TESTS,
    kind,
    paths_of,
    right_rows,
)  # fmt: skip

Server = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[Server]:
    with psycopg.connect(postgres.address(), autocommit=True) as connection:
        yield connection


def rows(server: Server, documents: list[Any], given: Any) -> list[int]:
    """Which of ``documents`` the filter finds; it says yes or no to each, never NULL."""
    condition = condition_of(parse_filter(given), "metadata")
    texts = [None if each is NOTHING else json.dumps(each, ensure_ascii=False) for each in documents]
    answers = server.execute(
        f"SELECT {condition.text} FROM unnest(%s::text[]::jsonb[]) WITH ORDINALITY AS i(metadata, row) ORDER BY row",
        (*condition.parameters, texts),
    ).fetchall()
    assert {answer for (answer,) in answers} <= {True, False}
    return [row for row, (answer,) in enumerate(answers) if answer]


class TestMeaning:
    @settings(max_examples=150)
    @given(documents=st.lists(DOCUMENTS | st.just(NOTHING), min_size=1, max_size=8), given=FILTERS)
    def test_random_filters_find_what_python_finds(
        self, documents: list[Any], given: dict[str, Any], server: Server
    ) -> None:
        assert rows(server, documents, given) == right_rows(documents, given)

    @settings(max_examples=100)
    @given(documents=st.lists(DOCUMENTS, min_size=1, max_size=6), test=TESTS, data=st.data())
    def test_and_so_do_filters_of_what_is_there(
        self, documents: list[Any], test: Any, data: st.DataObject, server: Server
    ) -> None:
        paths = [path for document in documents for path in paths_of(document)]
        given = {data.draw(st.sampled_from(paths)) if paths else "a": test}
        assert rows(server, documents, given) == right_rows(documents, given)

    @settings(max_examples=100)
    @given(scalars=st.lists(SCALARS, min_size=2, max_size=8), data=st.data())
    def test_scalars_are_compared_as_in_python(self, scalars: list[Any], data: st.DataObject, server: Server) -> None:
        scalar = data.draw(st.sampled_from(scalars))
        documents = [{"a": each} for each in scalars]
        for operator in ["$eq", "$ne"] + (["$lt", "$lte", "$gt", "$gte"] if kind(scalar) in ("number", "str") else []):
            given = {"a": {operator: scalar}}
            assert rows(server, documents, given) == right_rows(documents, given)

    @pytest.mark.parametrize(("given", "expected"), BY_HAND)
    def test_by_hand(self, given: dict[str, Any], expected: list[int], server: Server) -> None:
        assert rows(server, DOCUMENTS_BY_HAND, given) == expected

    @pytest.mark.parametrize(("stored", "given"), STORED)
    def test_what_can_be_stored_can_be_asked_for(
        self, stored: dict[str, Any], given: dict[str, Any], server: Server
    ) -> None:
        documents = [{"other": 1}, stored, NOTHING]
        assert rows(server, documents, given) == [1]
        assert rows(server, documents, {"$not": given}) == [0, 2]


class TestSafety:
    @pytest.mark.parametrize("key", ["' OR true --", "%s", "%(x)s", "{}", "{a,b}", "-1", "01", " 1", "+0", "0x0", "é"])
    def test_keys_are_only_keys(self, key: str, server: Server) -> None:
        documents = [{"x": 1}, {"x": {key: 1}}, {"x": [1, 1]}, {"x": {"a": 1, "": 1, "0": 1}}, NOTHING]
        assert rows(server, documents, {f"x.{key}": 1}) == [1]

    @pytest.mark.parametrize("value", ["' OR true --", '"', "\\", "]", "?", "$.a", "\n", "{}", "%s", "😀"])
    def test_strings_are_only_strings(self, value: str, server: Server) -> None:
        documents = [{"a": value}, {"a": "a"}, {"a": json.dumps(value)}, {value: value}]
        for test in (value, {"$in": [value, value + "!"]}, {"$gte": value, "$lte": value}):
            assert rows(server, documents, {"a": test}) == [0]

    def test_nothing_given_is_part_of_the_sql(self) -> None:
        condition = condition_of(parse_filter({"size.width": {"$gt": 5}, "tags.0": {"$in": ["red", 3]}}), "metadata")
        assert not {"size", "width", "tags", "red", "3"} & set(condition.text.replace("'", " ").split())
        assert condition.text.count("%s") == len(condition.parameters)

    @pytest.mark.parametrize(
        "given",
        [
            {"$or": [{"a": number} for number in range((MAX_CONDITIONS - 1) // 2)]},
            {f"a.{number}.0.1": {"$in": ["x", 1, None, True]} for number in range(MAX_CONDITIONS - 1)},
            {"a": {"$in": list(range(MAX_VALUES))}},
            {"$or": [{".".join(['"'] * MAX_ESCAPED): {"$in": ["x", 1, None, True], "$contains": 1}}] * 60},
        ],
        ids=["tests", "numbers", "values", "odd keys"],
    )
    def test_postgresql_takes_the_largest_there_are(self, given: dict[str, Any], server: Server) -> None:
        documents = [{"a": 7}, {"a": 5.5}, NOTHING]
        assert rows(server, documents, given) == right_rows(documents, given)

    def test_and_the_deepest(self, server: Server) -> None:
        given: dict[str, Any] = {"-1.-1.-1.-1": {"$in": [1, "1"]}}
        for _ in range(MAX_DEPTH - 1):
            given = {"$not": given}
        documents = [{"-1": {"-1": {"-1": {"-1": 1}}}}, {"-1": [[[1]]]}]
        assert rows(server, documents, given) == right_rows(documents, given)

"""A filter means in SQLite what it says: the same as a few lines of Python do, on any metadata."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.filters import MAX_CONDITIONS, MAX_DEPTH, MAX_ESCAPED, MAX_LENGTH, MAX_VALUES, parse_filter
from searcher.live.sqlite_filter import sql_of
from tests.searcher.filter_cases import (
    BY_HAND,
    DOCUMENTS,
    DOCUMENTS_BY_HAND,
    FILTERS,
    NOTHING,
    SCALARS,
    STORED,
    TESTS,
    holds,
    kind,
    paths_of,
    right_rows,
)  # fmt: skip


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE images (row INTEGER PRIMARY KEY, metadata TEXT)")
        yield connection


def rows(table: sqlite3.Connection, documents: list[Any], given: Any) -> list[int]:
    """Which of ``documents`` the filter finds; it says yes or no to each, never NULL."""
    table.execute("DELETE FROM images")
    texts = [None if each is NOTHING else json.dumps(each, ensure_ascii=False) for each in documents]
    table.executemany("INSERT INTO images VALUES (?, ?)", enumerate(texts))
    condition = sql_of(parse_filter(given))
    answers = table.execute(f"SELECT {condition.text} FROM images ORDER BY row", condition.parameters).fetchall()
    assert {answer for (answer,) in answers} <= {0, 1}
    chosen = table.execute(
        f"SELECT row FROM images WHERE {condition.text} ORDER BY row", condition.parameters
    ).fetchall()
    assert [row for (row,) in chosen] == [row for row, (answer,) in enumerate(answers) if answer]
    return [row for (row,) in chosen]


class TestMeaning:
    @settings(max_examples=500)
    @given(documents=st.lists(DOCUMENTS | st.just(NOTHING), min_size=1, max_size=8), given=FILTERS)
    def test_random_filters_find_what_python_finds(
        self, documents: list[Any], given: dict[str, Any], table: sqlite3.Connection
    ) -> None:
        assert rows(table, documents, given) == right_rows(documents, given)

    @settings(max_examples=300)
    @given(documents=st.lists(DOCUMENTS, min_size=1, max_size=6), test=TESTS, data=st.data())
    def test_and_so_do_filters_of_what_is_there(
        self, documents: list[Any], test: Any, data: st.DataObject, table: sqlite3.Connection
    ) -> None:
        paths = [path for document in documents for path in paths_of(document)]
        given = {data.draw(st.sampled_from(paths)) if paths else "a": test}
        assert rows(table, documents, given) == right_rows(documents, given)

    @settings(max_examples=300)
    @given(scalars=st.lists(SCALARS, min_size=2, max_size=8), data=st.data())
    def test_scalars_are_compared_as_in_python(
        self, scalars: list[Any], data: st.DataObject, table: sqlite3.Connection
    ) -> None:
        scalar = data.draw(st.sampled_from(scalars))
        documents = [{"a": each} for each in scalars]
        for operator in ["$eq", "$ne"] + (["$lt", "$lte", "$gt", "$gte"] if kind(scalar) in ("number", "str") else []):
            given = {"a": {operator: scalar}}
            assert rows(table, documents, given) == right_rows(documents, given)

    @pytest.mark.parametrize(("given", "expected"), BY_HAND)
    def test_by_hand(self, given: dict[str, Any], expected: list[int], table: sqlite3.Connection) -> None:
        assert rows(table, DOCUMENTS_BY_HAND, given) == expected

    def test_integers_of_more_than_64_bits_are_doubles(self, table: sqlite3.Connection) -> None:
        documents = [{"a": 2**63 - 1}, {"a": 2**63}, {"a": 2**63 + 1}, {"a": -(10**400)}]
        assert rows(table, documents, {"a": 2.0**63}) == [1, 2]
        assert rows(table, documents, {"a": {"$gt": 2**63 - 1}}) == [1, 2]
        assert rows(table, documents, {"a": {"$lt": -1e308}}) == [3]

    @pytest.mark.parametrize(("stored", "given"), STORED)
    def test_what_can_be_stored_can_be_asked_for(
        self, stored: dict[str, Any], given: dict[str, Any], table: sqlite3.Connection
    ) -> None:
        documents = [{"other": 1}, stored, NOTHING]
        assert rows(table, documents, given) == [1]
        assert rows(table, documents, {"$not": given}) == [0, 2]


class TestSafety:
    """Whatever a path or a string holds, it finds what is called so, and nothing else happens."""

    @pytest.mark.parametrize(
        "key",
        ["' OR 1=1 --", "?", "%s", "{}", "{0}", "$", "a$", "[0]", "a[0]", "#", "[#-1]", "*", ")", "; DROP TABLE images",
         "é", "日本", " ", "a b", "-0", "00", "4294967296", "18446744073709551616", "1e3", "x" * 1000],
    )  # fmt: skip
    def test_keys_are_only_keys(self, key: str, table: sqlite3.Connection) -> None:
        documents = [{"x": 1}, {"x": {key: 1}}, {"x": [1, 1]}, {"x": {"a": 1, "": 1, "0": 1}}, NOTHING]
        assert rows(table, documents, {f"x.{key}": 1}) == [1]
        assert rows(table, documents, {f"x.{key}": {"$in": [1, "1"]}}) == [1]

    @pytest.mark.parametrize("value", ["' OR 1=1 --", '"', "\\", "]", '"]', "?", "$.a", "\n", "{}", "😀"])
    def test_strings_are_only_strings(self, value: str, table: sqlite3.Connection) -> None:
        documents = [{"a": value}, {"a": "a"}, {"a": json.dumps(value)}, {value: value}]
        for test in (value, {"$in": [value, value + "!"]}, {"$gte": value, "$lte": value}):
            assert rows(table, documents, {"a": test}) == [0]

    def test_nothing_given_is_part_of_the_sql(self) -> None:
        condition = sql_of(parse_filter({"size.width": {"$gt": 5}, "tags.0": {"$in": ["red", 3]}}))
        assert not {"size", "width", "tags", "red", "3"} & set(condition.text.replace('"', " ").split())
        assert condition.text.count("?") == len(condition.parameters)

    def test_it_can_stand_in_a_larger_condition(self, table: sqlite3.Connection) -> None:
        rows(table, [{"a": 1, "b": 2}, {"a": 1}, {"b": 2}], {})
        one, other = sql_of(parse_filter({"$or": [{"a": 1}, {"b": 3}]})), sql_of(parse_filter({"b": 2}))
        query = f"SELECT row FROM images WHERE row < ? AND {one.text} AND NOT {other.text} AND row < ?"
        assert table.execute(query, (3, *one.parameters, *other.parameters, 3)).fetchall() == [(1,)]

    @pytest.mark.parametrize(
        "given",
        [
            {"$or": [{"a": number} for number in range((MAX_CONDITIONS - 1) // 2)]},
            {"$and": [{} for _ in range(MAX_CONDITIONS - 1)]},
            {f"a.{number}.0.1": {"$in": ["x", 1, None, True]} for number in range(MAX_CONDITIONS - 1)},
            {"a": {"$in": list(range(MAX_VALUES))}},
            {"a": "x" * (MAX_LENGTH - 8)},
            {"$or": [{".".join(['"'] * MAX_ESCAPED): {"$in": ["x", 1, None, True], "$contains": 1}}] * 60},
            {f"{n}.{'.'.join(['x'] * 8)}.0.1": {"$in": ["x", 1, None, True]} for n in range(MAX_CONDITIONS - 20)},
        ],
        ids=["tests", "filters", "numbers", "values", "length", "odd keys", "long paths"],
    )
    def test_sqlite_takes_the_largest_there_are(self, given: dict[str, Any], table: sqlite3.Connection) -> None:
        documents = [{"a": 7}, {"a": 5.5}, NOTHING]
        assert rows(table, documents, given) == [row for row, each in enumerate(documents) if holds(each, given)]

    def test_and_the_deepest(self, table: sqlite3.Connection) -> None:
        given: dict[str, Any] = {".".join(['"'] * MAX_ESCAPED): {"$in": [1, "1"]}}
        for _ in range(MAX_DEPTH - 1):
            given = {"$not": given}
        documents = [{'"': {'"': {'"': {'"': 1}}}}, {"a": 5}]
        assert rows(table, documents, given) == right_rows(documents, given)

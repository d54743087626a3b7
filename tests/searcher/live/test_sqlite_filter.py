"""A filter means in SQLite what it says: the same as a few lines of Python do, on any metadata."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.filters import ESCAPED, MAX_CONDITIONS, MAX_DEPTH, MAX_ESCAPED, MAX_LENGTH, MAX_VALUES, parse_filter
from searcher.live.sqlite_filter import MAX_NUMBERS, sql_of

NOTHING = object()


def holds(document: Any, given: dict[str, Any]) -> bool:
    """What the module's docstring says, in Python. ``document`` is NOTHING for images without metadata."""
    return all(entry_holds(document, key, value) for key, value in given.items())


def entry_holds(document: Any, key: str, value: Any) -> bool:
    match key:
        case "$and":
            return all(holds(document, each) for each in value)
        case "$or":
            return any(holds(document, each) for each in value)
        case "$not":
            return not holds(document, value)
    return passes(found(document, key), value)


def found(document: Any, path: str) -> Any:
    parts = parts_of(path)
    led = led_to(document, parts)
    if led is NOTHING and len(parts) > 1 and isinstance(document, dict):
        return document.get(".".join(parts), NOTHING)
    return led


def parts_of(path: str) -> list[str]:
    """What is between dots that no backslash stands before."""
    parts, escaped = [""], False
    for character in path:
        if not escaped and character == ".":
            parts.append("")
        elif escaped or character != "\\":
            parts[-1] += character
        escaped = not escaped and character == "\\"
    return parts


def led_to(document: Any, parts: list[str]) -> Any:
    for part in parts:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdecimal() and str(int(part)) == part and int(part) < len(document):
            document = document[int(part)]
        else:
            return NOTHING
    return document


def any_of(value: Any, holds_for: Callable[[Any], bool]) -> bool:
    """Of the value, or of one of its elements."""
    return any(map(holds_for, value)) if isinstance(value, list) else holds_for(value)


def passes(value: Any, test: Any) -> bool:
    if not isinstance(test, dict):
        return any_of(value, lambda each: same(each, test))
    return all(operation_holds(value, operator, operand) for operator, operand in test.items())


def operation_holds(value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "$eq":
            return any_of(value, lambda each: same(each, operand))
        case "$ne":
            return not operation_holds(value, "$eq", operand)
        case "$in":
            return any(operation_holds(value, "$eq", each) for each in operand)
        case "$nin":
            return not operation_holds(value, "$in", operand)
        case "$contains":
            return isinstance(value, list) and operation_holds(value, "$eq", operand)
        case "$exists":
            return (value is not NOTHING) is operand
        case "$not":
            return not passes(value, operand)
    return any_of(value, lambda each: compares(each, operator, operand))


def compares(value: Any, operator: str, operand: Any) -> bool:
    if kind(value) != kind(operand):
        return False
    return bool(
        {"$lt": value < operand, "$lte": value <= operand, "$gt": value > operand, "$gte": value >= operand}[operator]
    )


def same(value: Any, scalar: Any) -> bool:
    if scalar is None:
        return value is None or value is NOTHING
    return kind(value) == kind(scalar) and bool(value == scalar)


def kind(value: Any) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


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


def right_rows(documents: list[Any], given: dict[str, Any]) -> list[int]:
    return [row for row, document in enumerate(documents) if holds(document, given)]


PARTS = ["a", "b", "0", "1", "01", "é", "B c", "$x", "[0]", "'", "-1", "%", "?"]
SCALARS = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, 1.0, -1, 0.5, "", "0", "1", "a", "A", "é", "\U0001f600", "\uffff", "null"]
    ),
    st.sampled_from([2**53, 2**53 + 1, 2.0**53, 2**63 - 1, -(2**63), 2.0**63, 1e-7, 5e-324, 1e308, -0.0, 1e16]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
)
#: Keys that no plain path names.
ODD = ["", "a.b", "a.0", 'a"b', "\\", "\n", "\\n", "$", "$in", "."]
KEYS = st.sampled_from([*PARTS, *ODD])
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


def escaped(part: str) -> str:
    return re.sub(r"([.$\\])", r"\\\1", part)


PATHS = st.one_of(
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map(".".join).filter(lambda path: path[0] != "$"),
    st.lists(KEYS.map(escaped), min_size=1, max_size=3).map(".".join),
)
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$contains"]), SCALARS),
    st.tuples(
        st.sampled_from(["$lt", "$lte", "$gt", "$gte"]),
        SCALARS.filter(lambda scalar: kind(scalar) in ("number", "str")),
    ),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, max_size=4)),
    st.tuples(st.just("$exists"), st.booleans()),
)
TESTS = st.recursive(
    SCALARS | st.lists(OPERATIONS, min_size=1, max_size=3).map(dict),
    lambda inner: st.tuples(st.just("$not"), inner).map(lambda each: dict([each])),
    max_leaves=3,
)
FILTERS = st.recursive(
    st.dictionaries(PATHS, TESTS, max_size=2),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["$and", "$or"]), st.lists(inner, min_size=1, max_size=3)).map(
            lambda each: dict([each])
        ),
        st.tuples(st.just("$not"), inner).map(lambda each: dict([each])),
        st.tuples(st.dictionaries(PATHS, TESTS, min_size=1, max_size=1), st.lists(inner, min_size=1, max_size=2)).map(
            lambda both: both[0] | {"$or": both[1]}
        ),
    ),
    max_leaves=5,
)


def paths_of(document: Any, parts: tuple[str, ...] = ()) -> list[str]:
    """The paths to everything in ``document`` that a path can name."""
    if isinstance(document, list):
        entries = {str(place): value for place, value in enumerate(document)}
    else:
        entries = document if isinstance(document, dict) else {}
    below = [path for key, value in entries.items() for path in paths_of(value, (*parts, key))]
    nameable = sum(part.isdecimal() for part in parts) <= MAX_NUMBERS
    nameable &= sum(ESCAPED.search(part) is not None for part in parts) <= MAX_ESCAPED
    return below + ([".".join(map(escaped, parts))] if parts and nameable else [])


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

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, [0, 1, 2, 3, 4, 5]),
            ({"$not": {}}, []),
            ({"size.width": 10}, [0, 1]),
            ({"size": {"$exists": True}}, [0, 1, 3]),
            ({"size": None}, [2, 3, 4, 5]),
            ({"size": {"$in": [None]}}, [2, 3, 4, 5]),
            ({"size": {"$in": []}}, []),
            ({"size": {"$eq": None, "$exists": True}}, [3]),
            ({"size.width": {"$gt": 9, "$lt": 11}}, [0, 1]),
            ({"size.width": {"$not": {"$lt": 11}}}, [2, 3, 4, 5]),
            ({"tags.0": "red"}, [0, 2]),
            ({"tags.1": {"$exists": True}}, [0, 2]),
            ({"tags": "red"}, [0]),
            ({"tags": {"$contains": "red"}}, [0]),
            ({"tags": {"$in": ["new", 1]}}, [0]),
            ({"tags": {"$ne": "red"}}, [1, 2, 3, 4, 5]),
            ({"tags": {"$nin": ["old", "new"]}}, [1, 2, 3, 4, 5]),
            ({"tags": {"$gt": "rea"}}, [0]),
            ({"shown": {"$contains": 1}}, []),
            ({"shown": True}, [0]),
            ({"shown": 1}, [1]),
            ({"shown": "1"}, [2]),
            ({"$or": [{"shown": "1"}, {"tags.0": "red", "size.width": 10}]}, [0, 2]),
            ({"$and": [{"shown": {"$ne": 1}}, {"shown": {"$ne": None}}]}, [0, 2]),
            ({"$not": {"$or": [{"shown": 1}, {"shown": "1"}]}}, [0, 3, 4, 5]),
        ],
    )
    def test_by_hand(self, given: dict[str, Any], expected: list[int], table: sqlite3.Connection) -> None:
        documents = [
            {"size": {"width": 10}, "tags": ["red", "new"], "shown": True},
            {"size": {"width": 10.0}, "tags": [], "shown": 1},
            {"tags": {"0": "red", "1": None}, "shown": "1"},
            {"size": None},
            [],
            NOTHING,
        ]
        assert rows(table, documents, given) == expected

    def test_integers_of_more_than_64_bits_are_doubles(self, table: sqlite3.Connection) -> None:
        documents = [{"a": 2**63 - 1}, {"a": 2**63}, {"a": 2**63 + 1}, {"a": -(10**400)}]
        assert rows(table, documents, {"a": 2.0**63}) == [1, 2]
        assert rows(table, documents, {"a": {"$gt": 2**63 - 1}}) == [1, 2]
        assert rows(table, documents, {"a": {"$lt": -1e308}}) == [3]

    @pytest.mark.parametrize(
        ("stored", "given"),
        [
            ({"l": [1, 2]}, {"l": 1}),
            ({"l": [1, 2]}, {"l": {"$contains": 2}}),
            ({"l": [1, 2]}, {"l": {"$in": [5, 2]}}),
            ({"l": [None]}, {"l": {"$contains": None}}),
            ({"l": [[1]]}, {"l.0.0": 1}),
            ({"l": [[[[[7]]]]]}, {"l.0.0.0.0.0": 7}),
            ({"0": {"1": {"2": {"3": 7}}}}, {"0.1.2.3": 7}),
            ({"l": {"x": [True]}}, {"l.x": True}),
            ({"a.b": 1}, {"a.b": 1}),
            ({"a.b": [1]}, {"a.b": {"$contains": 1}}),
            ({"a": {"b": 2}, "a.b": 1}, {"a\\.b": 1}),
            ({"x": {"a.b": 1}}, {"x.a\\.b": 1}),
            ({'a"b': "c"}, {'a"b': "c"}),
            ({'a"b': {"c": [1]}}, {'a"b.c': 1}),
            ({'"': {'""': {"\n": 3}}}, {'"."".\n': 3}),
            ({'"': [1, 2]}, {'"': {"$contains": 2}}),
            ({"a\\b": 1}, {"a\\\\b": 1}),
            ({"$ne": 1}, {"\\$ne": 1}),
            ({"a": {"$ne": 1}}, {"a.$ne": 1}),
            ({"": 1}, {"": 1}),
            ({"": {"": 1}}, {".": 1}),
            ({"a.": 1}, {"a.": 1}),
            ({"a": {"": 1}}, {"a.": 1}),
            ({" ": 1}, {" ": 1}),
            ({"日本.語": 1}, {"日本.語": 1}),
            ({"\u2028\x7f": 1}, {"\u2028\x7f": 1}),
            ({"\t": 1}, {"\t": 1}),
            ({"'": 1}, {"'": 1}),
        ],
    )
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

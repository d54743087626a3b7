"""A filter means in SQLite what it says: the same as a few lines of Python do, on any metadata; or it is refused by
name."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher.errors import FilterError, SearcherError
from searcher.filters import MAX_CONDITIONS, MAX_DEPTH, MAX_LENGTH, MAX_VALUES, parse_filter

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
    for part in path.split("."):
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdecimal() and str(int(part)) == part and int(part) < len(document):
            document = document[int(part)]
        else:
            return NOTHING
    return document


def passes(value: Any, test: Any) -> bool:
    if not isinstance(test, dict):
        return same(value, test)
    return all(operation_holds(value, operator, operand) for operator, operand in test.items())


def operation_holds(value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "$eq":
            return same(value, operand)
        case "$ne":
            return not same(value, operand)
        case "$in":
            return any(same(value, each) for each in operand)
        case "$exists":
            return (value is not NOTHING) is operand
        case "$not":
            return not passes(value, operand)
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
    condition = parse_filter(given)
    answers = table.execute(f"SELECT {condition.sql} FROM images ORDER BY row", condition.parameters).fetchall()
    assert {answer for (answer,) in answers} <= {0, 1}
    chosen = table.execute(
        f"SELECT row FROM images WHERE {condition.sql} ORDER BY row", condition.parameters
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
KEYS = st.sampled_from([*PARTS, "", "a.b", 'a"b', "\\", "\n"])
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
PATHS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map(".".join).filter(lambda path: path[0] != "$")
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne"]), SCALARS),
    st.tuples(
        st.sampled_from(["$lt", "$lte", "$gt", "$gte"]),
        SCALARS.filter(lambda scalar: kind(scalar) in ("number", "str")),
    ),
    st.tuples(st.just("$in"), st.lists(SCALARS, max_size=4)),
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
    below = [path for key, value in entries.items() if key in PARTS for path in paths_of(value, (*parts, key))]
    return below + ([".".join(parts)] if parts and parts[0] != "$x" else [])


class TestMeaning:
    @settings(max_examples=2000)
    @given(documents=st.lists(DOCUMENTS | st.just(NOTHING), min_size=1, max_size=8), given=FILTERS)
    def test_random_filters_find_what_python_finds(
        self, documents: list[Any], given: dict[str, Any], table: sqlite3.Connection
    ) -> None:
        assert rows(table, documents, given) == right_rows(documents, given)

    @settings(max_examples=1000)
    @given(documents=st.lists(DOCUMENTS, min_size=1, max_size=6), test=TESTS, data=st.data())
    def test_and_so_do_filters_of_what_is_there(
        self, documents: list[Any], test: Any, data: st.DataObject, table: sqlite3.Connection
    ) -> None:
        paths = [path for document in documents for path in paths_of(document)]
        given = {data.draw(st.sampled_from(paths)) if paths else "a": test}
        assert rows(table, documents, given) == right_rows(documents, given)

    @settings(max_examples=1000)
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
            ({"tags": "red"}, []),
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
        condition = parse_filter({"size.width": {"$gt": 5}, "tags.0": {"$in": ["red", 3]}})
        assert not {"size", "width", "tags", "red", "3"} & set(condition.sql.replace('"', " ").split())
        assert condition.sql.count("?") == len(condition.parameters)

    def test_it_can_stand_in_a_larger_condition(self, table: sqlite3.Connection) -> None:
        rows(table, [{"a": 1, "b": 2}, {"a": 1}, {"b": 2}], {})
        one, other = parse_filter({"$or": [{"a": 1}, {"b": 3}]}), parse_filter({"b": 2})
        query = f"SELECT row FROM images WHERE row < ? AND {one.sql} AND NOT {other.sql} AND row < ?"
        assert table.execute(query, (3, *one.parameters, *other.parameters, 3)).fetchall() == [(1,)]

    @pytest.mark.parametrize(
        "given",
        [
            {"$or": [{"a": number} for number in range((MAX_CONDITIONS - 1) // 2)]},
            {"$and": [{} for _ in range(MAX_CONDITIONS - 1)]},
            {f"a.{number}.0.1": {"$in": ["x", 1, None, True]} for number in range(MAX_CONDITIONS - 1)},
            {"a": {"$in": list(range(MAX_VALUES))}},
            {"a": "x" * (MAX_LENGTH - 8)},
        ],
        ids=["tests", "filters", "numbers", "values", "length"],
    )
    def test_sqlite_takes_the_largest_there_are(self, given: dict[str, Any], table: sqlite3.Connection) -> None:
        documents = [{"a": 7}, {"a": 5.5}, NOTHING]
        assert rows(table, documents, given) == [row for row, each in enumerate(documents) if holds(each, given)]

    def test_and_the_deepest(self, table: sqlite3.Connection) -> None:
        given: dict[str, Any] = {"a": 7}
        for _ in range(MAX_DEPTH - 1):
            given = {"$not": given}
        documents = [{"a": 7}, {"a": 5}]
        assert rows(table, documents, given) == right_rows(documents, given)


class TestText:
    def test_it_is_canonical(self) -> None:
        one = parse_filter({"b": 1, "a": {"$lt": 2, "$gt": 0}})
        other = parse_filter({"a": {"$gt": 0, "$lt": 2}, "b": 1})
        assert one.text == other.text == '{"a":{"$gt":0,"$lt":2},"b":1}'

    def test_it_tells_kinds_apart(self) -> None:
        assert len({parse_filter({"a": value}).text for value in (1, 1.0, "1", True, None)}) == 5


def nested(levels: int) -> dict[str, Any]:
    return {"$not": nested(levels - 1)} if levels else {}


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (None, "a filter must be an object, not null"),
            ([], "a filter must be an object, not a list"),
            ("a", "a filter must be an object, not a string"),
            ({"$and": []}, "$and needs a list of one or more filters"),
            ({"$or": {"a": 1}}, "$or needs a list of one or more filters"),
            ({"$or": [{"a": 1}, 2]}, "each filter of $or must be an object, not a number"),
            ({"$not": [{"a": 1}]}, "the filter of $not must be an object, not a list"),
            ({"$nor": []}, "$nor is no operator between filters: there are $and, $or and $not"),
            ({"$eq": 1}, "$eq is no operator between filters: there are $and, $or and $not"),
            ({"$": 1}, "'$' is no operator between filters: there are $and, $or and $not"),
            ({"$\n": 1}, "'$\\n' is no operator between filters: there are $and, $or and $not"),
            ({"a": {}}, "'a': an object holds operators, and this one none"),
            ({"a": {"$not": {}}}, "'a': an object holds operators, and this one none"),
            ({"a": {"width": 1}},
             "'a': 'width' is no operator: there are $eq, $ne, $lt, $lte, $gt, $gte, $in, $exists and $not"),
            ({"a.b": {"$regex": "x"}},
             "'a.b': $regex is no operator: there are $eq, $ne, $lt, $lte, $gt, $gte, $in, $exists and $not"),
            ({"a": [1]}, "'a': $eq needs a scalar, not a list"),
            ({"a": {"$eq": {"b": 1}}}, "'a': $eq needs a scalar, not an object"),
            ({"a": {"$ne": [1]}}, "'a': $ne needs a scalar, not a list"),
            ({"a": {"$lt": None}}, "'a': $lt compares with a number or a string, not null"),
            ({"a": {"$gte": True}}, "'a': $gte compares with a number or a string, not true"),
            ({"a": {"$gt": [1]}}, "'a': $gt needs a scalar, not a list"),
            ({"a": {"$in": "abc"}}, "'a': $in needs a list of at most 1,000 values"),
            ({"a": {"$in": [1] * 1001}}, "'a': $in needs a list of at most 1,000 values"),
            ({"a": {"$in": [[1]]}}, "'a': $in needs a scalar, not a list"),
            ({"a": {"$exists": 1}}, "'a': $exists needs true or false, not a number"),
            ({"a": {"$exists": None}}, "'a': $exists needs true or false, not null"),
            ({"a": float("nan")}, "'a': $eq needs a finite number"),
            ({"a": {"$lt": float("inf")}}, "'a': $lt needs a finite number"),
            ({"a": {"$in": [1, -float("inf")]}}, "'a': $in needs a finite number"),
            ({"a": 2**63}, "'a': $eq needs an integer of at most 64 bits"),
            ({"a": {"$gt": -(2**63) - 1}}, "'a': $gt needs an integer of at most 64 bits"),
            ({"a": {"$in": [10**400]}}, "'a': $in needs an integer of at most 64 bits"),
            ({"a": "x\0"},
             "'a': $eq has a character that SQLite cannot compare: zero, or half of a surrogate pair"),
            ({"a": {"$in": ["\ud800"]}},
             "'a': $in has a character that SQLite cannot compare: zero, or half of a surrogate pair"),
            ({"a\udfff": 1},
             "'a\\udfff' has a character that SQLite cannot compare: zero, or half of a surrogate pair"),
            ({"": 1}, "'': a part of the path is empty"),
            ({"a..b": 1}, "'a..b': a part of the path is empty"),
            ({"a.": 1}, "'a.': a part of the path is empty"),
            ({'a"b': 1}, "'a\"b': a path has no quotes, backslashes and control characters"),
            ({'a") OR 1=1 --': 1}, "'a\") OR 1=1 --': a path has no quotes, backslashes and control characters"),
            ({"a\\b": 1}, "'a\\\\b': a path has no quotes, backslashes and control characters"),
            ({"a\n": 1}, "'a\\n': a path has no quotes, backslashes and control characters"),
            ({".".join("a" * 17): 1},
             "'a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a': a path has at most 16 parts, 3 of them numbers"),
            ({"0.1.2.3": 1}, "'0.1.2.3': a path has at most 16 parts, 3 of them numbers"),
            (nested(16), "the filter of $not: filters are at most 16 deep"),
            ({"a": {"$not": {"$not": 1}} | {"$lt": 1}} | {"$and": [nested(15)]},
             "the filter of $not: filters are at most 16 deep"),
            ({"$or": [{}] * 200}, "each filter of $or: a filter has at most 200 filters and tests in it"),
            ({"a": {"$eq": 1, "$ne": 2}, "$and": [{"b": 1}] * 99},
             "'b': $eq: a filter has at most 200 filters and tests in it"),
            ({"a": "x" * 65_529}, "a filter has at most 65,536 characters, and this one 65,537"),
            ({"$" + "x" * 1000: 1},
             "'$" + "x" * 79 + "…' is no operator between filters: there are $and, $or and $not"),
        ],
    )  # fmt: skip
    def test_they_name_what_is_wrong(self, given: Any, message: str) -> None:
        with pytest.raises(FilterError) as refused:
            parse_filter(given)
        assert str(refused.value) == message

    def test_a_test_is_never_too_deep_for_python(self) -> None:
        test: Any = 1
        for _ in range(100_000):
            test = {"$not": test}
        with pytest.raises(FilterError, match=r"'a': \$not: filters are at most 16 deep"):
            parse_filter({"a": test})

    def test_they_are_errors_of_the_searcher(self) -> None:
        assert issubclass(FilterError, SearcherError)

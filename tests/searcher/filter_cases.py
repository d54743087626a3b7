"""What filters mean, in a few lines of Python; and filters and metadata to try in every language."""

import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from searcher.filters import ESCAPED, MAX_ESCAPED
from searcher.live.sqlite_filter import MAX_NUMBERS

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


DOCUMENTS_BY_HAND: list[Any] = [
    {"size": {"width": 10}, "tags": ["red", "new"], "shown": True},
    {"size": {"width": 10.0}, "tags": [], "shown": 1},
    {"tags": {"0": "red", "1": None}, "shown": "1"},
    {"size": None},
    [],
    NOTHING,
]

#: Filters, and which of DOCUMENTS_BY_HAND they find.
BY_HAND: list[tuple[dict[str, Any], list[int]]] = [
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
]

#: Metadata, and a filter that finds them alone.
STORED: list[tuple[dict[str, Any], dict[str, Any]]] = [
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
]

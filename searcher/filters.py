"""Which images are meant, by their metadata: a small language in JSON, and what it is in SQLite.

    filter      {path: test, …}   {"$and": [filter, …]}   {"$or": [filter, …]}   {"$not": filter}    all of it holds
    path        "size.width"      a key, and a key in what is there
                "tags.0"          a number is the place of an array's element, or a key of that name
                                  (keys with dots, quotes, backslashes or control characters cannot be named)
    test        a scalar          null, a boolean, a number or a string: the same is there
                {operator: …}     all of these hold
    operator    $eq  $ne          a scalar
                $lt $lte $gt $gte a number, which is compared with numbers, or a string, with strings by code points
                $in               a list of scalars: one of them is there
                $exists           true or false: whether anything is there, null included
                $not              a test: it doesn't hold

Kinds are never mixed: 1 is neither "1" nor true, though it is 1.0. Nothing is equal to an array or an object. As in
MongoDB, null is also what isn't there: ``{"size": null}`` holds for null and for images without a size, or without
metadata. A filter holds or it doesn't, with nothing between, so ``$not`` and ``$ne`` mean exactly the others:
``{"size": {"$not": {"$lt": 5}}}`` holds where size is 5, "4" or missing.

A condition is asked about metadata as ``json.dumps(…, ensure_ascii=False)`` writes it, in SQLite 3.38 or later: that
compares keys by how they are spelled, takes the first of equal ones, reads strings up to a character of value zero,
and integers of more than 64 bits as doubles.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from pydantic import JsonValue

from searcher.errors import FilterError

#: Filters and tests within each other, how many there are, values of one $in, and characters of a filter as JSON.
MAX_DEPTH = 16
MAX_CONDITIONS = 200
MAX_VALUES = 1000
MAX_LENGTH = 65_536

#: Parts of a path, and how many of them may be numbers: each is a place or a key, so the ways to read it double.
MAX_PARTS = 16
MAX_NUMBERS = 3

#: A place in an array. SQLite counts in 32 bits and doesn't notice when they overflow, so longer numbers are keys.
_PLACE = re.compile("0|[1-9][0-9]{0,8}")

#: What JSON spells with a backslash. SQLite compares spellings, and a quote would end the key.
_ESCAPED = re.compile(r'["\\\x00-\x1f]')

#: What is shown without quotes in a message.
_OPERATOR = re.compile(r"\$[a-zA-Z]{1,20}")

_COMPARISONS = {"$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">="}

Scalar = None | bool | int | float | str


@dataclass(frozen=True)
class Condition:
    """An SQL condition on the column ``metadata``, an expression that needs no parentheses. It is 0 or 1, never NULL.

    ``parameters`` belong to its question marks, in their order. ``text`` is the filter as canonical JSON: a filter of
    the same text is the same condition.
    """

    sql: str
    parameters: tuple[str | int | float | None, ...]
    text: str


def parse_filter(given: JsonValue) -> Condition:
    """The condition that the filter ``given``, as ``json.loads`` returns it, stands for.

    Raises FilterError, which names the operator or the path, for anything else and for what is too large.
    """
    condition = _Parser().filter(given, "a filter", 1)
    text = json.dumps(given, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH:,} characters, and this one {len(text):,}")
    return Condition(condition.text, condition.parameters, text)


@dataclass(frozen=True)
class _Sql:
    """An expression, and the parameters of its question marks."""

    text: str
    parameters: tuple[str | int | float, ...] = ()


def _sql(template: str, *parts: _Sql) -> _Sql:
    """``template`` with ``parts`` in its braces."""
    text = template.format(*(part.text for part in parts))
    return _Sql(text, tuple(parameter for part in parts for parameter in part.parameters))


def _all(parts: Sequence[_Sql]) -> _Sql:
    return _sql("(" + " AND ".join(["{}"] * len(parts)) + ")", *parts) if parts else _Sql("1")


def _any(parts: Sequence[_Sql]) -> _Sql:
    return _sql("(" + " OR ".join(["{}"] * len(parts)) + ")", *parts) if parts else _Sql("0")


def _no(part: _Sql) -> _Sql:
    return _sql("(NOT {})", part)


class _Parser:
    """Reads one filter, and counts its conditions."""

    def __init__(self) -> None:
        self._conditions = 0

    def filter(self, given: JsonValue, name: str, depth: int) -> _Sql:
        self._count(name, depth)
        if not isinstance(given, dict):
            raise FilterError(f"{name} must be an object, not {_kind(given)}")
        return _all([self._entry(key, value, depth) for key, value in given.items()])

    def _entry(self, key: str, value: JsonValue, depth: int) -> _Sql:
        match key:
            case "$and" | "$or":
                if not isinstance(value, list) or not value:
                    raise FilterError(f"{key} needs a list of one or more filters")
                parts = [self.filter(each, f"each filter of {key}", depth + 1) for each in value]
                return _all(parts) if key == "$and" else _any(parts)
            case "$not":
                return _no(self.filter(value, "the filter of $not", depth + 1))
        if key.startswith("$"):
            raise FilterError(f"{_shown(key)} is no operator between filters: there are $and, $or and $not")
        return self._test(_Place(key), value, depth)

    def _test(self, place: "_Place", given: JsonValue, depth: int) -> _Sql:
        if not isinstance(given, dict):
            return self._operation(place, "$eq", given, depth)
        if not given:
            raise FilterError(f"{place.name}: an object holds operators, and this one none")
        return _all([self._operation(place, operator, value, depth) for operator, value in given.items()])

    def _operation(self, place: "_Place", operator: str, value: JsonValue, depth: int) -> _Sql:
        name = f"{place.name}: {_shown(operator)}"
        self._count(name, depth)
        match operator:
            case "$eq":
                return _among(place, [_scalar(value, name)])
            case "$ne":
                return _no(_among(place, [_scalar(value, name)]))
            case "$lt" | "$lte" | "$gt" | "$gte":
                return _compared(place, _COMPARISONS[operator], value, name)
            case "$in":
                if not isinstance(value, list) or len(value) > MAX_VALUES:
                    raise FilterError(f"{name} needs a list of at most {MAX_VALUES:,} values")
                return _among(place, [_scalar(each, name) for each in value])
            case "$exists":
                if not isinstance(value, bool):
                    raise FilterError(f"{name} needs true or false, not {_kind(value)}")
                return _sql("({} IS NOT NULL)" if value else "({} IS NULL)", place.type)
            case "$not":
                return _no(self._test(place, value, depth + 1))
        known = "$eq, $ne, $lt, $lte, $gt, $gte, $in, $exists and $not"
        raise FilterError(f"{name} is no operator: there are {known}")

    def _count(self, name: str, depth: int) -> None:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise FilterError(f"{name}: a filter has at most {MAX_CONDITIONS} filters and tests in it")
        if depth > MAX_DEPTH:
            raise FilterError(f"{name}: filters are at most {MAX_DEPTH} deep")


class _Place:
    """Where a path leads: ``type`` is the JSON type of what is there, NULL where nothing is, and ``value`` the value.

    A JSON path is a parameter, not a part of the SQL, and each key in it stands in quotes.
    """

    def __init__(self, path: str) -> None:
        self.name = _shown(path)
        _check_text(path, self.name)
        parts = path.split(".")
        ways = [[f'."{part}"', f"[{part}]"] if _PLACE.fullmatch(part) else [f'."{part}"'] for part in parts]
        if not all(parts):
            raise FilterError(f"{self.name}: a part of the path is empty")
        if _ESCAPED.search(path):
            raise FilterError(f"{self.name}: a path has no quotes, backslashes and control characters")
        if len(parts) > MAX_PARTS or sum(len(way) > 1 for way in ways) > MAX_NUMBERS:
            raise FilterError(f"{self.name}: a path has at most {MAX_PARTS} parts, {MAX_NUMBERS} of them numbers")
        self._paths = ["$" + "".join(way) for way in product(*ways)]
        self.type = self._found("json_type")
        self.value = self._found("json_extract")

    def _found(self, function: str) -> _Sql:
        """What ``function`` says of the one path that leads somewhere: nothing is an array and an object."""
        calls = [_Sql(f"{function}(metadata, ?)", (path,)) for path in self._paths]
        return calls[0] if len(calls) == 1 else _sql("coalesce(" + ", ".join(["{}"] * len(calls)) + ")", *calls)


def _among(place: _Place, values: list[Scalar]) -> _Sql:
    """The value there is one of ``values``."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    strings = [value for value in values if isinstance(value, str)]
    parts = []
    if any(value is None for value in values):
        parts.append(_sql("(coalesce({}, 'null') IS 'null')", place.type))
    for truth, type_ in ((True, "true"), (False, "false")):
        if any(value is truth for value in values):
            parts.append(_sql("({} IS '" + type_ + "')", place.type))
    if numbers:
        parts.append(_all([_is_number(place), _listed(place, numbers)]))
    if strings:
        parts.append(_all([_is_string(place), _listed(place, strings)]))
    return _any(parts)


def _listed(place: _Place, values: Sequence[Scalar]) -> _Sql:
    # SQLite reads the list as it reads the metadata: the same spelling of a number is the same number.
    listed = _Sql("(SELECT value FROM json_each(?))", (json.dumps(values, ensure_ascii=False),))
    return _sql("{} IN {}", place.value, listed)


def _compared(place: _Place, sign: str, value: JsonValue, name: str) -> _Sql:
    scalar = _scalar(value, name)
    if scalar is None or isinstance(scalar, bool):
        raise FilterError(f"{name} compares with a number or a string, not {_kind(scalar)}")
    if isinstance(scalar, str):
        return _all([_is_string(place), _sql("{} " + sign + " {}", place.value, _Sql("?", (scalar,)))])
    number = _Sql("json_extract(?, '$')", (json.dumps(scalar),))
    return _all([_is_number(place), _sql("{} " + sign + " {}", place.value, number)])


def _is_number(place: _Place) -> _Sql:
    return _sql("coalesce({}, '') IN ('integer', 'real')", place.type)


def _is_string(place: _Place) -> _Sql:
    return _sql("{} IS 'text'", place.type)


def _scalar(value: JsonValue, name: str) -> Scalar:
    """``value``, if it is one that metadata can be compared with."""
    if isinstance(value, list | dict):
        raise FilterError(f"{name} needs a scalar, not {_kind(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise FilterError(f"{name} needs a finite number")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise FilterError(f"{name} needs an integer of at most 64 bits")
    if isinstance(value, str):
        _check_text(value, name)
    return value


def _check_text(text: str, name: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise FilterError(f"{name} has a character that SQLite cannot compare: zero, or half of a surrogate pair")


def _shown(name: str) -> str:
    """A path or an operator for a message, which stays short and printable."""
    shortened = name if len(name) <= 80 else name[:80] + "…"
    return name if _OPERATOR.fullmatch(name) else repr(shortened)


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
    return "an object"

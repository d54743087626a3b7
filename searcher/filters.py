"""A small JSON language that selects images by their metadata, parsed into a tree.

    filter      {path: test, …}   {"$and": [filter, …]}   {"$or": [filter, …]}   {"$not": filter}    all parts hold
    path        "size.width"      a key, and a key inside its value; or else the key "size.width" itself
                "tags.0"          a number is an index into an array, or a key of that name
                "a\\.b" "\\$x"    a backslash before a dot, a dollar sign or a backslash makes it part of a key
    test        a scalar          null, a boolean, a number or a string: the value equals it
                {operator: …}     all of these hold
    operator    $eq  $ne          a scalar
                $lt $lte $gt $gte a number, which is compared with numbers, or a string, with strings by code points
                $in  $nin         a list of scalars: the value equals one of them, or none
                $contains         a scalar: the value is an array, and one of its elements equals it
                $exists           true or false: whether there is a value, null included
                $not              a test: it doesn't hold

Types are never mixed: 1 equals neither "1" nor true, though it equals 1.0. Where the value is an array, $eq, $in, $lt,
$lte, $gt and $gte hold if they hold for one of its elements: ``{"tags": "red"}`` finds ``{"tags": ["red", "new"]}``.
Nothing equals an object, or an array in an array. As in MongoDB, null also matches a missing value: ``{"size": null}``
holds for null and for images without a size, or without metadata. A filter either holds or doesn't; there is no third
case. So ``$not``, ``$ne`` and ``$nin`` select exactly the others: ``{"size": {"$not": {"$lt": 5}}}`` holds where size
is 5, "4" or missing, and ``{"tags": {"$ne": "red"}}`` where no tag is red.

Each engine translates the tree into its own language; SQLite's is in ``searcher/live/sqlite_filter.py``.
"""

import json
import math
import re
from dataclasses import dataclass

from pydantic import JsonValue

from searcher.errors import FilterError

#: Limits: nesting depth, number of filters and tests, values of one $in, and characters of a filter as JSON.
MAX_DEPTH = 16
MAX_CONDITIONS = 200
MAX_VALUES = 1000
MAX_LENGTH = 65_536

#: Parts of a path, those of them that JSON escapes, and parts of all paths together.
MAX_PARTS = 100
MAX_ESCAPED = 4
MAX_ALL_PARTS = 2000

#: An array index. SQLite counts in 32 bits and doesn't notice an overflow, so longer numbers are keys.
_PLACE = re.compile("0|[1-9][0-9]{0,8}")

#: What JSON escapes in a key: quotes, backslashes, control characters. SQLite compares such keys one object at a time.
ESCAPED = re.compile(r'["\\\x00-\x1f]')

#: A part of a path, with what is escaped in it.
_PART = re.compile(r"(?:[^.\\]|\\[.$\\])*", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

#: Operators, which messages show without quotes.
_OPERATOR = re.compile(r"\$[a-zA-Z]{1,20}")

_COMPARISONS = {"$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">="}

Scalar = None | bool | int | float | str


@dataclass(frozen=True)
class KeyPath:
    """The location of a value in metadata: keys and array indices, from the outside in."""

    parts: tuple[str, ...]

    @property
    def flat(self) -> str | None:
        """The one key that the path may mean, if there is nothing where its parts lead; None for a single part."""
        return ".".join(self.parts) if len(self.parts) > 1 else None

    @staticmethod
    def is_place(part: str) -> bool:
        """Whether ``part`` may be an array index as well as a key."""
        return _PLACE.fullmatch(part) is not None


@dataclass(frozen=True)
class And:
    """All of ``parts`` hold; with no parts, it holds."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    """At least one of ``parts`` holds."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Not:
    """``part`` doesn't hold."""

    part: "Node"


@dataclass(frozen=True)
class OneOf:
    """The value at ``path``, or an element of the array there, is one of ``values``; None also matches a missing
    value."""

    path: KeyPath
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Comparison:
    """The value at ``path``, or an element of the array there, has the type of ``value``, and compares to it by
    ``sign`` ("<", "<=", ">", ">=")."""

    path: KeyPath
    sign: str
    value: int | float | str


@dataclass(frozen=True)
class Contains:
    """There is an array at ``path``, and one of its elements is ``value``."""

    path: KeyPath
    value: Scalar


@dataclass(frozen=True)
class Exists:
    """There is a value at ``path``, null included; or, unless ``there``, there is none."""

    path: KeyPath
    there: bool


Node = And | Or | Not | OneOf | Comparison | Contains | Exists


@dataclass(frozen=True)
class Filter:
    """A parsed filter: its tree, and ``text``, the same as canonical JSON. Filters with one text are equal."""

    root: Node
    text: str


def parse_filter(given: JsonValue) -> Filter:
    """The filter in ``given``, as ``json.loads`` returns it.

    Raises FilterError, which names the operator or the path, for anything else and for a filter that is too large.
    """
    root = _Parser().filter(given, "a filter", 1)
    text = json.dumps(given, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if len(text) > MAX_LENGTH:
        raise FilterError(f"a filter has at most {MAX_LENGTH:,} characters, and this one {len(text):,}")
    return Filter(root, text)


class _Parser:
    """Reads one filter, and counts its conditions."""

    def __init__(self) -> None:
        self._conditions = 0
        self._parts = 0

    def filter(self, given: JsonValue, name: str, depth: int) -> Node:
        self._count(name, depth)
        if not isinstance(given, dict):
            raise FilterError(f"{name} must be an object, not {_kind(given)}")
        return And(tuple(self._entry(key, value, depth) for key, value in given.items()))

    def _entry(self, key: str, value: JsonValue, depth: int) -> Node:
        match key:
            case "$and" | "$or":
                if not isinstance(value, list) or not value:
                    raise FilterError(f"{key} needs a list of one or more filters")
                parts = tuple(self.filter(each, f"each filter of {key}", depth + 1) for each in value)
                return And(parts) if key == "$and" else Or(parts)
            case "$not":
                return Not(self.filter(value, "the filter of $not", depth + 1))
        if key.startswith("$"):
            raise FilterError(
                f"{_shown(key)} is no operator between filters: there are $and, $or and $not, and \\$ begins a key"
            )
        path = _path(key)
        self._parts += len(path.parts)
        if self._parts > MAX_ALL_PARTS:
            raise FilterError(f"{_shown(key)}: the paths of a filter have at most {MAX_ALL_PARTS:,} parts together")
        return self._test(path, _shown(key), value, depth)

    def _test(self, path: KeyPath, name: str, given: JsonValue, depth: int) -> Node:
        if not isinstance(given, dict):
            return self._operation(path, name, "$eq", given, depth)
        if not given:
            raise FilterError(f"{name}: an object holds operators, and this one none")
        return And(tuple(self._operation(path, name, operator, value, depth) for operator, value in given.items()))

    def _operation(self, path: KeyPath, key: str, operator: str, value: JsonValue, depth: int) -> Node:
        name = f"{key}: {_shown(operator)}"
        self._count(name, depth)
        match operator:
            case "$eq":
                return OneOf(path, (_scalar(value, name),))
            case "$ne":
                return Not(OneOf(path, (_scalar(value, name),)))
            case "$lt" | "$lte" | "$gt" | "$gte":
                return _comparison(path, operator, value, name)
            case "$in" | "$nin":
                if not isinstance(value, list) or len(value) > MAX_VALUES:
                    raise FilterError(f"{name} needs a list of at most {MAX_VALUES:,} values")
                one_of = OneOf(path, tuple(_scalar(each, name) for each in value))
                return one_of if operator == "$in" else Not(one_of)
            case "$contains":
                return Contains(path, _scalar(value, name))
            case "$exists":
                if not isinstance(value, bool):
                    raise FilterError(f"{name} needs true or false, not {_kind(value)}")
                return Exists(path, value)
            case "$not":
                return Not(self._test(path, key, value, depth + 1))
        known = "$eq, $ne, $lt, $lte, $gt, $gte, $in, $nin, $contains, $exists and $not"
        raise FilterError(f"{name} is no operator: there are {known}")

    def _count(self, name: str, depth: int) -> None:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise FilterError(f"{name}: a filter has at most {MAX_CONDITIONS} filters and tests in it")
        if depth > MAX_DEPTH:
            raise FilterError(f"{name}: filters are at most {MAX_DEPTH} deep")


def _path(given: str) -> KeyPath:
    name = _shown(given)
    _check_text(given, name)
    parts, end = [], -1
    while end < len(given):
        part = _PART.match(given, end + 1)
        assert part is not None  # the empty part always matches
        parts.append(_ESCAPE.sub(r"\1", part.group()))
        end = part.end()
        if given[end : end + 1] == "\\":
            raise FilterError(f"{name}: a backslash stands before a dot, a dollar sign or another backslash")
    if sum(ESCAPED.search(part) is not None for part in parts) > MAX_ESCAPED:
        raise FilterError(f"{name}: at most {MAX_ESCAPED} parts have quotes, backslashes or control characters")
    if len(parts) > MAX_PARTS:
        raise FilterError(f"{name}: a path has at most {MAX_PARTS} parts")
    return KeyPath(tuple(parts))


def _comparison(path: KeyPath, operator: str, value: JsonValue, name: str) -> Comparison:
    scalar = _scalar(value, name)
    if scalar is None or isinstance(scalar, bool):
        raise FilterError(f"{name} compares with a number or a string, not {_kind(scalar)}")
    return Comparison(path, _COMPARISONS[operator], scalar)


def _scalar(value: JsonValue, name: str) -> Scalar:
    """``value``, if metadata can be compared with it. Raises FilterError."""
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

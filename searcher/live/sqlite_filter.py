"""A filter as an SQL condition on the column ``metadata``, in SQLite 3.38 or later.

    {"size": {"$gt": 5}}  ─▶  ((coalesce(json_type(metadata, ?), '') IN ('integer', 'real')
                                AND json_extract(metadata, ?) > json_extract(?, '$'))
                               OR (json_type(metadata, ?) IS 'array' AND EXISTS (… an element of which the same holds)))

Metadata is text as ``json.dumps(…, ensure_ascii=False)`` writes it: SQLite compares keys by their spelling, takes the
first of equal ones, reads strings up to a zero character, and reads integers of more than 64 bits as doubles.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import assert_never

from searcher.filters import ESCAPED, And, Comparison, Contains, Exists, Filter, KeyPath, Node, Not, OneOf, Or, Scalar

#: Numbers in a path up to which every reading is tried: each may be an index or a key.
MAX_NUMBERS = 3


@dataclass(frozen=True)
class Sql:
    """An expression that needs no parentheses; a condition is 0 or 1, never NULL. ``parameters`` fill its question
    marks, in order."""

    text: str
    parameters: tuple[str | int | float, ...] = ()

    def after(self, *parameters: str) -> "Sql":
        """The same with ``parameters`` before its own."""
        return Sql(self.text, (*parameters, *self.parameters))


def sql_of(condition: Filter) -> Sql:
    """``condition`` in SQL."""
    return _node(condition.root)


def _node(node: Node, holds: bool = True) -> Sql:
    """Whether ``node`` holds, or doesn't. Negations move to the tests, since SQLite's parser takes only so much nesting
    (not all of these hold: one of them doesn't)."""
    match node:
        case And(parts) if holds:
            return _all([_node(part) for part in parts])
        case And(parts):
            return _any([_node(part, holds=False) for part in parts])
        case Or(parts) if holds:
            return _any([_node(part) for part in parts])
        case Or(parts):
            return _all([_node(part, holds=False) for part in parts])
        case Not(part):
            return _node(part, not holds)
    return _test(node) if holds else _filled("(NOT {})", _test(node))


def _test(node: OneOf | Comparison | Contains | Exists) -> Sql:
    match node:
        case OneOf(path, values):
            return _one_of(path, values)
        case Comparison(path, sign, value):
            return _compared(path, sign, value)
        case Contains(path, value):
            return _tested(path, lambda at: _any_element(at, _is_one_of(_TYPE, _VALUE, [value])))
        case Exists(path, there):
            return _filled("({} IS NOT NULL)" if there else "({} IS NULL)", _found(path).type)
        case _:
            assert_never(node)


def _one_of(path: KeyPath, values: Sequence[Scalar]) -> Sql:
    def test(at: _Value) -> Sql:
        parts = [_is_one_of(at.type, at.value, values), _any_element(at, _is_one_of(_TYPE, _VALUE, values))]
        if any(value is None for value in values):
            parts.append(_filled("({} IS NULL)", at.type))
        return _any(parts)

    return _tested(path, test)


def _is_one_of(type_: Sql, value: Sql, values: Sequence[Scalar]) -> Sql:
    """Whether a value of this type is one of ``values``."""
    numbers = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    strings = [each for each in values if isinstance(each, str)]
    constants = [f"'{name}'" for name, constant in _CONSTANTS.items() if any(each is constant for each in values)]
    parts = []
    if constants:
        parts.append(_filled("(coalesce({}, '') IN (" + ", ".join(constants) + "))", type_))
    if numbers:
        parts.append(_all([_is_number(type_), _listed(value, numbers)]))
    if strings:
        parts.append(_all([_is_string(type_), _listed(value, strings)]))
    return _any(parts)


def _listed(value: Sql, values: Sequence[Scalar]) -> Sql:
    # SQLite parses the list as it parses the metadata, so equal spellings are equal numbers.
    listed = Sql("(SELECT value FROM json_each(?))", (json.dumps(values, ensure_ascii=False),))
    return _filled("({} IN {})", value, listed)


def _compared(path: KeyPath, sign: str, value: int | float | str) -> Sql:
    def test(at: _Value) -> Sql:
        element = _any_element(at, _compares(_TYPE, _VALUE, sign, value))
        return _any([_compares(at.type, at.value, sign, value), element])

    return _tested(path, test)


def _compares(type_: Sql, value: Sql, sign: str, limit: int | float | str) -> Sql:
    if isinstance(limit, str):
        return _all([_is_string(type_), _filled("{} " + sign + " {}", value, Sql("?", (limit,)))])
    number = Sql("json_extract(?, '$')", (json.dumps(limit),))
    return _all([_is_number(type_), _filled("{} " + sign + " {}", value, number)])


def _is_number(type_: Sql) -> Sql:
    return _filled("(coalesce({}, '') IN ('integer', 'real'))", type_)


def _is_string(type_: Sql) -> Sql:
    return _filled("({} IS 'text')", type_)


def _any_element(at: "_Value", test: Sql) -> Sql:
    """Whether the value is an array, and ``test`` of one of its elements' ``_TYPE`` and ``_VALUE`` holds."""
    there = _filled("EXISTS (SELECT 1 FROM {} AS element WHERE {})", at.elements, test)
    return _all([_filled("{} IS 'array'", at.type), there])


def _tested(path: KeyPath, test: Callable[["_Value"], Sql]) -> Sql:
    """``test`` of the value at ``path``, which is looked for once if that is long to say."""
    at = _found(path)
    if len(at.type.parameters) == 1:
        return test(at)
    named = _Value(Sql("found.type"), Sql("found.value"), at.elements)
    return _filled("(SELECT {} FROM (SELECT {} AS type, {} AS value) AS found)", test(named), at.type, at.value)


_CONSTANTS = {"null": None, "true": True, "false": False}
_TYPE = Sql("element.type")
_VALUE = Sql("element.value")


@dataclass(frozen=True)
class _Value:
    """The value at a path: its JSON type, NULL if there is none; the value; and the table of its elements, if it is an
    array."""

    type: Sql
    value: Sql
    elements: Sql


def _found(path: KeyPath) -> _Value:
    """The value of the first reading of ``path`` that finds one. No value is both an array and an object, so of the
    readings of numbers at most one does."""
    readings = [_read(steps) for steps in _steps(path)]
    if path.flat is not None:
        flat, led = _read([path.flat]), _coalesced([reading.type for reading in readings])
        only = _filled("(SELECT type, value FROM {} WHERE {} IS NULL)", flat.elements, led)
        readings.append(_Value(flat.type, flat.value, only))
    return _Value(
        _coalesced([reading.type for reading in readings]),
        _coalesced([reading.value for reading in readings]),
        _together([reading.elements for reading in readings]),
    )


def _steps(path: KeyPath) -> Sequence[Sequence[str | int]]:
    """The readings of ``path``: each number is an index or a key. Of many numbers, all are one or the other, since each
    would double the readings."""
    places: list[list[str | int]] = [[part, int(part)] if KeyPath.is_place(part) else [part] for part in path.parts]
    if sum(len(each) - 1 for each in places) <= MAX_NUMBERS:
        return list(product(*places))
    return [[each[-1] for each in places], path.parts]


def _read(steps: Sequence[str | int]) -> _Value:
    """The value where ``steps``, keys and indices, lead.

    A JSON path is a parameter, not a part of the SQL, and each key in it is quoted. A key that JSON escapes is compared
    with the keys of its object instead: SQLite would compare the spellings, and a quote would end the key.
    """
    source, path = "metadata", "$"
    tables: list[Sql] = []
    keys: list[Sql] = []
    for number, step in enumerate(steps):
        if isinstance(step, int):
            path += f"[{step}]"
        elif not ESCAPED.search(step):
            path += f'."{step}"'
        else:
            here = f"in{number}"
            tables.append(Sql(f"json_each({source}, ?) AS {here}", (path,)))
            keys.append(Sql(f"{here}.key = ?", (step,)))
            # Only objects and arrays are JSON text themselves.
            source, path = f"CASE WHEN {here}.type IN ('object', 'array') THEN {here}.value END", "$"
    if not tables:
        asked = (path,)
        return _Value(
            Sql("json_type(metadata, ?)", asked), Sql("json_extract(metadata, ?)", asked),
            Sql("json_each(metadata, ?)", asked),
        )  # fmt: skip
    last = Sql(f"json_each({source}, ?) AS element", (path,))
    where = _filled(" AND ".join(["{}"] * len(keys)), *keys)
    of_scalar = (f"{here}.type", f"{here}.atom") if path == "$" else ("NULL", "NULL")
    there = _filled(", ".join(["{}"] * len(tables)) + " WHERE {}", *tables, where)
    elements = _filled(", ".join(["{}"] * (len(tables) + 1)) + " WHERE {}", *tables, last, where)
    return _Value(
        _filled(f"(SELECT coalesce(json_type({source}, ?), {of_scalar[0]}) FROM {{}})", there).after(path),
        _filled(f"(SELECT coalesce(json_extract({source}, ?), {of_scalar[1]}) FROM {{}})", there).after(path),
        _filled("(SELECT element.type AS type, element.value AS value FROM {})", elements),
    )


def _coalesced(parts: Sequence[Sql]) -> Sql:
    return parts[0] if len(parts) == 1 else _filled("coalesce(" + ", ".join(["{}"] * len(parts)) + ")", *parts)


def _together(tables: Sequence[Sql]) -> Sql:
    if len(tables) == 1:
        return tables[0]
    return _filled("(" + " UNION ALL ".join(["SELECT type, value FROM {}"] * len(tables)) + ")", *tables)


def _all(parts: Sequence[Sql]) -> Sql:
    return _joined(" AND ", parts) if parts else Sql("1")


def _any(parts: Sequence[Sql]) -> Sql:
    return _joined(" OR ", parts) if parts else Sql("0")


def _joined(between: str, parts: Sequence[Sql]) -> Sql:
    # No parentheses around a single part: SQLite's parser takes only so many inside each other.
    return parts[0] if len(parts) == 1 else _filled("(" + between.join(["{}"] * len(parts)) + ")", *parts)


def _filled(template: str, *parts: Sql) -> Sql:
    """``template`` with ``parts`` filled into its braces."""
    text = template.format(*(part.text for part in parts))
    return Sql(text, tuple(parameter for part in parts for parameter in part.parameters))

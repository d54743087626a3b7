"""A filter as an SQL condition on an expression of the type jsonb, in PostgreSQL 12 or later.

    {"size": {"$gt": 5}}  ─▶  coalesce((SELECT CASE jsonb_typeof(v) WHEN 'array'
                                                THEN jsonb_path_exists(v, 'strict $[*] ? (@ > $x)', '{"x": 5}')
                                                ELSE jsonb_path_exists(v, 'strict $ ? (@ > $x)', '{"x": 5}') END
                                        FROM (SELECT metadata #> '{size}' AS v) AS found), false)

A value is a scalar, or has it among its elements, just when ``v @> scalar``: containment of jsonb means both, never
mixes types and compares numbers as numbers. All values and paths are parameters.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from searcher.filters import And, Comparison, Contains, Exists, Filter, KeyPath, Node, Not, OneOf, Or, Scalar

#: What ``#>`` takes for an array's index, be it spelled as no index is: "01", "-1", " 1".
_LIKE_AN_INDEX = re.compile(r"\s*[+-]?\d+")


@dataclass(frozen=True)
class Sql:
    """An expression that needs no parentheses; a condition is true or false, never NULL. ``parameters`` fill its
    placeholders, in order."""

    text: str
    parameters: tuple[object, ...] = ()


def condition_of(where: Filter, metadata: str) -> Sql:
    """``where`` in SQL, about the expression ``metadata``, which is NULL for images without any."""
    return _node(where.root, metadata)


def _node(node: Node, metadata: str) -> Sql:
    match node:
        case And(parts):
            return _joined(" AND ", [_node(part, metadata) for part in parts]) if parts else Sql("true")
        case Or(parts):
            return _joined(" OR ", [_node(part, metadata) for part in parts])
        case Not(part):
            inner = _node(part, metadata)
            return Sql(f"(NOT {inner.text})", inner.parameters)
        case Exists(path, there):
            return _tested(path, metadata, Sql(f"v IS {'NOT ' if there else ''}NULL"))
        case OneOf(path, values):
            missing = " OR v IS NULL" if any(value is None for value in values) else ""
            return _tested(path, metadata, Sql(f"v @> ANY(%s::jsonb[]){missing}", ([_json(each) for each in values],)))
        case Contains(path, value):
            return _tested(path, metadata, Sql("jsonb_typeof(v) = 'array' AND v @> %s::jsonb", (_json(value),)))
        case Comparison(path, sign, value):
            return _tested(path, metadata, _compares(sign, value))
    assert_never(node)


def _compares(sign: str, value: int | float | str) -> Sql:
    # Strict, since lax paths also look into arrays in arrays.
    one, each = (f"jsonb_path_exists(v, 'strict {place} ? (@ {sign} $x)', %s::jsonb)" for place in ("$", "$[*]"))
    limit = json.dumps({"x": value})
    return Sql(f"CASE jsonb_typeof(v) WHEN 'array' THEN {each} ELSE {one} END", (limit, limit))


def _tested(path: KeyPath, metadata: str, test: Sql) -> Sql:
    """``test``, about ``v``, of the value at ``path``."""
    found = _value(path, metadata)
    text = f"coalesce((SELECT {test.text} FROM (SELECT {found.text} AS v) AS found), false)"
    return Sql(text, (*test.parameters, *found.parameters))


def _value(path: KeyPath, metadata: str) -> Sql:
    """The value at ``path`` as jsonb; NULL if there is none."""
    led = Sql(metadata)
    for part in path.parts:
        if KeyPath.is_place(part) or not _LIKE_AN_INDEX.fullmatch(part):
            led = Sql(f"({led.text} #> %s::text[])", (*led.parameters, [part]))
        else:
            key = "CASE jsonb_typeof(o) WHEN 'object' THEN o -> %s::text END"
            led = Sql(f"(SELECT {key} FROM (SELECT {led.text} AS o) AS at)", (part, *led.parameters))
    if path.flat is None:
        return led
    return Sql(f"coalesce({led.text}, {metadata} -> %s::text)", (*led.parameters, path.flat))


def _joined(between: str, parts: Sequence[Sql]) -> Sql:
    text = between.join(part.text for part in parts)
    return Sql(f"({text})", tuple(parameter for part in parts for parameter in part.parameters))


def _json(value: Scalar) -> str:
    return json.dumps(value)

"""Whether an image's metadata meet a filter, for engines whose own language cannot say all of it.

{"size": {"$gt": 5}}  and  '{"size": [1, 7]}'  ─▶  True
"""

import json
from collections.abc import Iterable
from typing import Any, assert_never

from searcher.filters import And, Comparison, Contains, Exists, Filter, KeyPath, Node, Not, OneOf, Or, Scalar

_MISSING = object()


def meets(where: Filter, metadata: str | None) -> bool:
    """Whether ``metadata``, JSON text or None, meet ``where``."""
    return _holds(where.root, _MISSING if metadata is None else json.loads(metadata))


def _holds(node: Node, document: Any) -> bool:
    match node:
        case And(parts):
            return all(_holds(part, document) for part in parts)
        case Or(parts):
            return any(_holds(part, document) for part in parts)
        case Not(part):
            return not _holds(part, document)
        case Exists(path, there):
            return (_found(path, document) is not _MISSING) is there
        case Contains(path, value):
            found = _found(path, document)
            return isinstance(found, list) and any(_equal(each, value) for each in found)
        case OneOf(path, values):
            return any(_equal(each, value) for each in _elements(_found(path, document)) for value in values)
        case Comparison(path, sign, value):
            return any(_compares(each, sign, value) for each in _elements(_found(path, document)))
    assert_never(node)


def _found(path: KeyPath, document: Any) -> Any:
    led = document
    for part in path.parts:
        if isinstance(led, dict):
            led = led.get(part, _MISSING)
        elif isinstance(led, list) and KeyPath.is_place(part) and int(part) < len(led):
            led = led[int(part)]
        else:
            led = _MISSING
    if led is _MISSING and path.flat is not None and isinstance(document, dict):
        return document.get(path.flat, _MISSING)
    return led


def _elements(found: Any) -> Iterable[Any]:
    return found if isinstance(found, list) else (found,)


def _equal(found: Any, value: Scalar) -> bool:
    if value is None:
        return found is None or found is _MISSING
    return _kind(found) is _kind(value) and bool(found == value)


def _compares(found: Any, sign: str, value: int | float | str) -> bool:
    if _kind(found) is not _kind(value):
        return False
    match sign:
        case "<":
            return bool(found < value)
        case "<=":
            return bool(found <= value)
        case ">":
            return bool(found > value)
    return bool(found >= value)


def _kind(value: Any) -> type:
    """The type of JSON: 1 is no boolean, and 1.0 is a number as 1 is."""
    return float if type(value) is int else type(value)

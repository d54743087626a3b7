"""A filter as Milvus' expressions, between two of which it lies.

    {"size": {"$gt": 5}}  ─▶  surely   metadata["size"] > 5
                              perhaps  (metadata["size"] > 5 or exists metadata["size"][0])    it may be an array

What meets ``surely`` meets the filter, and what meets the filter meets ``perhaps``. Between them is what Milvus cannot
say: null, numbers in arrays, integers beyond 2^53, odd keys. There, an image's metadata decide (searcher/meets.py).
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from searcher.filters import And, Comparison, Contains, Exists, Filter, KeyPath, Node, Not, OneOf, Or, Scalar

#: Expressions that hold always and never; parts of others they are not.
ALWAYS, NEVER = "true", "false"
#: Characters of an expression. Beyond, metadata decide alone.
_LONGEST = 100_000
#: Keys that Milvus looks for as they are: it makes JSON pointers of them.
_KEY = re.compile(r"[^~/\\\"'\x00-\x1f]+")
#: Integers below are the same as doubles, which Milvus compares.
_EXACT = 2**53


@dataclass(frozen=True)
class Bounds:
    """Two expressions, the first of which implies the second. The filter is between them."""

    surely: str
    perhaps: str

    @property
    def undecided(self) -> str:
        """The expression for what may or may not meet the filter."""
        return _all(self.perhaps, _not(self.surely)) if self.surely != self.perhaps else NEVER


def bounds_of(where: Filter, metadata: str) -> Bounds:
    """``where``, about the JSON field, or the key of the dynamic field, ``metadata``."""
    bounds = _node(where.root, metadata)
    return Bounds(NEVER, ALWAYS) if len(bounds.undecided) > _LONGEST else bounds


def quoted(text: str) -> str:
    """``text`` as a literal."""
    return json.dumps(text, ensure_ascii=False)


def _node(node: Node, metadata: str) -> Bounds:
    match node:
        case And(parts):
            inner = [_node(part, metadata) for part in parts]
            return Bounds(_all(*(each.surely for each in inner)), _all(*(each.perhaps for each in inner)))
        case Or(parts):
            inner = [_node(part, metadata) for part in parts]
            return Bounds(_any(*(each.surely for each in inner)), _any(*(each.perhaps for each in inner)))
        case Not(part):
            one = _node(part, metadata)
            return Bounds(_not(one.perhaps), _not(one.surely))
        case Exists(path, there):
            value, flat = _places(path, metadata)
            if value is None:
                return Bounds(NEVER, ALWAYS)
            exists = _any(_exists(value), _exists(flat) if flat else NEVER)
            return Bounds(exists, exists) if there else Bounds(_not(exists), _not(exists))
        case OneOf(path, values):
            missing = any(value is None for value in values)
            return _at(path, metadata, lambda value: _one_of(value, values), missing)
        case Contains(path, value):
            return _at(path, metadata, lambda place: _contains(place, value), False)
        case Comparison(path, sign, value):
            return _at(path, metadata, lambda place: _compares(place, sign, value), False)
    assert_never(node)


def _at(path: KeyPath, metadata: str, test: Callable[[str], Bounds], missing: bool) -> Bounds:
    """``test`` of the value at ``path``, which is ``missing`` if there is none."""
    value, flat = _places(path, metadata)
    if value is None:
        return Bounds(NEVER, ALWAYS)
    there, one = _exists(value), test(value)
    if flat is None:
        gone = _not(there) if missing else NEVER
        return Bounds(_any(one.surely, gone), _any(one.perhaps, gone))
    other = test(flat)
    gone = _not(_exists(flat)) if missing else NEVER
    return Bounds(
        _any(one.surely, _all(_not(there), _any(other.surely, gone))),
        _any(one.perhaps, _all(_not(there), _any(other.perhaps, gone))),
    )


def _places(path: KeyPath, metadata: str) -> tuple[str | None, str | None]:
    """Where the value is, and the one key that may be meant instead; nothing for a key that is written otherwise."""
    if not all(_KEY.fullmatch(part) for part in path.parts):
        return None, None
    value = metadata + "".join(f"[{quoted(part)}]" for part in path.parts)
    return value, None if path.flat is None else f"{metadata}[{quoted(path.flat)}]"


def _one_of(value: str, values: tuple[Scalar, ...]) -> Bounds:
    """Null is matched by nulls, arrays and objects, of which the last are none."""
    sure = [f"{value} == {'true' if each else 'false'}" for each in values if isinstance(each, bool)]
    numbers = [each for each in values if isinstance(each, int | float) and not isinstance(each, bool)]
    sure += [f"{value} == {_number(each)}" for each in numbers if abs(each) < _EXACT]
    if texts := [quoted(each) for each in values if isinstance(each, str)]:
        sure += [f"{value} in [{', '.join(texts)}]", *(f"json_contains({value}, {each})" for each in texts)]
    perhaps = [*sure, _exists(f"{value}[0]")] if len(texts) < len(values) else [*sure]
    if any(abs(each) >= _EXACT for each in numbers):
        perhaps += [f"{value} >= {_EXACT}", f"{value} <= {-_EXACT}"]
    if any(each is None for each in values):
        scalar = _any(f"{value} >= 0", f"{value} < 0", f'{value} >= ""', f"{value} == true", f"{value} == false")
        perhaps.append(_all(_exists(value), _not(scalar)))
    return Bounds(_any(*sure), _any(*perhaps))


def _contains(value: str, wanted: Scalar) -> Bounds:
    if isinstance(wanted, str):
        sure = f"json_contains({value}, {quoted(wanted)})"
        return Bounds(sure, sure)
    return Bounds(NEVER, _exists(f"{value}[0]"))


def _compares(value: str, sign: str, limit: int | float | str) -> Bounds:
    elements = _exists(f"{value}[0]")
    if isinstance(limit, str):
        sure = f"{value} {sign} {quoted(limit)}"
    elif abs(limit) < _EXACT:
        sure = f"{value} {sign} {_number(limit)}"
    else:
        return Bounds(NEVER, _any(f"{value} >= 0", f"{value} < 0", elements))
    return Bounds(sure, _any(sure, elements))


def _exists(value: str) -> str:
    return f"(exists {value})"  # it binds less than "and" does


def _number(value: int | float) -> str:
    return repr(int(value) if value == int(value) else value)


def _not(part: str) -> str:
    if part.startswith("(not ("):  # nothing else begins so
        return part.removeprefix("(not (").removesuffix("))")
    return {ALWAYS: NEVER, NEVER: ALWAYS}.get(part) or f"(not ({part}))"


def _all(*parts: str) -> str:
    return NEVER if NEVER in parts else _joined(" and ", [part for part in parts if part != ALWAYS]) or ALWAYS


def _any(*parts: str) -> str:
    return ALWAYS if ALWAYS in parts else _joined(" or ", [part for part in parts if part != NEVER]) or NEVER


def _joined(between: str, parts: list[str]) -> str:
    unique = list(dict.fromkeys(parts))
    return unique[0] if len(unique) == 1 else f"({between.join(unique)})" if unique else ""

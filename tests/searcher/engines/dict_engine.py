"""An engine whose answers a reader computes by hand: a dict, and every distance counted."""

import json
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from contract.model import ModelIdentity
from searcher.entry import Entry
from searcher.filters import And, Comparison, Contains, Exists, Filter, KeyPath, Node, Not, OneOf, Or
from searcher.matches import Matches
from searcher.scan.ranking import RANKS, Query, order_of

NOTHING = object()


class DictEngine:
    def __init__(self, identity: ModelIdentity) -> None:
        self.identity = identity
        self._entries: dict[str, Entry] = {}

    def search(self, queries: Sequence[Query], where: Filter | None = None) -> list[Matches]:
        return [self._nearest(query, self._meeting(where)) for query in queries]

    def get(self, paths: Sequence[str]) -> list[Entry | None]:
        return [self._entries.get(path) for path in paths]

    def list(self, after: str = "", limit: int = 50, where: Filter | None = None) -> list[Entry]:
        found = sorted(self._meeting(where), key=attrgetter("path"))
        return [entry for entry in found if entry.path > after][:limit]

    def count(self, where: Filter | None = None) -> int:
        return len(self._meeting(where))

    def add(self, entries: Sequence[Entry]) -> None:
        widths = {space.name: space.row_bytes for space in self.identity.spaces}
        for entry in entries:
            json.loads(entry.metadata or "null")
            if {name: len(vector) for name, vector in entry.vectors.items()} != widths:
                raise ValueError(f"{entry.path}: other widths")
        for entry in entries:
            self._entries.pop(entry.path, None)
            self._entries[entry.path] = entry

    def remove(self, paths: Sequence[str]) -> int:
        return len([self._entries.pop(path) for path in dict.fromkeys(paths) if path in self._entries])

    def _meeting(self, where: Filter | None) -> Sequence[Entry]:
        return [entry for entry in self._entries.values() if where is None or holds(where.root, document(entry))]

    def _nearest(self, query: Query, entries: Sequence[Entry]) -> Matches:
        if query.rank not in RANKS or (order := order_of(query.rank, query.vectors)) is None:
            raise ValueError(f"no rank {query.rank}")
        ranked = sorted(entries, key=lambda entry: [apart(query, entry, name) for name in order])
        near = [e for e in ranked if query.max_distance is None or apart(query, e, "code") <= query.max_distance]
        best = near[: query.top_k]
        spaces = self.identity.spaces
        return Matches(
            [entry.path for entry in best],
            [apart(query, entry, order[0]) for entry in best],
            [entry.metadata for entry in best],
            [None] * len(best),
            query.vectors,
            spaces,
            lambda: {space.name: space.array([entry.vectors[space.name] for entry in best]) for space in spaces},
            order[0],
        )


def apart(query: Query, entry: Entry, space: str) -> int:
    code = np.frombuffer(entry.vectors[space], np.uint8)
    return int(np.unpackbits(code ^ query.vectors[space]).sum())


def document(entry: Entry) -> Any:
    return NOTHING if entry.metadata is None else json.loads(entry.metadata)


def holds(node: Node, given: Any) -> bool:
    """What the tree of a filter means."""
    match node:
        case And(parts):
            return all(holds(part, given) for part in parts)
        case Or(parts):
            return any(holds(part, given) for part in parts)
        case Not(part):
            return not holds(part, given)
        case Exists(path, there):
            return (value_at(path, given) is not NOTHING) is there
        case OneOf(path, values):
            value = value_at(path, given)
            return any(each in values for each in elements(None if value is NOTHING else value))
        case Contains(path, value):
            found = value_at(path, given)
            return isinstance(found, list) and value in found
        case Comparison(path, sign, value):
            return any(compares(found, sign, value) for found in elements(value_at(path, given)))
    raise AssertionError(node)


def elements(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def compares(found: Any, sign: str, value: int | float | str) -> bool:
    if isinstance(found, str) is not isinstance(value, str) or not isinstance(found, str | int | float):
        return False
    return {"<": found < value, "<=": found <= value, ">": found > value, ">=": found >= value}[sign]  # type: ignore[operator]


def value_at(path: KeyPath, given: Any) -> Any:
    for part in path.parts:
        if not isinstance(given, dict) or part not in given:
            return NOTHING
        given = given[part]
    return given

"""Implementations of one protocol by name: built-in ones, and those that installed packages add.

name ─▶ built in, or entry point ─▶ import ─▶ the implementation, or the extra that must be installed
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from operator import attrgetter
from typing import Any


class NotRegistered(Exception):
    """No implementation has this name, or a dependency is missing. The message lists the names, or what to install."""


@dataclass(frozen=True)
class BuiltIn:
    """``place`` is "module:name"; ``extra`` is hashlake's extra with the module's dependencies, None if it has none."""

    place: str
    extra: str | None = None


class Registry:
    """All implementations of a ``kind`` ("source", "engine"): ``built_in`` by name, and those that packages add to the
    entry point ``group``. Each is imported when it is first requested."""

    def __init__(self, kind: str, group: str, built_in: Mapping[str, BuiltIn]) -> None:
        self._kind = kind
        self._group = group
        self._built_in = built_in

    def names(self) -> list[str]:
        """All names that ``get`` accepts."""
        return sorted({*self._built_in, *(each.name for each in entry_points(group=self._group))})

    def get(self, name: str) -> Any:
        """The implementation called ``name``. Raises NotRegistered."""
        known = self._built_in.get(name)
        if known is not None:
            module, _, attribute = known.place.partition(":")
            try:
                return attrgetter(attribute)(import_module(module))
            except ModuleNotFoundError as error:
                if known.extra is None:
                    raise
                raise NotRegistered(
                    f"the {self._kind} {name} needs {error.name}: pip install 'hashlake[{known.extra}]'"
                ) from error
        for found in entry_points(group=self._group, name=name):
            return found.load()
        raise NotRegistered(f"there is no {self._kind} {name!r}; there are: {', '.join(self.names())}")

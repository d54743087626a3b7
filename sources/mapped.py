"""A source whose items have other names: copies are read, and answers name their originals.

    small/=photos/       small/a.jpg is read, and called photos/a.jpg

Where several copies get one name, the first of them counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Self

from sources.errors import SourceError
from sources.source import Item, Source


@dataclass(frozen=True)
class Mapping:
    """The first ``old`` in a name becomes ``new``."""

    old: str
    new: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the mapping "old=new". Raises SourceError."""
        old, equals, new = text.partition("=")
        if not old or not equals:
            raise SourceError(f"{text[:200]!r} maps no path: write FROM=TO, and TO may be empty")
        return cls(old, new)

    def __str__(self) -> str:
        return f"{self.old}={self.new}"


@dataclass(frozen=True)
class _Copy(Item):
    """An item by its new name, and as its source calls it."""

    read_as: Item | None = None


class MappedSource:
    """The items of ``source`` by the names that ``mappings`` give them, each applied to what the ones before made.
    Raises SourceError for an item that is left without a name."""

    def __init__(self, source: Source, mappings: Sequence[Mapping]) -> None:
        self._source = source
        self._mappings = mappings
        self.ahead: int = getattr(source, "ahead", 0)

    def __str__(self) -> str:
        return str(self._source)

    @property
    def count(self) -> int:
        return self._source.count

    @property
    def state(self) -> str:
        return " ".join([self._source.state, *(f"map:{each}" for each in self._mappings)])

    def items(self, start: int = 0) -> Iterator[Item]:
        return map(self._mapped, self._source.items(start))

    def with_version(self, item: Item) -> Item:
        return self._mapped(self._source.with_version(_read_as(item)))

    def read(self, item: Item) -> tuple[Item, bytes]:
        item, data = self._source.read(_read_as(item))
        return self._mapped(item), data

    def _mapped(self, item: Item) -> Item:
        known = {field.name: getattr(item, field.name) for field in fields(Item)}
        for mapping in self._mappings:
            known["name"] = known["name"].replace(mapping.old, mapping.new, 1)
        if not known["name"]:
            raise SourceError(f"{item.name[:200]!r} is left without a name: map a part of it alone")
        return _Copy(**known, read_as=item)


def _read_as(item: Item) -> Item:
    assert isinstance(item, _Copy) and item.read_as is not None
    return item.read_as

"""Where pictures come from: a source names items and reads them, a splitter takes items apart.

    source.items()  ─▶ Item("a.jpg")           ─▶ source.with_version ─▶ source.read ─▶ bytes
                       Item("catalogue.pdf")   ─▶ …  ─▶ splitter.parts ─▶ Item("catalogue.pdf#page=1"), bytes

Items are named in one thread, cheaply, and read in many. If an item's version already has codes, it needn't be read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from sources.errors import Unreadable


@dataclass(frozen=True)
class Item:
    """A picture or text that becomes a row.

    ``name`` is a path as the listing spells it, a URL, ``s3://bucket/key``, ``x.pdf#page=3``. ``version`` changes when
    the content does (size and time, ETag); None if it isn't known yet, or cannot be. ``parent`` is the name of the item
    that this one is a part of. ``metadata`` is what the source knows of it, a JSON object as text.
    """

    name: str
    kind: Literal["picture", "text"] = "picture"
    version: str | None = None
    parent: str | None = None
    metadata: str | None = None


class Source(Protocol):
    """Items in a stable order, and their contents. ``str`` of it is a name to show people.

    Many threads call ``with_version`` and ``read`` at once. A source far away also has ``ahead``, the number of reads
    that are worth having under way at once. One that can be pickled can be read on other machines, too: only those two
    are called of the copy.
    """

    @property
    def count(self) -> int:
        """The number of items."""

    @property
    def state(self) -> str:
        """Changes when the items' names or their order do. A killed run can be continued only in the same state."""

    def items(self, start: int = 0) -> Iterator[Item]:
        """Yields the items from number ``start`` on; a number, since a listing may name an item twice."""

    def with_version(self, item: Item) -> Item:
        """Returns ``item`` with its present version, as far as that can be told without reading it.

        Raises Unreadable if the item is already known to be unreadable.
        """

    def read(self, item: Item) -> tuple[Item, bytes]:
        """Returns the item, with its version from before it was read, and its content. Raises Unreadable."""


class Splitter(Protocol):
    """Takes apart items that hold several pictures: pages, figures, regions. ``str`` of it names it with its options:
    other options make other parts."""

    @property
    def suffixes(self) -> frozenset[str]:
        """What names of such items end in, in lower case, for sources that select files by name: ``{".pdf"}``."""

    def splits(self, item: Item) -> bool:
        """Whether this splitter takes ``item`` apart, judging by its name."""

    def parts(self, item: Item, data: bytes) -> Iterator[tuple[Item, bytes | Unreadable]]:
        """Yields the parts, each with its own name, ``parent`` and content, or why that part has none. Raises
        Unreadable for the whole item."""

"""A splitter whose parts a reader computes by hand."""

from collections.abc import Iterator
from dataclasses import replace

from sources.errors import Unreadable
from sources.source import Item
from tests.fakes import png_of


class Pairs:
    """A file a.pair with the text "1,2" holds two pictures, a.pair#1 and a.pair#2, of the codes 1 and 2. Where a code
    is "x", that part is no picture; where it is "!", splitting fails there."""

    suffixes = frozenset({".pair"})

    def __str__(self) -> str:
        return "pairs"

    def splits(self, item: Item) -> bool:
        return item.name.endswith(".pair")

    def parts(self, item: Item, data: bytes) -> Iterator[tuple[Item, bytes]]:
        for code in data.decode().split(",") if data else []:
            if code == "!":
                raise Unreadable("the pair is torn")
            part = replace(item, name=f"{item.name}#{code}", parent=item.name)
            yield part, b"no picture" if code == "x" else png_of(int(code))

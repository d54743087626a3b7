"""Items on disk, for sources that have to ask for their names: written once, in order, and read as often as wanted.

    pages of names ─▶ one JSON array a line, in a file of this process's ─▶ items(start)

So a million items take a hundred megabytes of disk and hardly any memory, and their number is known.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sources.source import Item


def storable(text: str) -> str:
    """Returns ``text`` with a question mark for each half of a character: JSON can spell those, no table can hold
    them."""
    return text.encode("utf-8", "replace").decode()


class Spool:
    """The items in the file at ``path``. ``count`` is their number; ``state`` (sha256, hex) changes with their names
    and their order."""

    def __init__(self, path: Path, items: Iterable[Item], name: str) -> None:
        """Write ``items`` to the file. ``name`` is shown to people."""
        self._path = path
        self._name = name
        self.count = 0
        digest = hashlib.sha256()
        with path.open("w", encoding="utf-8") as lines:
            for item in items:
                lines.write(json.dumps([item.name, item.version, item.metadata, item.parent]) + "\n")
                digest.update(item.name.encode("utf-8", "surrogateescape") + b"\0")
                self.count += 1
        self.state = digest.hexdigest()

    def __str__(self) -> str:
        return self._name

    def items(self, start: int = 0) -> Iterator[Item]:
        """Yields the items from number ``start`` on."""
        with self._path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if number >= start:
                    name, version, metadata, parent = json.loads(line)
                    yield Item(name, version=version, metadata=metadata, parent=parent)


class Spooled:
    """What every source of the items in ``spool`` tells of them. It is called as the spool is."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def __str__(self) -> str:
        return str(self._spool)

    @property
    def count(self) -> int:
        return self._spool.count

    @property
    def state(self) -> str:
        return self._spool.state

    def items(self, start: int = 0) -> Iterator[Item]:
        return self._spool.items(start)


@contextmanager
def spooled(items: Iterable[Item], name: str) -> Iterator[Spool]:
    """Yields a spool of ``items``, whose file is removed at the end of the block."""
    with TemporaryDirectory(prefix="hashlake-") as scratch:
        yield Spool(Path(scratch) / "items.jsonl", items, name)

"""The listing: one image a line (``database_info.txt``), in the order that rows will have."""

import hashlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path

from indexer.errors import IndexingError


class Listing:
    """The lines of the file at ``path``. Empty lines don't count, a Windows line end or
    byte-order mark is no part of a name.

    ``count`` is the number of images, ``sha256`` (hex) tells two listings apart. Lines that are not UTF-8 keep their
    bytes as surrogates (PEP 383), so that they can be reported.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        digest = hashlib.sha256()
        self.count = 0
        try:
            for line in self._lines():
                digest.update(line)
                self.count += bool(line.rstrip(b"\r\n"))
        except OSError as error:
            raise IndexingError(f"the listing {path} cannot be read: {error.strerror}") from error
        self.sha256 = digest.hexdigest()

    def paths(self, start: int = 0) -> Iterator[str]:
        """Paths from image number ``start`` on."""
        number = 0
        for line in self._lines():
            name = line.rstrip(b"\r\n")
            if name:
                if number >= start:
                    yield name.decode("utf-8", "surrogateescape")
                number += 1

    def _lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines):
                yield line.removeprefix(BOM_UTF8) if number == 0 else line

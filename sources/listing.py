"""The listing (``database_info.txt``): one image per line, in the order that rows will have.

It is in UTF-8, or in the encoding that its first bytes tell: PowerShell's ``>`` writes UTF-16.

    EF BB BF           UTF-8        FF FE    d 0          UTF-16, little-endian, with or without a byte-order mark
    d                  UTF-8        FE FF    0 d          UTF-16, big-endian
"""

import hashlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Iterator
from pathlib import Path

from sources.errors import ListingError

#: UTF-32 before UTF-16: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (BOM_UTF8, "utf-8"),
    (BOM_UTF32_LE, "utf-32-le"),
    (BOM_UTF32_BE, "utf-32-be"),
    (BOM_UTF16_LE, "utf-16-le"),
    (BOM_UTF16_BE, "utf-16-be"),
)


class Listing:
    """The lines of the file at ``path``. Empty lines don't count; Windows line ends and a byte-order mark aren't part
    of a name.

    ``count`` is the number of images; ``state`` (sha256, hex) tells two listings apart. Lines that aren't UTF-8 keep
    their bytes as surrogates (PEP 383), so that they can be reported. Raises ListingError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        digest = hashlib.sha256()
        self.count = 0
        try:
            self._mark, self._encoding = encoding_of(path)
            for line in self._lines():
                digest.update(line)
                self.count += bool(line.rstrip(b"\r\n"))
        except OSError as error:
            raise ListingError(f"the listing {path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ListingError(
                f"the listing {path} begins like text in {self._encoding.upper()} and isn't: {error.reason}"
            ) from error
        self.state = digest.hexdigest()

    def __str__(self) -> str:
        return str(self.path)

    def names(self, start: int = 0) -> Iterator[str]:
        """Yields the names from image number ``start`` on."""
        number = 0
        for line in self._lines():
            name = line.rstrip(b"\r\n")
            if name:
                if number >= start:
                    yield name.decode("utf-8", "surrogateescape")
                number += 1

    def _lines(self) -> Iterator[bytes]:
        """Yields the lines in UTF-8, whatever the file's encoding."""
        if self._encoding == "utf-8":
            with self.path.open("rb") as lines:
                lines.seek(len(self._mark))
                yield from lines
        else:
            with self.path.open(encoding=self._encoding, newline="\n") as texts:
                texts.read(bool(self._mark))
                for text in texts:
                    yield text.encode()


def encoding_of(path: Path) -> tuple[bytes, str]:
    """Returns the byte-order mark of the file at ``path``, or no bytes, and its encoding. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(4)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return mark, encoding
    # No name holds a zero byte, so the zeros beside the first character tell the characters' width and byte order.
    zeros = tuple(not byte for byte in head)
    widths = {
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
        (False, True): "utf-16-le",
        (True, False): "utf-16-be",
    }
    return b"", widths.get(zeros) or widths.get(zeros[:2]) or "utf-8"

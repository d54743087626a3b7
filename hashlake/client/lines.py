"""Files with one image per line: a JSON object or just a URL."""

from array import array
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

from pydantic import TypeAdapter, ValidationError

from hashlake.client.answers import NewImage, StoredImage
from hashlake.client.errors import BadLine
from hashlake.client.json_text import decode

_Item = TypeVar("_Item", NewImage, StoredImage)

_new = TypeAdapter(NewImage)
_stored = TypeAdapter(StoredImage)


class Lines:
    """The non-blank lines of ``file``; iterate over them once.

    ``number(position)`` is the line number (from 1) of the image at ``position`` (from 0). ``bad`` is called for each
    malformed line; if it doesn't raise, the line is left out.
    """

    def __init__(self, file: BinaryIO, bad: Callable[[BadLine], None]) -> None:
        self._file = file
        self._bad = bad
        self._numbers = array("Q")

    def number(self, position: int) -> int:
        return self._numbers[position]

    def new_images(self) -> Iterator[NewImage]:
        """Yields the images of lines ``{"url": …, "metadata": …}``, or of just a URL."""
        return self._images(lambda line: _parsed(_new, line) if line.startswith("{") else NewImage(line))

    def stored_images(self) -> Iterator[StoredImage]:
        """Yields the images of lines ``{"url": …, "embedding": …, "metadata": …}``, as in a dump."""
        return self._images(lambda line: _parsed(_stored, line))

    def _images(self, parse: Callable[[str], _Item]) -> Iterator[_Item]:
        for number, line in enumerate(self._file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if not text:
                    continue
                image = parse(text)
            except UnicodeDecodeError:
                self._bad(BadLine(f"line {number:,}: not UTF-8"))
            except ValueError as error:
                self._bad(BadLine(f"line {number:,}: {error}"))
            else:
                self._numbers.append(number)
                yield image


def count_lines(file: BinaryIO) -> int | None:
    """Returns how many lines ``file`` has from here on, or None if it cannot be read twice, such as a pipe."""
    if not file.seekable():
        return None
    start = file.tell()
    number = sum(1 for _ in file)
    file.seek(start)
    return number


def _parsed(adapter: TypeAdapter[_Item], line: str) -> _Item:
    """Returns the object in ``line``. Raises ValueError, in one line, if it has another shape."""
    given = decode(line)
    if not isinstance(given, dict):
        raise ValueError("no JSON object")
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{first['loc'][0]}: {first['msg']}") from error

"""Files of one image a line, each line a JSON object, or just a URL."""

from array import array
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

from pydantic import TypeAdapter, ValidationError

from client.answers import NewImage, StoredImage
from client.errors import BadLine
from client.json_text import decode

_Item = TypeVar("_Item", NewImage, StoredImage)

_new = TypeAdapter(NewImage)
_stored = TypeAdapter(StoredImage)


class Lines:
    """The lines of ``file`` that aren't blank, which can be gone through once.

    ``number(position)`` is the number, from 1, of the line that the image at ``position``, from 0, stood on. ``bad`` is
    called for a line that isn't what it should be; what it doesn't raise is left out.
    """

    def __init__(self, file: BinaryIO, bad: Callable[[BadLine], None]) -> None:
        self._file = file
        self._bad = bad
        self._numbers = array("Q")

    def number(self, position: int) -> int:
        return self._numbers[position]

    def new_images(self) -> Iterator[NewImage]:
        """Of lines ``{"url": …, "metadata": …}``, or just a URL."""
        return self._images(lambda line: _parsed(_new, line) if line.startswith("{") else NewImage(line))

    def stored_images(self) -> Iterator[StoredImage]:
        """Of lines ``{"url": …, "embedding": …, "metadata": …}``, as a dump has them."""
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
    """How many lines ``file`` has from here on; None where they cannot be read twice, as from a pipe."""
    if not file.seekable():
        return None
    start = file.tell()
    number = sum(1 for _ in file)
    file.seek(start)
    return number


def _parsed(adapter: TypeAdapter[_Item], line: str) -> _Item:
    """ValueError, in one line, for what is no such object."""
    given = decode(line)
    if not isinstance(given, dict):
        raise ValueError("no JSON object")
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{first['loc'][0]}: {first['msg']}") from error

"""The pages of a document: what a source names, taken apart where it holds several, and each seen as a picture.

    item ─▶ read, some ahead ─▶ parts (a PDF's pages) ─▶ document and number ─▶ decoded, at most 2500 pixels a side

Numbers count a document's pages from 1, those that fail too. A page of a IIIF manifest belongs to the manifest, one of
a PDF to the PDF, any other picture to the whole source.
"""

import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from elements.names import document_name, picture_name
from pictures.decode import shrunken
from pictures.errors import ImageError
from pictures.limits import DEFAULT_LIMITS
from pictures.opening import opened
from sources.errors import Unreadable
from sources.full_size import full_size_of
from sources.source import Item, Source, Splitter
from sources.spool import storable

#: No document is called so: its files would be those about all documents (elements/outputs.py).
_OURS = ("documents",)
#: Pages are seen at most so large, as they are asked for of servers that scale.
MAX_SIDE = 2500
#: Items that are read before their turn; a source far away may allow more, but each is held in memory.
_AHEAD = 8
_MOST_PAGES = 1_000_000


@dataclass(frozen=True)
class Page:
    """A page, not yet seen. ``document``: the address of what it belongs to, whose files are called ``called``.
    ``name``: the canvas's id, the file's path. ``file``: what its picture is called. ``size``: width and height that
    boxes are told in, where that is known before it is seen. ``about``: what the source says of it."""

    document: str
    called: str
    number: int
    name: str
    file: str
    version: str | None = None
    size: tuple[int, int] | None = None
    about: str | None = None


@dataclass(frozen=True)
class Seen:
    """A page's ``picture``, uint8 (height, width, 3) RGB, and the ``size`` that boxes are told in, in pixels."""

    picture: NDArray[np.uint8]
    size: tuple[int, int]


class Pages:
    """The pages of what ``source`` names, which is at ``address``."""

    def __init__(self, source: Source, address: str, splitters: Sequence[Splitter]) -> None:
        self._source = source
        self._address = storable(address)
        self._splitters = splitters
        self._numbers: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self._taken = set(_OURS)

    def read(self, known: "Known") -> Iterator[tuple[Page, bytes | Unreadable | None]]:
        """Yields each page with its file, or why there is none; None for a page that is ``known``, which isn't read."""
        ahead = min(_AHEAD, getattr(self._source, "ahead", 2))
        with ThreadPoolExecutor(ahead) as pool:
            running: deque[Future[_Read]] = deque()
            for item in self._source.items():
                running.append(pool.submit(self._read, item, known))
                if len(running) > ahead:
                    yield from self._pages(running.popleft().result(), known)
            while running:
                yield from self._pages(running.popleft().result(), known)

    def _read(self, item: Item, known: "Known") -> "_Read":
        try:
            item = self._source.with_version(item)
            if not self._splitter(item) and known.has(item.name, item.version):
                return item, None
            return self._source.read(item)
        except Unreadable as error:
            return item, error

    def _pages(self, read: "_Read", known: "Known") -> Iterator[tuple[Page, bytes | Unreadable | None]]:
        item, data = read
        splitter = self._splitter(item)
        if splitter is None:
            yield self._page(item), data
            return
        if not isinstance(data, bytes):
            yield self._page(replace(item, parent=item.name)), data or Unreadable("it has no pages")
            return
        try:
            for part, content in splitter.parts(item, data):
                yield self._page(part), None if known.has(part.name, part.version) else content
        except Unreadable as error:
            yield self._page(replace(item, parent=item.name)), error

    def _splitter(self, item: Item) -> Splitter | None:
        return next((each for each in self._splitters if each.splits(item)), None)

    def _page(self, item: Item) -> Page:
        about = about_of(item.metadata)
        document = storable(str(about.get("manifest") or item.parent or self._address))
        counted = self._numbers[document] = self._numbers[document] + 1
        number = about.get("page")
        if not isinstance(number, int) or not 0 < number <= _MOST_PAGES:  # anybody's words
            number = counted
        _, _, image = item.name.rpartition("#image=")
        further = int(image) if "manifest" in about and image.isdigit() else 1
        size = full_size_of(item.metadata)
        called = self._name(document)
        file = picture_name(called, number, further)
        return Page(document, called, number, storable(item.name), file, item.version, size, item.metadata)

    def _name(self, document: str) -> str:
        """Returns the name of ``document``, another one for each."""
        if document not in self._names:
            plain, number = document_name(document), 1
            name = plain
            while name.lower() in self._taken:
                number += 1
                name = f"{plain}-{number}"
            self._taken.add(name.lower())  # there are disks to which a.txt and A.txt are one file
            self._names[document] = name
        return self._names[document]


class Known(Protocol):
    """What needs no reading."""

    def has(self, name: str, version: str | None) -> bool:
        """Whether the page called ``name`` is known in this version. Threads may ask at once."""


#: An item with its version, and its content, why it has none, or nothing where it is known.
_Read = tuple[Item, bytes | Unreadable | None]


def about_of(metadata: str | None) -> dict[str, Any]:
    """Returns what a source says of an item."""
    about = json.loads(metadata or "{}")
    return about if isinstance(about, dict) else {}


def seen(page: Page, data: bytes) -> Seen:
    """Returns the picture of ``page`` in the file ``data``. Raises Unreadable."""
    claimed = (0, 0)

    def note(size: tuple[int, int]) -> tuple[int, int]:
        nonlocal claimed
        claimed = size
        return 1, 1

    try:
        with opened(data, DEFAULT_LIMITS, note):
            pass
        picture = np.asarray(shrunken(data, MAX_SIDE))
    except ImageError as error:
        raise Unreadable(str(error)) from error
    height, width = picture.shape[:2]
    if (claimed[0] > claimed[1]) != (width > height):  # turned upright
        claimed = claimed[::-1]
    return Seen(picture, page.size or claimed)

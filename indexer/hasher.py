"""The indexer's unit of work: a batch of items → an outcome for each.

    version ─▶ known already? ─▶ read ─▶ split ─▶ known already? ─▶ decode ─▶ forward pass

Workers, threads or others, pass it batches and get outcomes (``indexer/workers.py``).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.space import row_of
from embedding.embedder import Embedder
from indexer.ahead import ReadAhead
from indexer.changes import KnownVectors, said_of
from indexer.outcome import Embedded, Outcome, Skipped
from pictures.errors import ImageError
from searcher.versions.images import ImageFile, Sourced
from sources.errors import Unreadable
from sources.folder import FileVersion
from sources.source import Item, Source, Splitter

#: Pictures per forward pass: enough to amortise its overhead, few enough to stay in the processor's cache.
CHUNK = 16


class Hasher:
    """Hashes the items of ``source`` that aren't ``known``. One of ``splitters`` may split an item into parts."""

    def __init__(
        self, model: Embedder, source: Source, known: KnownVectors, splitters: Sequence[Splitter] = ()
    ) -> None:
        self._model = model
        self._source = source
        self._known = known
        self._splitters = splitters
        self._ahead = ReadAhead(source)

    def started(self, batches: Iterator[list[Item]]) -> Iterator[list[Item]]:
        """Yields ``batches``; from a source far away, what must be read of each begins to come before it is hashed."""
        for batch in batches:
            if self._ahead.is_worth_it:
                found = [item for item, unreadable in map(self._with_version, batch) if unreadable is None]
                for item, known in zip(found, self._known.by_version(found), strict=True):
                    if known is None:
                        self._ahead.start(item)
            yield batch

    def close(self) -> None:
        """Stop reading ahead."""
        self._ahead.close()

    def outcomes(self, items: Sequence[Item]) -> list[Outcome]:
        """Returns one outcome for each of ``items``, in their order."""
        found = [self._with_version(item) for item in items]
        known = iter(self._known.by_version([item for item, unreadable in found if unreadable is None]))
        prepared = [
            (item, [unreadable]) if unreadable else self._prepare(item, next(known)) for item, unreadable in found
        ]
        all_images = [image for _, images in prepared for image in images]
        pictures = self._embedded([image for image in all_images if isinstance(image, _Decoded)])
        texts = self._read([image for image in all_images if isinstance(image, _Text)])

        def embedded(image: _Prepared) -> Embedded | Skipped:
            if isinstance(image, _Decoded):
                return next(pictures)
            return next(texts) if isinstance(image, _Text) else image

        return [Outcome(item, list(map(embedded, images))) for item, images in prepared]

    def _embedded(self, decoded: list["_Decoded"]) -> Iterator[Embedded]:
        for start in range(0, len(decoded), CHUNK):
            chunk = decoded[start : start + CHUNK]
            vectors = self._model.embed(np.stack([each.picture for each in chunk]))
            for row, each in enumerate(chunk):
                yield Embedded(each.file, row_of(vectors, row), sourced=each.sourced)

    def _read(self, texts: list["_Text"]) -> Iterator[Embedded]:
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            vectors = self._model.embed_text([each.text for each in chunk])
            for row, each in enumerate(chunk):
                yield Embedded(each.file, row_of(vectors, row), sourced=each.sourced)

    def _with_version(self, item: Item) -> tuple[Item, Skipped | None]:
        try:
            return self._source.with_version(item), None
        except Unreadable as error:
            return item, Skipped.item(item, error)

    def _prepare(self, item: Item, kept: list[Embedded] | None) -> tuple[Item, list["_Prepared"]]:
        """Do everything before the forward pass. Returns the item with its version, and its images."""
        if kept is not None:
            return item, [*kept]
        try:
            item, data = self._ahead.read(item)
            return item, self._images(item, data, self._splitters)
        except Unreadable as error:
            return item, [Skipped.item(item, error)]

    def _images(self, item: Item, data: bytes | Unreadable, splitters: Sequence[Splitter]) -> list["_Prepared"]:
        """Returns the images of ``item``, which the first of ``splitters`` that can takes apart, and the next ones its
        parts."""
        if isinstance(data, Unreadable):
            return [Skipped.item(item, data)]
        place = next((place for place, each in enumerate(splitters) if each.splits(item)), None)
        if place is None:
            return [self._image(item, data)]
        if kept := self._known.with_regions(item, _file(item, data)):
            return [*kept]
        parts, others = splitters[place].parts(item, data), splitters[place + 1 :]
        # Read all parts first: an item whose third part is unreadable must not get two rows.
        images = [image for part, content in parts for image in self._images(part, content, others)]
        return images or [Skipped.item(item, "it has no parts")]

    def _image(self, item: Item, data: bytes) -> "_Prepared":
        file = _file(item, data)
        if kept := self._known.by_content(item, file):
            return kept
        if item.kind == "text":
            return _Text(file, data.decode(), said_of(item))
        try:
            return _Decoded(file, self._model.prepare(data), said_of(item))
        except ImageError as error:
            return Skipped.item(item, error)


def _file(item: Item, data: bytes) -> ImageFile:
    version = FileVersion.parse(item.version) or FileVersion(len(data), 0)
    return ImageFile(item.name, version.size, version.mtime_ns, hashlib.blake2b(data, digest_size=16).digest())


@dataclass(frozen=True)
class _Decoded:
    file: ImageFile
    picture: NDArray[np.uint8]
    sourced: Sourced


@dataclass(frozen=True)
class _Text:
    file: ImageFile
    text: str
    sourced: Sourced


_Prepared = Embedded | Skipped | _Decoded | _Text

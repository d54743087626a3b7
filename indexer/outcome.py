"""The outcome of an item: images that get a row each, and paths that get none, with the reason."""

from dataclasses import dataclass

from contract.space import VectorBytes
from searcher.versions.images import NOTHING_SAID, ImageFile, Sourced
from sources.source import Item


@dataclass(frozen=True)
class Embedded:
    """One image and its vectors, with what its source says of it. ``reused``: the vectors came from the base
    version."""

    file: ImageFile
    vectors: VectorBytes
    reused: bool = False
    sourced: Sourced = NOTHING_SAID


@dataclass(frozen=True)
class Skipped:
    """One path that gets no row, and why."""

    path: str
    reason: str

    @classmethod
    def item(cls, item: Item, reason: object) -> "Skipped":
        """Returns the skipped ``item``; where its name isn't UTF-8, bytes are shown as escapes."""
        return cls(item.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), str(reason))


@dataclass(frozen=True)
class Outcome:
    """Of one ``item``, with the version that it was found in: one image, or one a part."""

    item: Item
    images: list[Embedded | Skipped]

"""The images added to a collection since its version was built, in memory, oldest first.

    changes ─▶ TailBuilder, which only grows ─▶ Tail: its state at one moment, for a view

An image that is replaced or removed keeps its place, but is no longer alive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import Space, Vectors, row_of
from searcher.entry import Entry
from searcher.live.bitmaps import Bitmap, has, packed, unpacked
from searcher.live.changes import ChangesRead


@dataclass(frozen=True)
class Tail:
    """The first ``count`` places; ``alive`` is a bitmap of those not removed or replaced by then.

    Everything else is shared with later tails and only grows. ``latest`` is the last place of each path, and
    ``earlier`` gives for each place the previous one of its path, -1 for none.
    """

    count: int
    vectors: Vectors
    alive: Bitmap
    paths: list[str]
    metadata: list[str | None]
    digests: list[bytes | None]
    fetched: list[str | None]
    latest: dict[str, int]
    earlier: list[int]

    def find(self, path: str) -> int | None:
        """The place of ``path``, or None if it has none, or is no longer alive."""
        place = self.latest.get(path, -1)
        while place >= self.count:
            place = self.earlier[place]
        return place if place >= 0 and has(self.alive, place) else None

    def entry(self, place: int) -> Entry:
        return Entry(
            self.paths[place],
            row_of(self.vectors, place),
            self.metadata[place],
            self.digests[place],
            self.fetched[place],
        )

    def living(self) -> NDArray[np.int64]:
        """The places that are alive, ascending."""
        return np.flatnonzero(unpacked(self.alive, self.count))


class TailBuilder:
    """A growing tail of vectors in ``spaces``. ``living`` counts the places that are alive."""

    def __init__(self, spaces: Sequence[Space]) -> None:
        self._spaces = spaces
        self._vectors: dict[str, NDArray[Any]] = {space.name: space.empty() for space in spaces}
        self._alive: Bitmap = np.empty(0, np.uint8)
        self._paths: list[str] = []
        self._metadata: list[str | None] = []
        self._digests: list[bytes | None] = []
        self._fetched: list[str | None] = []
        self._latest: dict[str, int] = {}
        self._earlier: list[int] = []
        self.living = 0

    @property
    def dead(self) -> int:
        """The number of places that are no longer alive."""
        return len(self._paths) - self.living

    def change(self, read: ChangesRead) -> None:
        """Apply ``read``: removed and replaced images are no longer alive, added ones follow at the end."""
        start = len(self._paths)
        alive = unpacked(self._alive, start)
        alive[[self._latest[change.path] for change in read.changes if change.path in self._latest]] = False
        added = [change for change in read.changes if not change.removed]
        for space in self._spaces:
            more = space.array(read.vectors[space.name])
            self._vectors[space.name] = _grown(self._vectors[space.name], start, more)
        for place, change in enumerate(added, start):
            self._paths.append(change.path)
            self._metadata.append(change.metadata)
            self._digests.append(change.digest)
            self._fetched.append(change.fetched)
            self._earlier.append(self._latest.get(change.path, -1))
            self._latest[change.path] = place  # last: views in other threads follow it back to a place they know
        alive = np.concatenate([alive, np.ones(len(added), bool)])
        self._alive = packed(alive)
        self.living = int(alive.sum())

    def tail(self) -> Tail:
        """The tail as it is now."""
        return Tail(
            len(self._paths), dict(self._vectors), self._alive, self._paths, self._metadata, self._digests,
            self._fetched, self._latest, self._earlier,
        )  # fmt: skip


def _grown(vectors: NDArray[Any], used: int, more: NDArray[Any]) -> NDArray[Any]:
    """``vectors`` with ``more`` after the first ``used``; in a new array, twice as large, if they don't fit."""
    if used + len(more) > len(vectors):
        larger = np.empty((max(1024, 2 * (used + len(more))), vectors.shape[1]), vectors.dtype)
        larger[:used] = vectors[:used]
        vectors = larger
    vectors[used : used + len(more)] = more
    return vectors

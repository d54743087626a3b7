"""Signatures of pictures and the distances between them, shared by a model's codes and the baselines.

Distances are small integers, so ties are exact, and pictures can be counted by distance instead of sorted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pictures.preparation import Preprocessing

#: ``hamming``: differing bits of packed codes. ``hamming, ties by detail``: likewise, then by the differing bits of a
#: second code in the bytes that follow. ``l1``: sum of absolute differences of bytes.
Metric = Literal["hamming", "hamming, ties by detail", "l1"]

#: The bytes of an ``l1`` signature add up to at most this.
L1_TOTAL = 255

#: Entries in a block of the distance matrix; all of it, 60,000 × 60,000, would take 7 GB.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Method:
    """A way to compare pictures: ``preprocessing`` prepares them, uint8 (n, size, size, 3), ``sign`` turns them into
    signatures, uint8 (n, bytes), and ``metric`` compares these. ``name`` and ``note`` are for people."""

    name: str
    note: str
    preprocessing: Preprocessing
    sign: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    metric: Metric = "hamming"


@dataclass(frozen=True)
class Signatures:
    """``values``: uint8 (n, bytes), compared by ``metric``. ``code_bytes``: if detail codes follow the codes, how many
    bytes the code has."""

    values: NDArray[np.uint8]
    metric: Metric = "hamming"
    code_bytes: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> "Signatures":
        return Signatures(self.values[rows], self.metric, self.code_bytes)

    @property
    def levels(self) -> int:
        """Distances are integers from 0 to ``levels`` − 1."""
        if self.metric == "l1":
            return 1 + 2 * L1_TOTAL
        if self.metric == "hamming, ties by detail":
            return self._codes.levels * self._details.levels
        bits: int = 8 * self.values.shape[1]
        return 1 + bits

    @property
    def _codes(self) -> "Signatures":
        return Signatures(self.values[:, : self.code_bytes])

    @property
    def _details(self) -> "Signatures":
        return Signatures(self.values[:, self.code_bytes :])

    def distances(self, others: "Signatures") -> NDArray[np.uint32]:
        """Returns distances, uint32 (n, len(others)). Call it for a block of rows (see ``blocks``), not for all."""
        if self.metric == "hamming, ties by detail":
            codes, details = self._codes.distances(others._codes), self._details.distances(others._details)
            return codes * np.uint32(self._details.levels) + details
        total = np.zeros((len(self), len(others)), np.uint32)
        # Compare one contiguous column at a time: several times as fast as striding through rows.
        if self.metric == "hamming":
            for ours, theirs in zip(_words(self.values), _words(others.values), strict=True):
                total += np.bitwise_count(ours[:, None] ^ theirs)
        else:
            for ours, theirs in zip(self.values.T, others.values.T.copy(), strict=True):
                total += np.maximum(ours[:, None], theirs) - np.minimum(ours[:, None], theirs)
        return total


def blocks(rows: int, entries: int) -> Iterator[slice]:
    """Yields slices that cover ``rows`` rows of ``entries`` entries each, a few million entries at a time."""
    step = max(1, _BLOCK // max(1, entries))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _words(values: NDArray[np.uint8]) -> NDArray[np.unsignedinteger]:
    """Returns ``values`` as the widest words that divide a row, one line per column: (words, n)."""
    width = values.shape[1]
    size = next(size for size in (8, 4, 2, 1) if width % size == 0)
    words: NDArray[np.unsignedinteger] = np.ascontiguousarray(values).view(f"u{size}").T.copy()
    return words

"""The question that every way of searching takes, and the answers that it returns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ties:
    """Orders rows at one distance by second codes: one of each row, ``codes`` uint8 (count, bytes), is compared with
    one of each query, ``queries`` uint8 (n, bytes)."""

    codes: NDArray[np.uint8]
    queries: NDArray[np.uint8]


@dataclass(frozen=True)
class Question:
    """A batch of ``queries``, uint8 (n, bytes).

    For each, at most ``top_k`` answers are wanted, int64 (n,), at distances below ``limits``, int64 (n,). ``allowed``
    is a bitmap of rows (``CodeIndex.search``).
    """

    queries: NDArray[np.uint8]
    top_k: NDArray[np.int64]
    limits: NDArray[np.int64]
    allowed: NDArray[np.uint8] | None = None
    ties: Ties | None = None

    @property
    def second_width(self) -> int:
        """Bytes of the second codes, 0 where there are none."""
        return 0 if self.ties is None else self.ties.codes.shape[1]

    @property
    def scale(self) -> int:
        """The factor of a distance in an answer: one more than the greatest distance of second codes."""
        return 8 * self.second_width + 1

    def part(self, chosen: slice | Sequence[int]) -> "Question":
        """The same question for the ``chosen`` queries."""
        return replace(
            self,
            queries=self.queries[chosen],
            top_k=self.top_k[chosen],
            limits=self.limits[chosen],
            ties=self.ties and replace(self.ties, queries=self.ties.queries[chosen]),
        )


class CodeSearch(Protocol):
    """One way of searching."""

    def search(self, question: Question) -> list[NDArray[np.int64]]:
        """The answers to each query, in order, each one number: (distance · scale + second distance) · 2^32 + row."""

    def within(self, query: NDArray[np.uint8], distance: int) -> NDArray[np.uint8]:
        """The rows whose codes differ from ``query``, uint8 (bytes,), in at most ``distance`` bits: a bitmap."""

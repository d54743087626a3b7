"""Distances between a vector and others, in a space of any kind, as answers report them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import Space


def distances(space: Space, query: NDArray[Any], vectors: NDArray[Any]) -> list[int] | list[float]:
    """The distances between ``query``, one vector of ``space`` or one for each of ``vectors``, and each of ``vectors``,
    (n, columns): differing bits, or 1 − cos, which is 1 where a vector is zero."""
    if space.metric == "hamming":
        differing: list[int] = np.bitwise_count(vectors ^ query).sum(axis=1, dtype=np.int64).tolist()
        return differing
    rows, asked = vectors.astype(np.float64), query.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1) * (asked * asked).sum(axis=-1))  # as in cosines.py, to the last bit
    cosines = np.divide((rows * asked).sum(axis=1), lengths, out=np.zeros(len(rows)), where=lengths > 0)
    apart: list[float] = (1.0 - cosines).tolist()
    return apart

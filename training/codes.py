"""Statistics of a set of codes, without labels: are the bits used, independent, and enough for all pictures?"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


class CodeStatistics(BaseModel):
    """``bit_means``: share of ones in each bit. ``worst_bit``: the one farthest from one half. ``entropy``: bits of
    information per bit, on average, in 0…1. ``correlation``: mean |r| over pairs of bits that aren't constant; None if
    there is no such pair. ``distinct``: different codes as a share of all. ``largest_group``: number of pictures with
    the most frequent code."""

    model_config = ConfigDict(frozen=True)

    pictures: int
    bit_means: list[float]
    worst_bit: int
    entropy: float
    constant_bits: int
    correlation: float | None
    distinct: float
    largest_group: int


def code_statistics(codes: NDArray[np.uint8]) -> CodeStatistics:
    """Returns the statistics of packed codes, uint8 (n, bits / 8)."""
    bits = np.unpackbits(codes, axis=1)
    means = bits.mean(axis=0)
    constant = (means == 0) | (means == 1)
    share = np.where(constant, 0.5, means)
    entropy = np.where(constant, 0.0, -share * np.log2(share) - (1 - share) * np.log2(1 - share))
    correlation = None
    if (~constant).sum() > 1:
        deviations = (bits[:, ~constant] - means[~constant]).astype(np.float32)
        deviations /= np.sqrt((deviations**2).sum(axis=0))
        above = np.triu_indices(deviations.shape[1], 1)
        correlation = float(np.abs((deviations.T @ deviations)[above]).mean())
    groups = np.unique(codes, axis=0, return_counts=True)[1]
    return CodeStatistics(
        pictures=len(codes),
        bit_means=means.round(6).tolist(),
        worst_bit=int(np.abs(means - 0.5).argmax()),
        entropy=float(entropy.mean()),
        constant_bits=int(constant.sum()),
        correlation=correlation,
        distinct=len(groups) / len(codes),
        largest_group=int(groups.max()),
    )

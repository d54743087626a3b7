"""Codes to search: those of a good hash of unrelated pictures, and those of trained hash models.

1. ``uniform``: every bit is a fair coin. The nearest of many codes are all about equally far: the hardest case for
   an index that skips.
2. ``clustered``: a picture's code is that of its class, with a few bits wrong. One class per thousand codes, every bit
   flipped with probability 0.05.

Both are made block by block, so 100 million codes need hardly more memory than they fill. The same seed and size give
the same codes on every machine.
"""

import numpy as np
from numpy.typing import NDArray

CODES_PER_CENTRE = 1000
QUERIES = 1000

FLIPPED = 3277
"""Of 2**16: how often a bit is flipped, 0.05000."""

BLOCK = 1 << 18
"""Codes made at a time: the block and its noise stay in the cache."""


def uniform(count: int, bits: int, seed: int, queries: int = QUERIES) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns ``count`` codes and ``queries`` more, of independent bits: uint8 (count or queries, bits / 8)."""
    random = np.random.default_rng(seed)
    codes = np.empty((count, bits // 8), np.uint8)
    for block in blocks(codes):
        block[:] = coins(random, len(block), bits)
    return codes, coins(random, queries, bits)


def clustered(count: int, bits: int, seed: int, queries: int = QUERIES) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns ``count`` codes around ``count // 1000`` centres, and ``queries`` around the same: shapes as above."""
    random = np.random.default_rng(seed)
    centres = coins(random, max(1, count // CODES_PER_CENTRE), bits)
    codes = np.empty((count, bits // 8), np.uint8)
    for block in blocks(codes):
        block[:] = around(centres, random, len(block))
    return codes, around(centres, random, queries)


def blocks(codes: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Returns views of ``codes`` with at most ``BLOCK`` rows each."""
    return [codes[start : start + BLOCK] for start in range(0, len(codes), BLOCK)]


def around(centres: NDArray[np.uint8], random: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Returns ``count`` randomly chosen centres, each with some bits flipped."""
    chosen = centres[random.integers(0, len(centres), count)]
    chosen ^= flips(random, count, centres.shape[1] * 8)
    return chosen


def coins(random: np.random.Generator, count: int, bits: int) -> NDArray[np.uint8]:
    """Returns ``count`` rows of fair bits, packed."""
    size = count * bits // 8
    return words(random, size)[:size].reshape(count, bits // 8)


def flips(random: np.random.Generator, count: int, bits: int) -> NDArray[np.uint8]:
    """Returns ``count`` rows of bits set with probability ``FLIPPED`` / 2**16, packed.

    The probability p that a bit is set becomes (1 + p) / 2 when OR-ed with a fair bit, and p / 2 when AND-ed. So the
    binary digits of the probability, last one first, say which to do, for 64 bits at a time. Example, 0.011 in binary
    (3/8): OR gives 0.1, OR gives 0.11, AND gives 0.011.
    """
    size = count * bits // 8
    chosen = np.zeros(-(-size // 8), np.uint64)
    for digit in range(16):
        fair = words(random, size).view(np.uint64)
        if FLIPPED >> digit & 1:
            chosen |= fair
        else:
            chosen &= fair
    return chosen.view(np.uint8)[:size].reshape(count, bits // 8)


def words(random: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Returns at least ``size`` random bytes, rounded up to whole 64-bit words."""
    return random.integers(0, 1 << 64, -(-size // 8), dtype=np.uint64).view(np.uint8)

"""Distances by hand, in bits and as 1 − cos."""

import numpy as np
import pytest

from contract.space import Space
from searcher.scan.distance import distances

CODE = Space(name="code", width=16)
COLOUR = Space(name="colour", kind="float16", width=2, metric="cosine")


def test_differing_bits() -> None:
    stored = np.array([[0, 0], [0xFF, 1], [0xFF, 0xFF]], np.uint8)
    assert distances(CODE, np.array([0xFF, 0], np.uint8), stored) == [8, 1, 8]
    assert distances(CODE, np.array([0xFF, 0], np.uint8), stored[:0]) == []


def test_one_minus_cosine() -> None:
    stored = np.array([[2, 0], [0, 3], [-1, 0], [1, 1], [0, 0]], np.float16)
    found = distances(COLOUR, np.array([500, 0], np.float16), stored)
    assert found == pytest.approx([0, 1, 2, 1 - 0.5**0.5, 1])
    assert distances(COLOUR, np.zeros(2, np.float16), stored) == [1.0] * 5


def test_long_vectors_of_large_numbers() -> None:
    wide = Space(name="wide", kind="float16", width=512, metric="cosine")
    stored = np.full((1, 512), 60_000, np.float16)  # whose squares no float16 can hold
    assert distances(wide, stored[0], stored) == pytest.approx([0])

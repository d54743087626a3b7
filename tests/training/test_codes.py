"""Statistics of codes, on codes small enough to count by hand."""

import numpy as np
import pytest

from training.codes import code_statistics


def test_codes_counted_by_hand() -> None:
    """Bit 0 is always 1, bits 1 and 2 are one in two and equal, bit 3 is one in four; the rest is always 0."""
    codes = np.array([[0b1000_0000], [0b1000_0000], [0b1110_0000], [0b1111_0000]], np.uint8)
    found = code_statistics(codes)
    assert found.pictures == 4
    assert found.bit_means == [1.0, 0.5, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0]
    assert found.worst_bit == 0
    assert found.constant_bits == 5
    quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert found.entropy == pytest.approx((1 + 1 + quarter) / 8)
    # r of bits 1 and 2 is 1; of either with bit 3: cov (1/4 − 1/8) / (1/2 · √3/4)
    r = (1 / 4 - 1 / 8) / (0.5 * np.sqrt(3) / 4)
    assert found.correlation == pytest.approx((1 + 2 * r) / 3)
    assert found.distinct == 3 / 4
    assert found.largest_group == 2


def test_one_code_for_all_is_a_collapse() -> None:
    found = code_statistics(np.full((5, 2), 0xA5, np.uint8))
    assert (found.entropy, found.distinct, found.largest_group, found.correlation) == (0.0, 1 / 5, 5, None)


def test_random_codes_are_balanced_and_independent() -> None:
    found = code_statistics(np.random.default_rng(0).integers(0, 256, (5000, 8), dtype=np.uint8))
    assert found.entropy > 0.999
    assert found.correlation is not None
    assert found.correlation < 0.02
    assert found.distinct == 1.0


def test_opposite_bits_are_as_dependent_as_equal_ones() -> None:
    found = code_statistics(np.array([[0b1000_0000], [0b0100_0000]] * 3, np.uint8))
    assert found.correlation == pytest.approx(1.0)

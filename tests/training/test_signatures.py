"""Distances by both metrics are their definitions, and blocks cover every row once."""

import numpy as np
import pytest

from training.signatures import L1_TOTAL, Signatures, blocks


@pytest.mark.parametrize("width", [1, 2, 3, 4, 8, 12, 16, 128])
def test_hamming_distances_count_differing_bits(width: int) -> None:
    values = np.random.default_rng(width).integers(0, 256, (7, width), dtype=np.uint8)
    ours, theirs = Signatures(values[:3]), Signatures(values[3:])
    bits = np.unpackbits(values, axis=1).astype(int)
    expected = np.abs(bits[:3, None] - bits[None, 3:]).sum(axis=2)
    np.testing.assert_array_equal(ours.distances(theirs), expected)
    assert ours.levels == 8 * width + 1


def test_l1_distances_sum_differences_and_stay_below_their_bound() -> None:
    values = np.array([[L1_TOTAL, 0, 0], [0, L1_TOTAL, 0], [100, 100, 55]], np.uint8)
    signatures = Signatures(values, "l1")
    expected = [[0, 510, 310], [510, 0, 310], [310, 310, 0]]
    np.testing.assert_array_equal(signatures.distances(signatures), expected)
    assert signatures.levels == 511


def test_ties_of_codes_are_broken_by_details() -> None:
    """Two bytes of code, then one of detail: each bit of the code outweighs all eight of the detail."""
    query = Signatures(np.array([[0, 0, 0]], np.uint8), "hamming, ties by detail", 2)
    others = Signatures(
        np.array([[0, 0, 0xFF], [1, 0, 0], [0, 0, 1], [0, 0x80, 3], [0xFF, 0xFF, 0xFF]], np.uint8),
        "hamming, ties by detail",
        2,
    )
    assert query.distances(others).tolist() == [[0 * 9 + 8, 1 * 9 + 0, 0 * 9 + 1, 1 * 9 + 2, 16 * 9 + 8]]
    assert query.levels == 17 * 9
    assert others[np.array([4])].distances(query).tolist() == [[query.levels - 1]]


def test_rows_keep_their_metric() -> None:
    signatures = Signatures(np.eye(4, dtype=np.uint8), "l1")
    some = signatures[np.array([True, False, True, False])]
    assert (len(some), some.metric) == (2, "l1")


@pytest.mark.parametrize(("rows", "entries"), [(0, 5), (1, 5), (10, 1 << 30), (100, 1 << 20), (7, 0)])
def test_blocks_cover_every_row_once(rows: int, entries: int) -> None:
    covered = [row for block in blocks(rows, entries) for row in range(block.start, block.stop)]
    assert covered == list(range(rows))
    assert all((block.stop - block.start) * entries <= max(1 << 22, entries) for block in blocks(rows, entries))

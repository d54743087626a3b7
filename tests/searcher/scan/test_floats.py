"""Cosines are those of NumPy in float64, to the last bit; the nearest come first, ties by row."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.space import Space
from searcher.scan import floats
from searcher.scan.distance import distances
from searcher.scan.floats import FloatIndex

Halves = NDArray[np.float16]


@pytest.fixture(autouse=True, scope="module")
def _blocks_and_threads_for_few_rows() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(floats, "_BLOCK", 64)
        patch.setattr(floats, "_ROWS_PER_THREAD", 50)
        yield


def right_distances(vectors: Halves, query: Halves) -> NDArray[np.float64]:
    """Sums of float64; of vectors no longer than 1 they are exact in any order."""
    rows, asked = vectors.astype(float), query.astype(float)
    lengths = (rows * rows).sum(axis=1) * (asked * asked).sum()
    return np.array(
        [1 - dot / np.sqrt(length) if length > 0 else 1 for dot, length in zip(rows @ asked, lengths, strict=True)],
        float,
    )


def right_rows(vectors: Halves, query: Halves, top_k: int, rows: NDArray[np.int64]) -> list[int]:
    apart = right_distances(vectors, query)
    return sorted(rows.tolist(), key=lambda row: (apart[row], row))[:top_k]


def some_vectors(seed: int, count: int, width: int) -> Halves:
    """Unit vectors of whole directions, so that many are equal, or equally far from others; and a zero."""
    random = np.random.default_rng(seed)
    vectors = random.integers(-2, 3, (count, width)).astype(float)
    vectors[random.random(count) < 0.3] = random.standard_normal(width)
    vectors[-1] = 0
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float16)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1 << 32),
    count=st.integers(1, 300),
    width=st.sampled_from([1, 3, 15, 16, 17, 40, 512]),
    top_k=st.integers(1, 320),
    threads=st.integers(1, 3),
)
def test_they_are_exact(seed: int, count: int, width: int, top_k: int, threads: int) -> None:
    vectors = some_vectors(seed, count, width)
    random = np.random.default_rng(seed)
    query = vectors[random.integers(count)] if seed % 2 else some_vectors(seed + 1, 2, width)[0]
    index, expected = FloatIndex(vectors, threads), right_distances(vectors, query)
    assert index.distances(query, np.arange(count)).tobytes() == expected.tobytes()
    space = Space(name="embedding", kind="float16", width=width, metric="cosine")
    assert distances(space, query, vectors) == expected.tolist()

    rows, apart = index.nearest(query, top_k)
    assert rows.tolist() == right_rows(vectors, query, top_k, np.arange(count))
    assert apart.tobytes() == expected[rows].tobytes()

    mask = random.random(count) < 0.4
    allowed = np.packbits(mask, bitorder="little")
    assert index.nearest(query, top_k, allowed)[0].tolist() == right_rows(vectors, query, top_k, np.flatnonzero(mask))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1 << 32),
    count=st.integers(1, 300),
    width=st.sampled_from([1, 15, 16, 40]),
    top_k=st.integers(1, 320),
    base=st.integers(-5, 40),
    slope=st.integers(0, 60),
)
def test_what_is_within_reach(seed: int, count: int, width: int, top_k: int, base: int, slope: int) -> None:
    """Row by row: as long as one differs in no more bits than the k-th nearest before it allows."""
    vectors = some_vectors(seed, count, width)
    random = np.random.default_rng(seed)
    query, apart = vectors[0], right_distances(vectors, vectors[0])
    rows = random.permutation(count)[: random.integers(1, count + 1)]
    bits = np.sort(random.integers(0, 64, len(rows))).astype(np.int32)
    compared: list[int] = []
    for row, differing in zip(rows.tolist(), bits.tolist(), strict=True):
        if len(compared) >= top_k and differing > base + slope * sorted(apart[compared])[top_k - 1]:
            break
        compared.append(row)
    found, distances = FloatIndex(vectors).within_reach(query, top_k, rows, bits, base, slope)
    assert found.tolist() == sorted(compared, key=lambda row: (apart[row], row))[:top_k]
    assert distances.tobytes() == apart[found].tobytes()


def test_longer_vectors_are_compared_by_their_direction() -> None:
    vectors = np.array([[3, 4], [30_000, 40_000], [-3, -4], [4, -3], [0, 0]], np.float16)
    index = FloatIndex(vectors)
    assert index.distances(np.array([0.6, 0.8], np.float16), np.arange(5)) == pytest.approx([0, 0, 2, 1, 1], abs=1e-3)


def test_nothing_is_nearest_of_nothing() -> None:
    index = FloatIndex(np.empty((0, 8), np.float16))
    query, no_rows = np.ones(8, np.float16), np.empty(0, np.int64)
    for rows, apart in (index.nearest(query, 3), index.within_reach(query, 3, no_rows, np.empty(0, np.int32), 1, 1)):
        assert (rows.tolist(), apart.tolist()) == ([], [])

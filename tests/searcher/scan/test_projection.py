"""Places in a plane: neighbours stay together, and the same vectors always come to the same places."""

import numpy as np
import pytest
from numpy.typing import NDArray

from searcher.scan import projection
from searcher.scan.projection import places

KINDS = 6
LANDMARKS = 150


@pytest.fixture(autouse=True)
def few_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "LANDMARKS", LANDMARKS)


def of_kinds(count: int, bits: int = 64) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Codes of six kinds, half of whose bits differ, as do one in twenty of a kind's own; and the kinds."""
    chance = np.random.default_rng(5)
    kinds = chance.integers(0, KINDS, count)
    codes = chance.integers(0, 2, (KINDS, bits))[kinds] ^ (chance.random((count, bits)) < 0.05)
    return np.packbits(codes.astype(np.uint8), axis=1), kinds


def nearest(plane: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of ``rows`` the row placed nearest to it."""
    apart = ((plane[rows][:, None] - plane[None]) ** 2).sum(axis=2)
    apart[np.arange(len(rows)), rows] = np.inf
    found: NDArray[np.int64] = apart.argmin(axis=1)
    return found


@pytest.mark.parametrize("count", [LANDMARKS, 10 * LANDMARKS])
def test_pictures_of_a_kind_lie_together(count: int) -> None:
    codes, kinds = of_kinds(count)
    plane = places({"code": codes})
    assert plane.shape == (count, 2)
    assert plane.dtype == np.float32
    assert plane.min() >= 0 and plane.max() <= 1
    some = np.arange(0, count, max(count // 200, 1))
    assert np.mean(kinds[nearest(plane, some)] == kinds[some]) > 0.97
    # No quarter of the map is left empty, though kinds are islands.
    quarters = (plane[:, 0] > 0.5) + 2 * (plane[:, 1] > 0.5)
    assert np.bincount(quarters, minlength=4).min() > count / 20


def test_the_same_places_each_time() -> None:
    codes, _ = of_kinds(2 * LANDMARKS)
    np.testing.assert_array_equal(places({"code": codes}), places({"code": codes.copy()}))


def test_detail_codes_arrange_the_pictures_of_a_kind() -> None:
    same = np.zeros((300, 8), np.uint8)
    detail, kinds = of_kinds(300, 256)
    plane = places({"code": same, "detail": detail})
    assert np.mean(kinds[nearest(plane, np.arange(300))] == kinds) > 0.97


def test_embeddings() -> None:
    chance = np.random.default_rng(6)
    kinds = chance.integers(0, KINDS, 400)
    embeddings = chance.normal(size=(KINDS, 48))[kinds] + chance.normal(size=(400, 48)) / 5
    plane = places({"code": np.zeros((400, 8), np.uint8), "embedding": embeddings.astype(np.float16)})
    assert np.mean(kinds[nearest(plane, np.arange(400))] == kinds) > 0.97


@pytest.mark.parametrize("count", range(6))
def test_few_pictures(count: int) -> None:
    codes, _ = of_kinds(count)
    plane = places({"code": codes})
    assert plane.shape == (count, 2)
    assert np.isfinite(plane).all()
    assert ((plane >= 0) & (plane <= 1)).all()


def test_pictures_all_alike() -> None:
    plane = places({"code": np.zeros((50, 8), np.uint8)})
    assert np.isfinite(plane).all()
    assert ((plane >= 0) & (plane <= 1)).all()

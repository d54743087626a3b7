"""The map's tiles: counts add up at every zoom, and at the deepest each picture has a cell of its own."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from searcher.errors import VersionDamaged
from searcher.versions.picture_map import CELLS, Cell, PictureMap, draw


def drawn(path: Path, codes: NDArray[np.uint8]) -> PictureMap:
    draw({"code": codes}, path)
    return PictureMap.open(path, len(codes))


def by_chance(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, 8), np.uint8)


def all_cells(found: PictureMap, zoom: int) -> dict[tuple[int, int], Cell]:
    """The cells of all tiles at ``zoom``, by their place in the whole map."""
    return {
        (x * CELLS + cell.x, y * CELLS + cell.y): cell
        for x in range(1 << zoom)
        for y in range(1 << zoom)
        for cell in found.cells(zoom, x, y)
    }


@pytest.mark.parametrize("count", [1, 2, 3, 17, 100])
def test_each_picture_is_in_one_leaf_and_counts_add_up(tmp_path: Path, count: int) -> None:
    found = drawn(tmp_path / "map.npy", by_chance(count))
    assert len(found) == count
    by_zoom = [all_cells(found, zoom) for zoom in range(found.deepest + 1)]
    leaves = by_zoom[-1].values()
    assert sorted(cell.row for cell in leaves) == list(range(count))
    assert {cell.count for cell in leaves} == {1}
    for zoom, cells in enumerate(by_zoom):
        assert sum(cell.count for cell in cells.values()) == count
        for x in range(1 << zoom):
            for y in range(1 << zoom):
                of_tile = list(found.cells(zoom, x, y))
                assert found.count(zoom, x, y) == sum(cell.count for cell in of_tile)
                assert len(of_tile) <= CELLS * CELLS
    for coarse, fine in pairwise(by_zoom):
        quarters: Counter[tuple[int, int]] = Counter()
        stands_for: dict[tuple[int, int], set[int]] = {place: set() for place in coarse}
        for (x, y), cell in fine.items():
            quarters[x // 2, y // 2] += cell.count
            stands_for[x // 2, y // 2].add(cell.row)
        assert quarters == {place: cell.count for place, cell in coarse.items()}
        assert all(cell.row in stands_for[place] for place, cell in coarse.items())  # seen from afar: seen from near


def test_copies_get_cells_of_their_own_beside_each_other(tmp_path: Path) -> None:
    found = drawn(tmp_path / "map.npy", np.zeros((40, 8), np.uint8))
    leaves = all_cells(found, found.deepest)
    assert sorted(cell.row for cell in leaves.values()) == list(range(40))


def test_no_pictures(tmp_path: Path) -> None:
    found = drawn(tmp_path / "map.npy", np.empty((0, 8), np.uint8))
    assert len(found) == 0
    assert found.count(0, 0, 0) == 0
    assert list(found.cells(0, 0, 0)) == []


def test_a_file_that_is_no_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.npy"
    with pytest.raises(FileNotFoundError):
        PictureMap.open(path, 5)
    draw({"code": by_chance(5)}, path)
    with pytest.raises(VersionDamaged, match="another version"):
        PictureMap.open(path, 6)
    whole = path.read_bytes()
    for damaged in (whole[:-4], whole[:10], b"", b"no map"):
        path.write_bytes(damaged)
        with pytest.raises(VersionDamaged, match="cannot be read"):
            PictureMap.open(path, 5)
    assert [each.name for each in tmp_path.iterdir()] == ["map.npy"]

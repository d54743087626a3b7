"""What a backbone sees of many views: rows in order, parts of pictures, files that are kept and computed once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pictures.decode import decode
from pictures.preparation import Preprocessing
from training.cells import CellBackbone
from training.efficientnet import MEAN, STD, VARIANTS, EfficientNetLite
from training.seen import parted, see, whole

PREPROCESSING = Preprocessing(image_size=64, reducing_gap=1.5, mean=MEAN, std=STD)


@pytest.fixture(scope="module")
def backbone() -> CellBackbone:
    torch.manual_seed(0)
    return CellBackbone(EfficientNetLite(VARIANTS["efficientnet-lite0"])).eval()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two pictures, 120 × 80; each sixth has a colour of its own."""
    paths = []
    for number in range(2):
        colours = np.random.default_rng(number).integers(0, 256, (2, 3, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(colours.repeat(40, 0).repeat(40, 1)).save(paths[-1])
    return paths


def test_parts_tile_a_picture_in_two_ways_beside_the_whole(files: list[Path]) -> None:
    subjects = parted(files[:1], 3)
    assert [(each.tiling, each.views) for each in subjects] == [("whole", 6)] + [("six", 3)] * 6 + [("four", 3)] * 4
    for tiling, share in (("six", 1 / 6), ("four", 1 / 4)):
        boxes = [each.box for each in subjects if each.tiling == tiling]
        assert len(set(boxes)) * share == 1
        for left, top, right, bottom in boxes:
            assert (right - left) * (bottom - top) == pytest.approx(share)


def test_rows_follow_subjects_and_the_first_of_each_is_the_picture_itself(
    backbone: CellBackbone, files: list[Path], tmp_path: Path
) -> None:
    views = see(backbone, whole(files, 3), PREPROCESSING, tmp_path)
    assert views.subject.tolist() == [0, 0, 0, 1, 1, 1]
    assert views.first.tolist() == [0, 3]
    assert views.count.tolist() == [3, 3]
    assert views.file.tolist() == [0, 1]
    assert len(set(views.tiling.tolist())) == 1
    picture = torch.from_numpy(decode(files[1].read_bytes(), PREPROCESSING)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        features, cells, grain = backbone((picture.float() - 127) / 128)
    seen = views.seen.rows(torch.tensor([3]))
    torch.testing.assert_close(seen.features, features, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(seen.cells, cells, rtol=1e-2, atol=2e-2)
    torch.testing.assert_close(seen.grain, grain, rtol=1e-2, atol=2e-2)
    assert not torch.equal(views.seen.cells[3], views.seen.cells[4])


def test_a_part_is_seen_alone(backbone: CellBackbone, files: list[Path], tmp_path: Path) -> None:
    """The cells of a sixth begin with its one colour."""
    views = see(backbone, parted(files[:1], 2), PREPROCESSING, tmp_path)
    colours = np.asarray(Image.open(files[0]))[::40, ::40].reshape(6, 3)
    sixths = views.seen.cells[views.first[1:7], :, :3].float()
    for cells, colour in zip(sixths, colours, strict=True):
        np.testing.assert_allclose(cells * 128 + 127, np.tile(colour, (16, 1)), atol=0.5)


def test_what_is_kept_is_not_computed_again_and_other_views_are_others(
    backbone: CellBackbone, files: list[Path], tmp_path: Path
) -> None:
    first = see(backbone, whole(files, 2), PREPROCESSING, tmp_path)
    (kept,) = tmp_path.glob("*.npy")
    np.save(kept, np.load(kept) + 1)  # what is in the file is what comes back
    again = see(backbone, whole(files, 2), PREPROCESSING, tmp_path)
    torch.testing.assert_close(again.seen.features, first.seen.features + 1)
    see(backbone, whole(files, 3), PREPROCESSING, tmp_path)
    assert len(list(tmp_path.glob("*.npy"))) == 2

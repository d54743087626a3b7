"""Random copies: pictures of any size, drawn from the generator alone, and of all the kinds that the module names."""

import numpy as np
import pytest
from PIL import Image

from training.views import view


def picture(width: int = 90, height: int = 60) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_copy_depends_on_the_generator_alone() -> None:
    np.testing.assert_array_equal(view(picture(), random(3)), view(picture(), random(3)))
    assert not np.array_equal(view(picture(), random(3)).resize((8, 8)), view(picture(), random(4)).resize((8, 8)))


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (40, 40)])
def test_pictures_of_any_size_have_copies(size: tuple[int, int]) -> None:
    for seed in range(60):
        assert view(picture(*size), random(seed)).mode == "RGB"


def test_the_picture_itself_stays() -> None:
    original = picture()
    before = np.array(original)
    for seed in range(20):
        view(original, random(seed))
    np.testing.assert_array_equal(original, before)


def test_some_copies_are_mirrored_turned_framed_grey_or_inverted() -> None:
    """The left half is red and the right half blue, so a copy shows what was done to it."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :48, 0] = pixels[:, 48:, 2] = 200
    kinds = set()
    for seed in range(300):
        seen = np.asarray(view(Image.fromarray(pixels), random(seed)).resize((64, 64))).astype(int)
        left, right, corner = seen[32, 18], seen[32, 46], seen[1, 1]
        if left[2] - left[0] > 90 and right[0] - right[2] > 90:
            kinds.add("mirrored")
        if left[0] - left[2] > 90 and right[2] - right[0] > 90:
            kinds.add("as it was")
        if np.abs(seen[18, 32] - seen[46, 32]).max() > 120 and np.abs(left - right).max() < 40:
            kinds.add("turned")
        if np.ptp(seen, axis=2).max() < 12:
            kinds.add("grey")
        if corner.min() > 245:
            kinds.add("framed in white")
        if left[1] > 200 and right[1] > 200 and left[0] < 120 and right[2] < 120:
            kinds.add("inverted")
    assert kinds == {"as it was", "mirrored", "turned", "grey", "framed in white", "inverted"}

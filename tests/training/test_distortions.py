"""Distorted copies are what their names say, are files that a server can read, and depend on their picture alone."""

from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pictures.decode import decode
from pictures.errors import UnreadableImage
from pictures.preparation import Preprocessing
from training.distortions import (
    DISTORTIONS,
    MAX_SIDE,
    Change,
    blurred,
    captioned,
    closely_cropped,
    cropped,
    cropped_and_halved,
    distorted,
    framed,
    grey,
    halved,
    inverted,
    kept,
    mirrored,
    recoloured,
    rotated,
    rotated_further,
    screenshot,
    turned,
    upside_down,
    warmed,
)

NAMES = [distortion.name for distortion in DISTORTIONS]


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """200 × 120: red says how far right a pixel is, green how far down, blue is noise."""
    pixels = np.zeros((120, 200, 3), np.uint8)
    pixels[..., 0] = np.arange(200)
    pixels[..., 1] = np.arange(120)[:, None]
    pixels[..., 2] = np.random.default_rng(0).integers(100, 140, (120, 200))
    return Image.fromarray(pixels)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def values(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture).astype(np.float64)


def file_of(picture: Image.Image, kind: str = "PNG") -> bytes:
    stream = BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


# --- Each change


@pytest.mark.parametrize(("crop", "height", "width"), [(cropped, 108, 180), (closely_cropped, 84, 140)])
def test_a_crop_is_a_window_of_its_share(picture: Image.Image, crop: Change, height: int, width: int) -> None:
    """Nine and seven tenths of 120 × 200."""
    corners = set()
    for seed in range(20):
        found = values(crop(picture, random(seed)))
        assert found.shape == (height, width, 3)
        left, top = int(found[0, 0, 0]), int(found[0, 0, 1])
        np.testing.assert_array_equal(found, values(picture)[top : top + height, left : left + width])
        corners.add((left, top))
    assert len(corners) > 15


def test_half_size_halves_both_sides(picture: Image.Image) -> None:
    assert halved(picture, random()).size == (100, 60)
    assert halved(Image.new("RGB", (1, 7)), random()).size == (1, 3)


def test_kept_is_kept(picture: Image.Image) -> None:
    np.testing.assert_array_equal(values(kept(picture, random())), values(picture))


def test_blur_takes_detail_and_leaves_the_rest(picture: Image.Image) -> None:
    before, after = values(picture), values(blurred(picture, random()))
    assert after[..., 2].std() < before[..., 2].std() / 2
    assert np.abs(after - before)[5:-5, 5:-5, :2].max() <= 1


def test_blur_grows_with_the_picture() -> None:
    edge = np.zeros((20, 1000, 3), np.uint8)
    edge[:, 500:] = 255
    grey = values(blurred(Image.fromarray(edge), random()))[10, :, 0]
    assert 8 < ((grey > 5) & (grey < 250)).sum() < 30  # σ is 5 pixels


@pytest.mark.parametrize(("rotate", "degrees"), [(rotated, 5), (rotated_further, 10)])
def test_rotation_is_by_its_degrees_either_way(picture: Image.Image, rotate: Change, degrees: float) -> None:
    turns = set()
    for seed in range(10):
        found = values(rotate(picture, random(seed)))
        assert found.shape == (120, 200, 3)
        np.testing.assert_allclose(found[60, 100, :2], [100, 60], atol=1.5)  # the middle stays
        assert found[0, 0].tolist() == [0, 0, 0] or found[-1, 0].tolist() == [0, 0, 0]
        down = found[60, 180, 1] - 60
        assert abs(down) == pytest.approx(80 * np.sin(np.radians(degrees)), abs=1.5)
        turns.add(bool(down > 0))
    assert turns == {True, False}


def test_mirrored_and_turned_pictures_have_each_pixel_at_its_new_place(picture: Image.Image) -> None:
    before = values(picture)
    np.testing.assert_array_equal(values(mirrored(picture, random())), before[:, ::-1])
    np.testing.assert_array_equal(values(upside_down(picture, random())), before[::-1, ::-1])
    found = [values(turned(picture, random(seed))) for seed in range(10)]
    corners = {tuple(each[0, 0, :2].astype(int)) for each in found}
    assert corners == {(199, 0), (0, 119)}  # the top right corner, turned to the left; the bottom left, to the right
    assert all(each.shape == (200, 120, 3) for each in found)


def test_a_border_is_white_and_15_percent_wide(picture: Image.Image) -> None:
    found = values(framed(picture, random()))
    assert found.shape == (120 + 2 * 18, 200 + 2 * 30, 3)
    np.testing.assert_array_equal(found[18:-18, 30:-30], values(picture))
    found[18:-18, 30:-30] = 255
    assert (found == 255).all()


def test_a_screenshot_shows_the_picture_below_a_bar_with_a_title(picture: Image.Image) -> None:
    found = values(screenshot(picture, random()))
    assert found.shape == (120 + 2 * 18 + 12, 200 + 2 * 30, 3)
    np.testing.assert_array_equal(found[12 + 18 : -18, 30:-30], values(picture))
    found[12 + 18 : -18, 30:-30] = 238
    assert (found[12:] == 238).all()
    letters = (found[:12] != 51).any(axis=(0, 2))
    assert 20 < letters.sum() < 100
    assert not letters[:30].any()


def test_grey_warm_and_inverted_pixels_are_as_computed_by_hand() -> None:
    one = Image.new("RGB", (1, 1), (100, 200, 40))
    assert grey(one, random()).getpixel((0, 0)) == (152, 152, 152)  # 0.299 · 100 + 0.587 · 200 + 0.114 · 40
    assert warmed(one, random()).getpixel((0, 0)) == (120, 200, 30)
    assert warmed(Image.new("RGB", (1, 1), (230, 0, 255)), random()).getpixel((0, 0)) == (255, 0, 191)
    assert inverted(one, random()).getpixel((0, 0)) == (155, 55, 215)


def test_colours_change_by_a_quarter_and_shapes_do_not() -> None:
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    seen = {recoloured(grey, random(seed)).getpixel((0, 0)) for seed in range(30)}
    assert seen == {(75, 75, 75), (125, 125, 125)}
    tinted = Image.new("RGB", (8, 8), (120, 100, 80))
    spreads = {max(pixel) - min(pixel) for pixel in (recoloured(tinted, random(n)).getpixel((0, 0)) for n in range(60))}  # type: ignore[arg-type]
    assert min(spreads) < 25 < 40 < max(spreads)


def test_the_caption_is_in_the_picture_and_covers_little(picture: Image.Image) -> None:
    picture = picture.resize((600, 360))
    places = set()
    for seed in range(10):
        before, after = values(picture), values(captioned(picture, random(seed)))
        changed = (before != after).any(axis=2)
        assert 0.005 < changed.mean() < 0.1
        assert (after == 255).all(axis=2).sum() > 500  # white letters
        rows = np.flatnonzero(changed.any(axis=1))
        assert rows[-1] - rows[0] < 45
        places.add(int(rows[0]))
    assert len(places) > 3
    assert captioned(picture, random()) is not picture


def test_the_combination_is_the_crop_then_half(picture: Image.Image) -> None:
    both = cropped_and_halved(picture, random(3))
    assert both.size == (90, 54)
    np.testing.assert_array_equal(values(both), values(halved(cropped(picture, random(3)), random())))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (32, 32), (500, 2)])
def test_no_picture_is_too_small(size: tuple[int, int]) -> None:
    copies = distorted(file_of(Image.new("RGB", size, "white")), "a.png")
    assert len(copies) == len(DISTORTIONS)


# --- Copies as files


def test_copies_are_jpegs_that_a_server_reads(picture: Image.Image) -> None:
    for copy in distorted(file_of(picture), "a.png"):
        assert copy.startswith(b"\xff\xd8")
        assert decode(copy, Preprocessing(image_size=16)).shape == (16, 16, 3)


def test_quality_40_is_quality_40(picture: Image.Image) -> None:
    copies = dict(zip(NAMES, distorted(file_of(picture), "a.png"), strict=True))
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=40)
    assert copies["JPEG q40"] == stream.getvalue()
    with Image.open(BytesIO(copies["crop 10% + half size + q40"])) as copy:
        assert copy.size == (90, 54)
        with Image.open(stream) as other:
            assert copy.quantization == other.quantization  # type: ignore[attr-defined]


def test_copies_depend_on_seed_and_name_alone(picture: Image.Image) -> None:
    data = file_of(picture)
    assert distorted(data, "a.png") == distorted(data, "a.png")
    for others in (distorted(data, "b.png"), distorted(data, "a.png", seed=1)):
        assert distorted(data, "a.png")[NAMES.index("crop 10%")] != others[NAMES.index("crop 10%")]
        assert distorted(data, "a.png")[NAMES.index("JPEG q40")] == others[NAMES.index("JPEG q40")]  # nothing to draw


def test_large_pictures_are_reduced_first() -> None:
    copies = dict(zip(NAMES, distorted(file_of(Image.new("RGB", (4000, 1000), "grey")), "a.png"), strict=True))
    with Image.open(BytesIO(copies["half size"])) as half:
        assert half.size == (MAX_SIDE // 2, MAX_SIDE // 8)


def test_a_transparent_picture_is_distorted_as_it_is_seen() -> None:
    """Clear black on nothing is white to a viewer, and to the model."""
    copies = distorted(file_of(Image.new("RGBA", (40, 40), (0, 0, 0, 0))), "a.png")
    assert decode(copies[NAMES.index("JPEG q40")], Preprocessing(image_size=16)).min() >= 254


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(UnreadableImage):
        distorted(b"no picture", "a.png")

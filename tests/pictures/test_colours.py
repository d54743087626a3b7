"""Decoding 2 shows a picture in its own colours, whatever space its file keeps them in."""

import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from pictures.decode import decode, shrunken, whole_picture
from pictures.preparation import Preprocessing
from tests.pictures.files import chunk, deep_png, photo, saved, worst
from tests.pictures.profiles import SPACES, SRGB, cmyk_profile, from_srgb, grey_profile, linear, profile, rgb_profile

MEANT = Preprocessing(image_size=16, decoding=2)
STORED = Preprocessing(image_size=16)
PICTURE = np.asarray(photo())
SEEN = decode(saved(photo(), "PNG"), STORED)


def in_space(space: str, format: str = "PNG", **options: object) -> bytes:
    samples = (from_srgb(PICTURE, space) * 255).round().astype(np.uint8)
    return saved(Image.fromarray(samples), format, icc_profile=profile(space), **options)


@pytest.mark.parametrize("space", SPACES)
def test_the_same_picture_in_every_space(space: str) -> None:
    assert worst(decode(in_space(space), STORED), SEEN) > 12, "another picture to who ignores the profile"
    assert worst(decode(in_space(space), MEANT), SEEN) <= (6 if space == "linear sRGB" else 3)


@pytest.mark.parametrize(
    ("format", "options"),
    [("JPEG", {"quality": 97}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {"quality": 97})],
)
def test_every_format_that_has_profiles(format: str, options: dict[str, object]) -> None:
    assert worst(decode(in_space("Display P3", format, **options), MEANT), SEEN) <= 8


def test_sixteen_bits_in_prophoto() -> None:
    samples = (from_srgb(PICTURE, "ProPhoto") * 65535).round().astype(np.uint16)
    data = deep_png(samples, chunk(b"iCCP", b"p\0\0" + zlib.compress(profile("ProPhoto"))))
    assert worst(decode(data, MEANT), SEEN) <= 5


def test_people_see_the_same() -> None:
    data = in_space("AdobeRGB")
    assert worst(np.asarray(whole_picture(data)), PICTURE) <= 3
    assert worst(np.asarray(shrunken(data, 256)), PICTURE) <= 3
    assert "icc_profile" not in whole_picture(data).info, "it would be written into a copy"


def test_a_profile_that_is_srgb_changes_nothing() -> None:
    for srgb in (rgb_profile(SRGB, None), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()):
        assert np.array_equal(decode(saved(photo(), "PNG", icc_profile=srgb), MEANT), SEEN)


@pytest.mark.parametrize("profile", [b"x", b"no profile" * 50, profile("ProPhoto")[:200], bytes(5_000_000)])
def test_a_damaged_profile_is_ignored(profile: bytes) -> None:
    assert np.array_equal(decode(saved(photo(), "TIFF", icc_profile=profile), MEANT), SEEN)


def test_a_profile_of_another_kind_of_picture_is_ignored() -> None:
    assert np.array_equal(decode(saved(photo(), "PNG", icc_profile=grey_profile(1.0)), MEANT), SEEN)


def test_a_linear_grey_profile() -> None:
    """Half the light is level 188 of sRGB: 255 × (1.055 × 0.5^(1/2.4) − 0.055)."""
    data = saved(Image.new("L", (20, 20), 128), "PNG", icc_profile=grey_profile(1.0))
    assert np.abs(decode(data, MEANT).astype(int) - 188).max() <= 1


def test_a_grey_picture_with_the_profile_of_colours() -> None:
    """As a programme leaves it that turned a picture grey."""
    data = saved(Image.new("L", (20, 20), 128), "JPEG", icc_profile=profile("linear sRGB"))
    assert np.abs(decode(data, MEANT).astype(int) - 188).max() <= 2


def test_lab_without_a_profile() -> None:
    """L* 53.4 is middle grey: level 127 of sRGB. Bytes: L* × 2.55, a* and b* plus 128."""
    grey = decode(saved(Image.new("LAB", (20, 20), (136, 128, 128)), "TIFF"), MEANT)
    assert np.abs(grey.astype(int) - 127).max() <= 2
    red = decode(saved(Image.new("LAB", (20, 20), (138, 209, 198)), "TIFF"), MEANT)[0, 0]  # L* 54, a* 81, b* 70
    assert red.tolist() == pytest.approx([255, 0, 0], abs=6)


def test_cmyk_without_a_profile_is_as_before() -> None:
    data = saved(photo().convert("CMYK"), "TIFF")
    assert np.array_equal(decode(data, MEANT), decode(data, STORED))


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
@pytest.mark.parametrize(
    ("inks", "seen"), [((0, 0, 0, 0), (255, 255, 255)), ((0, 0, 0, 255), (0, 0, 0)), ((0, 0, 0, 128), (118, 118, 118))]
)
def test_cmyk_by_its_profile(format: str, inks: tuple[int, ...], seen: tuple[int, ...]) -> None:
    """Half of black is L* 50 here: level 118, where 127 would be shown without the profile."""
    data = saved(Image.new("CMYK", (16, 16), inks), format, icc_profile=cmyk_profile())
    assert decode(data, MEANT)[8, 8].tolist() == pytest.approx(seen, abs=3)


def test_an_ink_of_its_own_colour() -> None:
    """L* 62, a* −31, b* −48 is about 0, 163, 232 (red is out of gamut)."""
    data = saved(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95, icc_profile=cmyk_profile())
    assert decode(data, MEANT)[8, 8].tolist() == pytest.approx([0, 163, 232], abs=8)


def test_transparent_parts_of_another_space() -> None:
    samples = (from_srgb(PICTURE, "Display P3") * 255).round().astype(np.uint8)
    clear = np.dstack([samples, np.full(samples.shape[:2], 255, np.uint8)])
    clear[:, :24, 3] = 0
    seen = decode(saved(Image.fromarray(clear), "PNG", icc_profile=profile("Display P3")), MEANT)
    assert seen[:, :6].min() >= 250
    assert worst(seen[:, 10:], SEEN[:, 10:]) <= 3


def test_the_test_s_own_curve() -> None:
    assert linear(np.array([0.0, 0.5, 1.0])).tolist() == pytest.approx([0, 0.2140, 1], abs=1e-4)

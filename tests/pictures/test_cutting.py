"""A region shows the pixels in its box, whatever size the picture was decoded in."""

import io

import numpy as np
import pytest
from PIL import Image

from pictures.cutting import cut, cut_out
from pictures.decode import sight
from pictures.errors import UnreadableImage
from pictures.limits import Limits

PIXELS = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)


def file_of(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def test_the_box_is_cut_out_without_loss() -> None:
    data = cut_out(file_of(Image.fromarray(PIXELS)), (5, 10, 20, 30))
    assert (np.asarray(Image.open(io.BytesIO(data))) == PIXELS[10:40, 5:25]).all()


def test_boxes_of_a_larger_original_are_scaled() -> None:
    """The canvas is ten times as large, and every pixel that the box touches belongs to the region."""
    data = cut_out(file_of(Image.fromarray(PIXELS)), (51, 100, 209, 301), (600, 400))
    assert (np.asarray(Image.open(io.BytesIO(data))) == PIXELS[10:40, 5:26]).all()


@pytest.mark.parametrize("box", [(60, 0, 5, 5), (0, 40, 5, 5), (900, 900, 5, 5)])
def test_a_box_outside_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(UnreadableImage, match="outside"):
        cut(Image.fromarray(PIXELS), box, (60, 40))


def test_a_large_region_is_shrunken() -> None:
    region = cut(Image.new("L", (5000, 4000)), (0, 0, 5000, 4000), (5000, 4000))
    assert 9_900_000 < region.width * region.height <= 10_000_000


@pytest.mark.parametrize(("side", "decoded"), [(100, (150, 100)), (200, (300, 200)), (301, (600, 400))])
def test_a_large_jpeg_is_decoded_smaller_and_its_full_size_said(side: int, decoded: tuple[int, int]) -> None:
    picture, full = sight(file_of(Image.new("RGB", (600, 400), "red"), "JPEG"), side)
    assert (picture.size, full) == (decoded, (600, 400))


def test_the_full_size_is_that_of_the_upright_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, size in (("JPEG", (100, 150)), ("PNG", (400, 600))):
        picture, full = sight(file_of(Image.new("RGB", (600, 400)), kind, exif=exif), 100)
        assert (picture.size, full) == (size, (400, 600))


def test_limits_hold_for_what_is_decoded() -> None:
    """Eight times as many pixels a side as may be decoded."""
    data = file_of(Image.new("L", (3200, 1600)), "JPEG")
    picture, full = sight(data, 400, Limits(max_pixels=100_000))
    assert (picture.size, full) == ((400, 200), (3200, 1600))

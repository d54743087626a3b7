"""The picture of an animation, or of a file of pages, is the first that shows anything."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter, ImageFileDirectory_v2

from pictures.decode import decode, whole_picture
from pictures.errors import ImageTooLarge
from pictures.limits import Limits
from pictures.preparation import Preprocessing
from pictures.work import Budget, BudgetSpent
from tests.pictures.files import photo, saved, worst

MEANT = Preprocessing(image_size=16, decoding=2)
BLACK = Image.new("RGB", (48, 32))
SEEN = decode(saved(photo(), "PNG"), MEANT)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
@pytest.mark.parametrize("blank", [1, 3])
def test_frames_of_one_colour_are_passed_over(format: str, blank: int) -> None:
    frames = [BLACK.copy() for _ in range(blank - 1)] + [photo()]
    for number, frame in enumerate(frames[:-1]):
        frame.paste((number + 1,) * 3, (0, 0, 48, 32))  # else writers join equal frames
    data = saved(BLACK, format, save_all=True, append_images=frames)
    assert worst(decode(data, MEANT), SEEN) <= 24
    assert decode(data, Preprocessing(image_size=16)).max() <= 2, "older models see the first"


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_where_nothing_is_shown_the_first_counts(format: str) -> None:
    data = saved(Image.new("RGB", (48, 32), "red"), format, save_all=True, append_images=[BLACK])
    assert worst(decode(data, MEANT)[0, 0], np.array([255, 0, 0])) <= 3


def test_a_transparent_frame_is_passed_over() -> None:
    nothing = Image.new("RGBA", (48, 32), (0, 0, 0, 0))
    data = saved(nothing, "WEBP", save_all=True, append_images=[photo().convert("RGBA")], lossless=True)
    assert worst(decode(data, MEANT), SEEN) <= 2


def test_a_tiff_s_smaller_copy_is_passed_over() -> None:
    smaller = ImageFileDirectory_v2()
    smaller[254] = 1
    stream = io.BytesIO()
    with AppendingTiffWriter(stream, new=True) as pages:
        photo().resize((12, 8)).save(pages, "TIFF", tiffinfo=smaller)
        pages.newFrame()
        photo().save(pages, "TIFF")
        pages.newFrame()
    assert np.array_equal(np.asarray(whole_picture(stream.getvalue())), np.asarray(photo()))


def test_a_tiff_of_a_smaller_copy_alone_shows_it() -> None:
    smaller = ImageFileDirectory_v2()
    smaller[254] = 1
    assert np.array_equal(decode(saved(photo(), "TIFF", tiffinfo=smaller), MEANT), SEEN)


def test_a_damaged_second_page_leaves_the_first() -> None:
    data = saved(BLACK, "GIF", save_all=True, append_images=[photo()])
    assert decode(data[:-200], MEANT).max() == 0


def test_each_frame_takes_of_the_budget() -> None:
    data = saved(BLACK, "PNG", save_all=True, append_images=[photo()])
    frame = 48 * 32 * 3
    assert worst(decode(data, MEANT, budget=Budget(2 * frame)), SEEN) == 0
    with pytest.raises(BudgetSpent):
        decode(data, MEANT, budget=Budget(2 * frame - 1))


def test_frames_together_are_no_more_work_than_a_picture_may_be() -> None:
    data = saved(BLACK, "PNG", save_all=True, append_images=[photo()])
    frame = 48 * 32 * 3
    assert worst(decode(data, MEANT, Limits(max_samples=frame)), SEEN) == 0
    greys = [Image.new("RGB", (48, 32), (level,) * 3) for level in range(1, 4)]
    slow = saved(BLACK, "PNG", save_all=True, append_images=[*greys, photo()])
    assert decode(slow, MEANT, Limits(max_samples=2 * frame)).max() <= 2
    with pytest.raises(ImageTooLarge):
        decode(data, MEANT, Limits(max_samples=frame - 1))

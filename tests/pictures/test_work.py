"""Decoding work is known from the header, counted by what is decoded, and bounded over pictures together."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pictures.decode import decode, shrunken
from pictures.errors import ImageTooLarge
from pictures.limits import DEFAULT_LIMITS
from pictures.opening import opened
from pictures.preparation import Preprocessing
from pictures.work import Budget, BudgetSpent, samples, scans

SMALL = Preprocessing(image_size=16)
DRAFTED = Preprocessing(image_size=16, jpeg_draft=1.0)


def file_with(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def work(data: bytes, draft: tuple[int, int] | None = None) -> int:
    with Image.open(io.BytesIO(data)) as image:
        claimed = image.size
        if draft:
            image.draft(None, draft)
        return samples(image, claimed, data)


@pytest.mark.parametrize(
    ("mode", "format", "each"),
    [("RGB", "PNG", 3), ("RGBA", "PNG", 4), ("L", "PNG", 1), ("F", "TIFF", 4), ("RGBA", "WEBP", 4)],
)
def test_pixels_times_channels(mode: str, format: str, each: int) -> None:
    assert work(file_with(Image.new(mode, (40, 30)), format)) == 40 * 30 * each


def test_sixteen_bits_are_as_much_as_four_channels() -> None:
    assert work(file_with(Image.fromarray(np.zeros((30, 40), np.uint16)), "PNG")) == 40 * 30 * 4


@pytest.mark.parametrize("data", [b"\xff", b"\xff\xda", b"\0\xff\xda\xff\xda", b"\xda\xff\xda\0\xff", b"\xff\xff\xda"])
def test_scans_are_counted_at_even_and_at_odd_places(data: bytes) -> None:
    assert scans(data) == data.count(b"\xff\xda")


def test_a_jpeg_is_counted_by_what_is_decoded_and_what_is_read_on_the_way() -> None:
    data = file_with(Image.new("RGB", (800, 400)), "JPEG")
    whole = 800 * 400 * 3
    assert work(data) == whole + whole // 5
    assert work(data, draft=(100, 50)) == 100 * 50 * 3 + whole // 5


def test_each_scan_of_a_progressive_one_is_read_whole() -> None:
    data = file_with(Image.new("RGB", (800, 400)), "JPEG", progressive=True)
    whole = 800 * 400 * 3
    assert scans(data) > 4
    assert work(data, draft=(100, 50)) == 100 * 50 * 3 + whole * scans(data) // 16


def test_a_large_photograph_that_is_drafted_is_taken() -> None:
    """12000 × 9000 pixels: more than is decoded of any other format, and an eighth of its sides is decoded."""
    data = file_with(Image.new("RGB", (12_000, 9_000), (200, 30, 30)), "JPEG")
    assert (decode(data, DRAFTED) == np.array([200, 30, 30])).mean() > 0.3
    assert decode(data, DRAFTED).reshape(-1, 3).mean(axis=0) == pytest.approx([200, 30, 30], abs=3)
    assert shrunken(data, 256).size == (256, 192)
    with pytest.raises(ImageTooLarge, match=r"12000×9000 pixels; the limit is 89\.5 megapixels"):
        decode(data, SMALL)  # this model wants every pixel


def test_a_progressive_one_is_kept_whole_and_so_counts_whole() -> None:
    data = file_with(Image.new("L", (12_000, 9_000)), "JPEG", progressive=True)
    with pytest.raises(ImageTooLarge, match=r"12000×9000 pixels; the limit is 89\.5 megapixels"):
        decode(data, DRAFTED)


def test_a_small_file_of_many_scans_is_more_work_than_is_taken() -> None:
    data = file_with(Image.new("RGB", (9_000, 9_000)), "JPEG", progressive=True)
    padded = data.replace(b"\xff\xda", b"\xff\xda" * 12, 1)  # as many markers as a hostile file has scans
    with (
        pytest.raises(ImageTooLarge, match=r"samples of decoding work; the limit is 360,000,000"),
        opened(padded, DEFAULT_LIMITS),
    ):
        pass


def test_pictures_share_a_budget() -> None:
    data, budget = file_with(Image.new("RGB", (40, 30)), "PNG"), Budget(3 * 3600)
    for _ in range(3):
        decode(data, SMALL, budget=budget)
    with pytest.raises(BudgetSpent, match="the pictures together are more than 10,800 samples of decoding work"):
        decode(data, SMALL, budget=budget)


def test_what_is_too_much_takes_nothing() -> None:
    budget = Budget(100)
    with pytest.raises(BudgetSpent):
        budget.take(101)
    budget.take(100)


def test_a_budget_within_a_budget() -> None:
    batch = Budget(250)
    first, second = Budget(200, batch), Budget(200, batch)
    first.take(200)
    with pytest.raises(BudgetSpent, match="more than 250 samples") as spent:
        second.take(100)
    assert spent.value.budget is batch
    second.take(50)


def test_a_share_that_nobody_else_uses_up() -> None:
    batch = Budget(100)
    greedy, modest = Budget(500, batch, own=30), Budget(500, batch, own=30)
    greedy.take(130)
    with pytest.raises(BudgetSpent):
        greedy.take(1)
    modest.take(20)
    modest.take(10)
    with pytest.raises(BudgetSpent) as spent:
        modest.take(1)
    assert spent.value.budget is batch

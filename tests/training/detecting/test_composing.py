"""What is composed has its figures where its boxes say, whatever is done to it."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from training.detecting.ageing import aged
from training.detecting.composed import FIGURE, OBJECT, Composed, turned
from training.detecting.drawings import some_figure
from training.detecting.losses import responsible
from training.detecting.objects import composed_object, cut_out
from training.detecting.pages import Photographs, composed_page


@pytest.fixture(scope="module")
def photographs() -> Photographs:
    random = np.random.default_rng(0)
    coarse = [Image.fromarray(random.integers(0, 256, (9, 12, 3)).astype(np.uint8)) for _ in range(3)]
    return Photographs([each.resize((240, 180), Image.Resampling.BICUBIC) for each in coarse])


def test_pages_are_the_same_again_and_boxes_lie_inside(photographs: Photographs) -> None:
    counts = []
    for number in range(3, 6):
        page, again = (composed_page(np.random.default_rng(number), photographs) for _ in range(2))
        assert np.array_equal(np.asarray(page.picture), np.asarray(again.picture))
        old = aged(page, np.random.default_rng(number), again.picture, 1.0)
        for composed in (page, old):
            left, top, right, bottom, label = composed.boxes.T
            assert ((left >= 0) & (top >= 0) & (left < right) & (top < bottom)).all()
            assert (right <= composed.picture.width).all()
            assert (bottom <= composed.picture.height).all()
            assert (label == FIGURE).all()
        counts.append(len(page.boxes))
        assert len(old.boxes) == len(page.boxes)
    assert max(counts) > 0


def test_figures_cover_something(photographs: Photographs) -> None:
    random = np.random.default_rng(1)
    for _ in range(24):
        colours, mask = some_figure(random, (90, 70), (20, 20, 20), photographs.any(random))
        assert colours.size == mask.size == (90, 70)
        assert mask.getbbox() is not None


def test_a_box_turns_with_its_picture() -> None:
    picture = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(picture).rectangle((150, 20, 179, 39), fill="black")
    boxes = np.array([[150, 20, 180, 40, 0]], np.float32)
    for degrees in (-20.0, 7.0, 90.0):
        after = turned(Composed(picture, boxes), degrees, (255, 255, 255))
        dark = np.asarray(after.picture.convert("L")) < 128
        rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
        if len(rows):
            seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert after.boxes[0, :4].tolist() == pytest.approx(seen, abs=2)


def test_things_are_cut_out_of_even_grounds() -> None:
    picture = Image.new("RGB", (200, 260), (180, 170, 160))
    ImageDraw.Draw(picture).ellipse((50, 60, 150, 200), fill=(40, 60, 120))
    thing = cut_out(picture)
    assert thing is not None
    assert thing.mask.getbbox() == pytest.approx((50, 60, 151, 201), abs=4)
    noise = np.random.default_rng(0).integers(0, 256, (260, 200, 3)).astype(np.uint8)
    for nothing in (Image.new("RGB", (200, 260), "grey"), Image.fromarray(noise)):
        assert cut_out(nothing) is None


def test_objects_lie_inside(photographs: Photographs) -> None:
    picture = Image.new("RGB", (200, 260), (180, 170, 160))
    ImageDraw.Draw(picture).ellipse((50, 60, 150, 200), fill=(40, 60, 120))
    thing = cut_out(picture)
    assert thing is not None
    for number in range(12):
        composed = composed_object(np.random.default_rng(number), photographs, [thing])
        ((left, top, right, bottom, label),) = composed.boxes
        assert 0 <= left < right <= composed.picture.width
        assert 0 <= top < bottom <= composed.picture.height
        assert label == OBJECT


def test_the_smallest_box_has_the_cells_near_its_middle() -> None:
    owner = responsible(torch.tensor([[0.0, 0, 64, 64, 0], [28, 28, 36, 36, 0], [57, 57, 63, 63, 0]]), 8)
    assert owner[3, 4] == 1 or owner[4, 4] == 1
    assert owner[7, 7] == 2
    assert owner[2, 4] == 0
    assert owner[0, 0] == -1

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from contract.boxes import Box
from detection.errors import DetectorError
from detection.layout import LABELS, LayoutDetector, normalised_scan
from detection.registry import open_detector

FIGURE = (270, 680, 970, 1200)


def page() -> np.ndarray:
    """Two blocks of writing, and a figure of colours between them."""
    picture = Image.new("RGB", (1240, 1754), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(24)
    for y in [*range(100, 600, 34), *range(1260, 1650, 34)]:
        draw.text((150, y), "the quick brown fox jumps over the lazy dog and runs away again for", "black", font)
    colours = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    figure = Image.fromarray(colours).resize((700, 520), Image.Resampling.BICUBIC)
    picture.paste(figure, FIGURE[:2])
    return np.asarray(picture)


def overlap(box: Box) -> float:
    wide = min(box.x + box.width, FIGURE[2]) - max(box.x, FIGURE[0])
    high = min(box.y + box.height, FIGURE[3]) - max(box.y, FIGURE[1])
    both = max(0, wide) * max(0, high)
    return both / (box.width * box.height + 700 * 520 - both)


def test_finds_figures_on_clean_and_on_yellow_pages() -> None:
    clean = page()
    shaded = clean * np.linspace(0.6, 1, 1240)[None, :, None] * np.array([0.9, 0.8, 0.6])
    detector = open_detector("layout")
    assert (detector.stem, detector.labels) == ("layout", ("figure",))
    blank, first, second = detector.detect([np.full((800, 600, 3), 255, np.uint8), clean, shaded.astype(np.uint8)])
    assert blank == []
    for boxes in (first, second):
        (box,) = boxes
        assert overlap(box) > 0.85
        assert 0.6 <= box.score <= 1


def test_other_labels_count_where_they_are_asked_for() -> None:
    (boxes,) = LayoutDetector(("figure", "text")).detect([page()])
    assert [box.label for box in boxes] == ["text", "text", "figure"]
    with pytest.raises(DetectorError, match="has no label drawing; it has text, title, figure"):
        LayoutDetector(("figure", "drawing"))
    assert len(LABELS) == 10


def test_a_scan_is_made_even_and_white() -> None:
    clean = page()[::2, ::2]
    shaded = (clean * np.linspace(0.6, 1, clean.shape[1])[None, :, None]).astype(np.uint8)
    even = normalised_scan(shaded)
    assert even[5].min() > 245
    assert np.abs(normalised_scan(clean).astype(int) - clean).mean() < 2

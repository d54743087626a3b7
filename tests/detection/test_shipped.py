"""The shipped detector on pages and a photograph that tests draw."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from detection.overlap import overlaps
from detection.registry import open_detector
from tests.detection.test_layout import overlap, page


def test_finds_figures_on_old_scans_too_and_the_main_object() -> None:
    clean = page()
    shaded = (clean * np.linspace(0.6, 1, 1240)[None, :, None] * np.array([0.9, 0.8, 0.6])).astype(np.uint8)
    soft = Image.fromarray(shaded).filter(ImageFilter.GaussianBlur(3)).rotate(2, fillcolor=(90, 80, 60))
    photograph = Image.new("RGB", (400, 300), (190, 180, 170))
    ImageDraw.Draw(photograph).ellipse((120, 60, 300, 250), fill=(40, 60, 130))
    detector = open_detector("torchscripts_models/detector-elements.pt")
    assert (detector.stem, detector.labels) == ("detector-elements", ("figure", "object"))
    blank, *pages, thing = detector.detect(
        [np.full((800, 600, 3), 255, np.uint8), clean, shaded, np.asarray(soft), np.asarray(photograph)]
    )
    assert blank == []
    for boxes in pages:
        (box,) = boxes
        assert box.label == "figure"
        assert overlap(box) > 0.6
    box = thing[0]
    assert box.label == "object"
    found = np.array([box.x, box.y, box.x + box.width, box.y + box.height], np.float32)
    assert overlaps(found, np.array([[120, 60, 300, 250]], np.float32))[0] > 0.8

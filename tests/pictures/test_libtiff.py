"""Damaged TIFFs of clients leave no line in this server's log."""

import io

import numpy as np
import pytest
from PIL import Image

from pictures.decode import whole_picture
from pictures.errors import UnreadableImage


@pytest.mark.parametrize("compression", ["group4", "tiff_adobe_deflate", "tiff_lzw", "jpeg"])
def test_damaged_pictures_are_refused_without_a_word_on_standard_error(
    compression: str, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    stream = io.BytesIO()
    (noise.convert("1") if compression == "group4" else noise).save(stream, "TIFF", compression=compression)
    whole = stream.getvalue()
    refused = 0
    for place in range(8, len(whole), 101):
        try:
            whole_picture(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        except UnreadableImage:
            refused += 1
    assert refused or compression == "group4"  # whose decoder goes on behind a fault
    assert capfd.readouterr() == ("", "")

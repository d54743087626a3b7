"""The range of samples in a picture."""

from typing import cast

from PIL import Image


def levels(picture: Image.Image) -> list[tuple[int, int]]:
    """The lowest and highest sample of each channel of ``picture``, which has 8 bits a sample."""
    extremes = picture.getextrema()
    return cast(list[tuple[int, int]], [extremes] if len(picture.getbands()) == 1 else [*extremes])

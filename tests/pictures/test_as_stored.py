"""Models whose cards name no decoding keep their pixels, of awkward files too: these digests were made before there was
a second decoding."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from embedding.card import ModelCard
from pictures.decode import decode
from pictures.preparation import Preprocessing
from tests.pictures.files import saved

Y, X = np.mgrid[0:40, 0:60]
COLOURS = np.stack([X * 4, Y * 6, (X * Y) // 10], axis=-1).astype(np.uint8)
GREY = COLOURS[..., 0]
ALPHA = (X * 5 % 256).astype(np.uint8)


def _palette() -> bytes:
    image = Image.fromarray((X // 8).astype(np.uint8), "P")
    image.putpalette([level for number in range(8) for level in (number * 30, 255 - number * 20, number * 7)])
    return saved(image, "PNG", transparency=3)


def _tiff(values: np.ndarray[Any, Any], **tags: int) -> bytes:
    ifd = ImageFileDirectory_v2()
    for tag, value in tags.items():
        ifd[int(tag.removeprefix("tag"))] = value
    return saved(Image.fromarray(values), "TIFF", tiffinfo=ifd)


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(COLOURS), "PNG", exif=exif)


def _float(scale: float) -> np.ndarray[Any, Any]:
    values = (GREY / scale).astype(np.float32)
    values[3, 4] = np.nan
    values[5, 6] = -7
    return values


FILES: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: saved(Image.fromarray(COLOURS), "PNG"),
    "RGB with a profile": lambda: saved(Image.fromarray(COLOURS), "PNG", icc_profile=b"no profile" * 20),
    "RGBA": lambda: saved(Image.fromarray(np.dstack([COLOURS, ALPHA])), "PNG"),
    "white on nothing": lambda: saved(Image.fromarray(np.dstack([COLOURS | 255, ALPHA])), "PNG"),
    "LA": lambda: saved(Image.fromarray(np.dstack([GREY, ALPHA])), "PNG"),
    "palette with a transparent entry": _palette,
    "12 bits in 16": lambda: saved(Image.fromarray(GREY.astype(np.uint16) * 16), "PNG"),
    "16 bits": lambda: saved(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"),
    "12 bits in 16 by its tag": lambda: _tiff(GREY.astype(np.uint16) * 16, tag281=4095),
    "32 bits": lambda: _tiff(GREY.astype(np.int32) * 300 - 900),
    "floats to 1": lambda: _tiff(_float(255)),
    "floats to 60": lambda: _tiff(_float(4)),
    "1 bit": lambda: saved(Image.fromarray(GREY > 99), "TIFF", compression="group4"),
    "CMYK": lambda: saved(Image.fromarray(COLOURS).convert("CMYK"), "TIFF"),
    "LAB": lambda: saved(Image.merge("LAB", Image.fromarray(COLOURS).split()), "TIFF"),
    "YCbCr": lambda: saved(Image.fromarray(COLOURS).convert("YCbCr"), "TIFF"),
    "turned": _turned,
    "a blank frame first": lambda: saved(
        Image.new("RGB", (60, 40)), "WEBP", save_all=True, append_images=[Image.fromarray(COLOURS)], lossless=True
    ),
}

DIGESTS = {
    "RGB": "94ea713de57945aa",
    "RGB with a profile": "94ea713de57945aa",
    "RGBA": "c3dba8213f813c75",
    "white on nothing": "c9b3a3d3d4931b30",
    "LA": "02c2ceb8348f21f6",
    "palette with a transparent entry": "ed59a3ac09e9fe2a",
    "12 bits in 16": "9d60620f653d2aba",
    "16 bits": "b2e941a9a517f04b",
    "12 bits in 16 by its tag": "9d60620f653d2aba",
    "32 bits": "8889092e3e2e63da",
    "floats to 1": "05e799d0d759060a",
    "floats to 60": "4f25d4211fe084d1",
    "1 bit": "ff84b8ac8fa1be05",
    "CMYK": "94ea713de57945aa",
    "LAB": "178235b8b12277c7",
    "YCbCr": "7bc76763fee438d0",
    "turned": "a19191d107fec66d",
    "a blank frame first": "9f91948cf8e75e00",
}


def digest(data: bytes) -> str:
    squares = [
        decode(data, Preprocessing(image_size=32)),
        decode(data, Preprocessing(image_size=16, resize="center-crop", interpolation="bicubic")),
        decode(data, Preprocessing(image_size=24, reducing_gap=1.5, jpeg_draft=1.5)),
    ]
    return hashlib.sha256(b"".join(square.tobytes() for square in squares)).hexdigest()[:16]


@pytest.mark.parametrize("name", FILES)
def test_the_pixels_are_those_from_before(name: str) -> None:
    assert digest(FILES[name]()) == DIGESTS[name]


def test_a_card_without_the_field_is_written_without_it() -> None:
    """An index version's manifest repeats the card's preprocessing, and is compared with it."""
    before = '{"name": "old", "bits": 8, "preprocessing": {"image_size": 16}}'
    preprocessing = ModelCard.model_validate_json(before).preprocessing
    assert preprocessing.decoding == 1
    assert "decoding" not in preprocessing.model_dump(mode="json")
    newer = preprocessing.model_copy(update={"decoding": 2})
    assert newer.model_dump(mode="json")["decoding"] == 2
    assert Preprocessing.model_validate_json(newer.model_dump_json()) == newer

"""Decoding 2 shows samples of every depth by the range that they are meant in."""

import io
import math
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from pictures.decode import decode, shrunken
from pictures.depth import range_of_integers
from pictures.errors import UnreadableImage
from pictures.png import significant_bits
from pictures.preparation import Preprocessing
from tests.pictures.files import chunk, deep_png, photo, saved, worst

MEANT = Preprocessing(image_size=16, decoding=2)
RAMP = np.tile(np.linspace(0, 255, 48), (32, 1)).astype(np.uint8)
SEEN = decode(saved(Image.fromarray(RAMP), "PNG"), MEANT)


def tiff(values: NDArray[Any], **tags: Any) -> bytes:
    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[int(tag.removeprefix("tag"))] = value
    return saved(Image.fromarray(values), "TIFF", tiffinfo=directory)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "big end first", "int32", "float"])
def test_the_bits_that_are_used(bits: int, kind: str) -> None:
    values = (RAMP.astype(np.float64) * (2**bits - 1) / 255).round()
    if kind == "big end first":
        image = Image.frombytes("I;16B", (48, 32), values.astype(">u2").tobytes())
        data = saved(image, "TIFF")
    elif kind == "PNG":
        data = deep_png(values.astype(np.uint16))
    else:
        data = tiff(values.astype({"TIFF": "uint16", "int32": "int32", "float": "float32"}[kind]))
    assert worst(decode(data, MEANT), SEEN) <= 1


def test_twelve_bits_made_by_shifting() -> None:
    """The whitest is 4080 of 4095."""
    assert worst(decode(tiff(RAMP.astype(np.uint16) * 16), MEANT), SEEN) <= 1


def test_packed_twelve_bits_have_their_range_though_none_is_used_up() -> None:
    """No sample above 1020: by the samples alone they would be ten bits. Two are packed in three bytes."""
    values = RAMP.astype(np.uint16) * 4
    first, second = values[:, ::2], values[:, 1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1).astype(np.uint8)
    data = bytearray(tiff(np.zeros((32, 48), np.uint16), tag278=32))
    # Pillow reads what it doesn't write: the file is written with sixteen bits, and twelve put in their place.
    with Image.open(io.BytesIO(bytes(data))) as file:
        (offset,), entry = file.tag_v2[273], data.index(b"\x02\x01\x03\0\x01\0\0\0\x10\0")
    data[entry + 8] = 12
    data[offset : offset + packed.size] = packed.tobytes()
    assert worst(decode(bytes(data), MEANT) * 4, SEEN) <= 4


@pytest.mark.parametrize(("highest", "share"), [(4095, 1 / 4), (65535, 1 / 64)])
def test_a_tag_goes_before_the_samples(highest: int, share: float) -> None:
    values = RAMP.astype(np.uint16) * 4  # ten bits
    assert worst(decode(tiff(values, tag281=highest), MEANT), SEEN * share) <= 1


def test_a_tag_that_is_not_true_of_the_samples_does_not_count() -> None:
    assert worst(decode(tiff(RAMP.astype(np.uint16) * 16, tag281=255), MEANT), SEEN) <= 1


def test_floats_with_their_range_in_tags() -> None:
    values = (RAMP / 255 * 6 - 2).astype(np.float32)
    assert worst(decode(tiff(values, tag340=-2.0, tag341=4.0), MEANT), SEEN) <= 1


def test_a_png_s_significant_bits() -> None:
    """Sixteen: the picture is dark. Twelve, moved up as the standard wants: all the range. Twelve, left below: 4095."""
    dark = RAMP.astype(np.uint16) * 4
    assert worst(decode(deep_png(dark, chunk(b"sBIT", b"\x10")), MEANT), SEEN / 64) <= 1
    assert worst(decode(deep_png(RAMP.astype(np.uint16) * 257, chunk(b"sBIT", b"\x0c")), MEANT), SEEN) <= 1
    assert worst(decode(deep_png(dark, chunk(b"sBIT", b"\x0c")), MEANT), SEEN / 4) <= 1


def test_significant_bits_are_found_before_the_pixels_only() -> None:
    assert significant_bits(deep_png(np.zeros((2, 2), np.uint16), chunk(b"sBIT", b"\x0b"))) == 11
    assert significant_bits(deep_png(np.zeros((2, 2, 3), np.uint16), chunk(b"sBIT", b"\x0a\x0b\x0a"))) == 11
    assert significant_bits(saved(photo(), "PNG") + chunk(b"sBIT", b"\x08")) is None
    assert significant_bits(b"\x89PNG\r\n\x1a\n") is None


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "PNG with alpha", "TIFF", "TIFF, big end first", "TIFF with deflate"])
def test_colours_of_sixteen_bits(bits: int, kind: str) -> None:
    pixels = np.asarray(photo())
    values = (pixels.astype(np.float64) * (2**bits - 1) / 255).round().astype(np.uint16)
    if kind == "PNG with alpha":
        values = np.dstack([values, np.full(values.shape[:2], 65535, np.uint16)])
    data = deep_png(values) if kind.startswith("PNG") else deep_tiff(values, kind)
    assert worst(decode(data, MEANT), decode(saved(photo(), "PNG"), MEANT)) <= 1


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("opaque", ["as many bits", "sixteen"])
def test_grey_with_alpha_of_sixteen_bits(bits: int, opaque: str) -> None:
    values = (RAMP.astype(np.float64) * (2**bits - 1) / 255).round().astype(np.uint16)
    alpha = np.full(values.shape, 2**bits - 1 if opaque == "as many bits" else 65535, np.uint16)
    assert worst(decode(deep_png(np.dstack([values, alpha])), MEANT), SEEN) <= 1


def deep_tiff(values: NDArray[np.uint16], kind: str) -> bytes:
    """A TIFF of 16-bit colours, which Pillow reads and doesn't write."""
    big = "big" in kind
    end, samples = (">", values.astype(">u2")) if big else ("<", values.astype("<u2"))
    body = samples.tobytes()
    if "deflate" in kind:
        body = zlib.compress(body)
    height, width, _ = values.shape
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 8 if "deflate" in kind else 1),
        (262, 3, 1, 2), (273, 4, 1, 14), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(body)),
    ]  # fmt: skip
    start = 14 + len(body)
    head = (b"MM" if big else b"II") + struct.pack(f"{end}HI", 42, start) + struct.pack(f"{end}3H", 16, 16, 16)
    table = struct.pack(f"{end}H", len(entries))
    for tag, kind_, count, value in entries:
        inline = f"{end}HHIHH" if kind_ == 3 and count == 1 else f"{end}HHII"
        table += struct.pack(inline, tag, kind_, count, value, *([0] if inline.endswith("HH") else []))
    return head + body + table + bytes(4)


def test_signed_integers() -> None:
    """−128…127 is 0…255."""
    data = saved(Image.fromarray(RAMP.astype(np.int32) - 128), "TIFF")
    assert worst(decode(data, MEANT), SEEN) <= 1


@pytest.mark.parametrize("top", [70_000, 1_000_000, 2_000_000_000])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_what_is_beyond_sixteen_bits_has_its_own_range(dtype: str, top: int) -> None:
    assert worst(decode(tiff((RAMP * (top / 255)).round().astype(dtype)), MEANT), SEEN) <= 5


def test_unsigned_thirty_two_bits() -> None:
    values = RAMP.astype(np.uint32) * 16843009  # 0xAB becomes 0xABABABAB
    data = bytearray(saved(Image.frombytes("I", (48, 32), values.tobytes()), "TIFF"))
    data[data.index(b"\x53\x01\x03\0\x01\0\0\0\x02\0") + 8] = 1  # SampleFormat
    assert worst(decode(bytes(data), MEANT), SEEN) <= 1


@pytest.mark.parametrize("top", [1.0, 255.0, 4095.0, 65535.0])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 3.4e38, -9999.0])
def test_one_odd_float_spoils_no_more_than_its_corner(odd: float, top: float) -> None:
    values = (RAMP * (top / 255)).astype(np.float32)
    values[0, 0] = odd
    data = tiff(values)
    assert worst(decode(data, MEANT)[:, 2:], SEEN[:, 2:]) <= 1
    thumbnail = np.asarray(shrunken(data, 256))
    assert worst(thumbnail[:, 2:, 0], RAMP[:, 2:]) <= 1, "people and models see the same"


def test_floats_that_overshoot() -> None:
    """As a resize leaves them: at most a hundredth below zero and above one."""
    values = np.clip(RAMP / 255, None, 1).astype(np.float32)
    values[::9, -1], values[5, 0] = 1.01, -0.01
    assert worst(decode(tiff(values), MEANT), SEEN) <= 2


def test_lights_of_a_rendering_are_white_and_the_rest_is_seen() -> None:
    values = (RAMP / 255).astype(np.float32)
    values[:4, :4] = 37.5
    seen = decode(tiff(values), MEANT)
    assert seen[0, 0].min() == 255
    assert worst(seen[4:], SEEN[4:]) <= 1


def test_floats_around_zero() -> None:
    """−1…1, as networks take pictures."""
    assert worst(decode(tiff((RAMP / 127.5 - 1).astype(np.float32)), MEANT), SEEN) <= 1


def test_floats_of_whole_numbers_that_are_mostly_small_keep_their_range() -> None:
    """A dark picture in floats: most of it is at level 1 of 255."""
    levels = np.ones((32, 48), np.uint8)
    levels[8:24, 8:24] = 200
    seen = decode(tiff(levels.astype(np.float32)), MEANT)
    assert worst(seen, decode(saved(Image.fromarray(levels), "PNG"), MEANT)) <= 1


def test_what_is_nodata_by_its_tag_does_not_count() -> None:
    values = (RAMP / 255).astype(np.float32)
    values[16:] = -9999
    seen = decode(tiff(values, tag42113="-9999"), MEANT)
    assert worst(seen[:7], SEEN[:7]) <= 1 and seen[9:].max() == 0


def test_floats_that_are_all_no_number_are_black() -> None:
    assert decode(tiff(np.full((8, 8), np.nan, np.float32)), MEANT).max() == 0


def test_a_kind_of_tiff_that_is_not_read_is_named() -> None:
    """Floats of 64 bits, as numpy makes them: no decoder here reads them, and the file is no unknown format."""
    data = bytearray(tiff(np.zeros((8, 8), np.float32)))
    data[data.index(b"\x02\x01\x03\0\x01\0\0\0\x20\0") + 8] = 64  # BitsPerSample
    with pytest.raises(UnreadableImage, match="a kind of TIFF that nothing here reads"):
        decode(bytes(data), MEANT)


def test_white_may_be_zero() -> None:
    image = Image.fromarray((255 - RAMP).astype(np.uint16) * 257)
    data = bytearray(saved(image, "TIFF"))
    entry = data.index(b"\x06\x01\x03\0\x01\0\0\0\x01\0")  # PhotometricInterpretation 1
    data[entry + 8] = 0
    assert worst(decode(bytes(data), MEANT), SEEN) <= 1


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits(bits: int) -> None:
    levels = np.tile(np.repeat(np.arange(2**bits), 48 // 2**bits), (32, 1)).astype(np.uint8)
    levels = np.pad(levels, ((0, 0), (0, 48 - levels.shape[1])), mode="edge")
    packed = np.packbits(np.unpackbits(levels[..., None], axis=-1)[..., -bits:].reshape(32, -1), axis=1)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 32, bits, 0, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    full = (levels * (255 // (2**bits - 1))).astype(np.uint8)
    assert worst(decode(data, MEANT), decode(saved(Image.fromarray(full), "PNG"), MEANT)) <= 1


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**32 - 1))
def test_a_range_holds_its_samples(one: int, other: int) -> None:
    lowest, highest = min(one, other), max(one, other)
    if lowest < 0 and highest >= 2**31:
        return
    low, high = range_of_integers(lowest, highest)
    assert low <= lowest and highest <= high
    assert (high - low + 1).bit_count() == 1 or max(highest, -lowest) > 2**15
    assert max(abs(low), high) <= max(4 * max(highest, -lowest) + 4, 255)

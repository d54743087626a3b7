"""Every image that users have becomes the pixels a viewer shows; every other byte string becomes an ImageError."""

import io
import math
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pictures.decode import decode, decoder, whole_picture
from pictures.errors import ImageError, ImageTooLarge, UnreadableImage
from pictures.formats import FORMATS
from pictures.limits import Limits
from pictures.preparation import Preprocessing
from tests.pictures.files import Pixels, chunk, deep_png, photo, sample, saved, worst
from tests.pictures.profiles import profile

SIZE = 16
STRETCH = Preprocessing(image_size=SIZE)
REPOSITORY = Path(__file__).parents[2]

# Where Pillow only warns (a torn metadata block), a server goes on; so do these tests.
as_a_server_does = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def grey_ramp(top: float, dtype: str) -> NDArray[Any]:
    """32 rows of the 48 values from 0 to ``top``."""
    return np.tile(np.linspace(0, top, 48), (32, 1)).astype(dtype)


def resized(image: Image.Image, size: int = SIZE) -> Pixels:
    """What a viewer shows of ``image``, as the model sees it."""
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises that many black pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


EXACT: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": lambda image: saved(image, "PNG"),
    "BMP": lambda image: saved(image, "BMP"),
    "lossless WebP": lambda image: saved(image, "WEBP", lossless=True),
    "TIFF": lambda image: saved(image, "TIFF"),
    "TIFF with LZW": lambda image: saved(image, "TIFF", compression="tiff_lzw"),
    "TIFF with deflate": lambda image: saved(image, "TIFF", compression="tiff_deflate"),
    "TIFF with PackBits": lambda image: saved(image, "TIFF", compression="packbits"),
    "lossless JPEG 2000": lambda image: saved(image, "JPEG2000"),
    "lossless JPEG XL": lambda image: saved(image, "JXL", lossless=True, effort=1),
}
LOSSY: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG": lambda image: saved(image, "JPEG", quality=95),
    "progressive JPEG": lambda image: saved(image, "JPEG", quality=95, progressive=True),
    "CMYK JPEG": lambda image: saved(image.convert("CMYK"), "JPEG", quality=95),
    "CMYK TIFF": lambda image: saved(image.convert("CMYK"), "TIFF"),
    "TIFF with JPEG": lambda image: saved(image, "TIFF", compression="jpeg", quality=95),
    "WebP": lambda image: saved(image, "WEBP", quality=95),
    "GIF": lambda image: saved(image.quantize(256), "GIF"),
    "palette PNG": lambda image: saved(image.quantize(256), "PNG"),
    "AVIF": lambda image: saved(image, "AVIF", quality=95),
    "JPEG 2000": lambda image: saved(image, "JPEG2000", quality_mode="dB", quality_layers=[60], irreversible=True),
    "JPEG XL": lambda image: saved(image, "JXL", quality=95, effort=1),
}
EVERY = EXACT | LOSSY


class TestFormats:
    @pytest.mark.parametrize("name", EXACT)
    def test_a_lossless_file_gives_the_very_pixels(self, name: str) -> None:
        assert np.array_equal(decode(EXACT[name](photo()), STRETCH), resized(photo()))

    @pytest.mark.parametrize("name", LOSSY)
    def test_a_lossy_file_gives_nearly_the_pixels(self, name: str) -> None:
        assert worst(decode(LOSSY[name](photo()), STRETCH), resized(photo())) <= 12

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "BMP", "GIF"])
    def test_a_greyscale_file_has_three_equal_channels(self, format: str) -> None:
        picture = decode(saved(photo().convert("L"), format), STRETCH)
        assert worst(picture, resized(photo().convert("L"))) <= 4
        assert np.ptp(picture, axis=2).max() == 0

    def test_the_answer_is_a_square_of_rgb_bytes_of_its_own(self) -> None:
        picture = decode(saved(photo(), "PNG"), STRETCH)
        assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
        assert picture.flags.writeable, "torch warns of an array that it may not write to"

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO"])
    def test_the_first_of_several_frames_counts(self, format: str) -> None:
        first, second = photo(), Image.new("RGB", (48, 32), "black")
        data = saved(first, format, save_all=True, append_images=[second])
        with Image.open(io.BytesIO(data)) as file:
            assert getattr(file, "n_frames", 1) == 2, "the test's own file must be what it says"
        assert worst(decode(data, STRETCH), resized(first)) <= 24

    def test_a_picture_of_one_pixel_fills_the_square(self) -> None:
        picture = decode(saved(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG"), STRETCH)
        assert np.unique(picture.reshape(-1, 3), axis=0).tolist() == [[1, 2, 3]]


class TestTransparency:
    """Transparent parts show white, as on a page."""

    @staticmethod
    def left_column(data: bytes) -> list[int]:
        (pixel,) = np.unique(decode(data, STRETCH)[:, :4].reshape(-1, 3), axis=0).tolist()
        assert isinstance(pixel, list)
        return pixel

    @pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "AVIF"])
    def test_transparent_black_is_white(self, format: str) -> None:
        image = Image.new("RGBA", (32, 32), (0, 0, 0, 255))
        image.paste((0, 0, 0, 0), (0, 0, 16, 32))
        picture = decode(saved(image, format, lossless=True) if format == "WEBP" else saved(image, format), STRETCH)
        assert picture[:, :4].min() >= 250 and picture[:, -4:].max() <= 5

    def test_half_transparent_black_is_half_grey(self) -> None:
        assert self.left_column(saved(Image.new("RGBA", (16, 16), (0, 0, 0, 128)), "PNG")) == [127, 127, 127]

    def test_grey_with_alpha_is_laid_on_white(self) -> None:
        assert self.left_column(saved(Image.new("LA", (16, 16), (100, 255)), "PNG")) == [100, 100, 100]
        assert self.left_column(saved(Image.new("LA", (16, 16), (100, 0)), "PNG")) == [255, 255, 255]

    @pytest.mark.parametrize("format", ["PNG", "GIF"])
    def test_the_transparent_entry_of_a_palette_is_white(self, format: str) -> None:
        image = Image.new("P", (16, 16), 0)
        image.putpalette([200, 0, 0, 0, 0, 200])
        image.paste(1, (8, 0, 16, 16))
        data = saved(image, format, transparency=0)
        assert self.left_column(data) == [255, 255, 255]
        assert decode(data, STRETCH)[0, -1].tolist() == [0, 0, 200]

    @pytest.mark.parametrize(
        ("mode", "colour"), [("L", 7), ("RGB", (7, 8, 9)), ("1", 0)], ids=["grey", "colour", "black and white"]
    )
    def test_the_transparent_colour_of_a_png_without_alpha_is_white(self, mode: str, colour: Any) -> None:
        assert self.left_column(saved(Image.new(mode, (16, 16), colour), "PNG", transparency=colour)) == [255] * 3


class TestDepth:
    """Every depth of grey keeps its whole range: nothing is clipped to white."""

    RAMP = grey_ramp(255, "uint8")
    EXPECTED = resized(Image.fromarray(RAMP))
    SIXTEEN = RAMP.astype(np.uint16) * 257  # 0xAB becomes 0xABAB, and 255 the whitest of all, 65535

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_sixteen_bits(self, format: str) -> None:
        data = saved(Image.fromarray(self.SIXTEEN), format)
        assert np.array_equal(decode(data, STRETCH), self.EXPECTED)

    def test_sixteen_bits_with_the_big_end_first(self) -> None:
        image = Image.frombytes("I;16B", (48, 32), self.SIXTEEN.astype(">u2").tobytes())
        assert np.array_equal(decode(saved(image, "TIFF"), STRETCH), self.EXPECTED)

    def test_thirty_two_bits_holding_sixteen(self) -> None:
        data = saved(Image.fromarray(self.SIXTEEN.astype(np.int32)), "TIFF")
        assert np.array_equal(decode(data, STRETCH), self.EXPECTED)

    @pytest.mark.parametrize("top", [1.0, 255.0])
    def test_floats_up_to_one_or_to_255(self, top: float) -> None:
        data = saved(Image.fromarray(grey_ramp(top, "float32")), "TIFF")
        assert worst(decode(data, STRETCH), self.EXPECTED) <= 1

    @pytest.mark.parametrize("top", [1.0, 255.0])
    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
    def test_one_float_that_is_no_number_spoils_no_more_than_its_corner(self, odd: float, top: float) -> None:
        values = grey_ramp(top, "float32")
        values[0, 0] = odd
        picture = decode(saved(Image.fromarray(values), "TIFF"), STRETCH)
        assert worst(picture[:, 2:], self.EXPECTED[:, 2:]) <= 1

    def test_floats_that_are_all_no_number_are_black(self) -> None:
        data = saved(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF")
        assert decode(data, STRETCH).max() == 0

    @pytest.mark.parametrize(
        ("format", "options"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "group4"})]
    )
    def test_one_bit(self, format: str, options: dict[str, str]) -> None:
        image = Image.new("1", (16, 16), 0)
        image.paste(1, (8, 0, 16, 16))
        assert np.array_equal(decode(saved(image, format, **options), STRETCH), resized(image))


#: EXIF 2.32, tag 0x0112: orientation → the stored rows of an upright picture (height, width, channels).
STORED: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: upright.swapaxes(0, 1)[::-1],
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: upright.swapaxes(0, 1)[:, ::-1],
}


def turned(orientation: int, format: str, image: Image.Image, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](np.asarray(image)))
    return saved(Image.fromarray(stored), format, exif=exif, **options)


class TestOrientation:
    @pytest.mark.parametrize("orientation", STORED)
    @pytest.mark.parametrize(
        ("format", "options"),
        [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95}), ("AVIF", {"quality": 95})],
    )
    def test_all_eight_show_the_upright_picture(self, orientation: int, format: str, options: dict[str, Any]) -> None:
        picture = decode(turned(orientation, format, photo(), **options), STRETCH)
        assert worst(picture, resized(photo())) <= (12 if format in ("JPEG", "AVIF") else 0)

    @pytest.mark.parametrize("orientation", STORED)
    def test_sixteen_bits_are_turned_too(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = np.ascontiguousarray(STORED[orientation](TestDepth.SIXTEEN[:, :, None])[:, :, 0])
        picture = decode(saved(Image.fromarray(stored), "PNG", exif=exif), STRETCH)
        assert np.array_equal(picture, TestDepth.EXPECTED)

    @pytest.mark.parametrize("orientation", STORED)
    def test_the_middle_is_cut_from_the_upright_picture(self, orientation: int) -> None:
        crop = Preprocessing(image_size=SIZE, resize="center-crop")
        upright = decode(saved(photo(), "PNG"), crop)
        assert np.array_equal(decode(turned(orientation, "PNG", photo()), crop), upright)

    @as_a_server_does
    @pytest.mark.parametrize(
        "exif",
        [
            b"Exif\0\0",
            b"Exif\0\0not a TIFF header at all",
            b"Exif\0\0II*\0\x08\0\0\0\x05\0",
            b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 9, 0) + bytes(4),
            b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI4s", 0x0112, 2, 4, b"abc\0") + bytes(4),
        ],
        ids=["empty", "no header", "torn off", "orientation 9", "orientation is a text"],
    )
    def test_broken_exif_leaves_the_picture_as_it_is(self, exif: bytes) -> None:
        plain, broken = saved(photo(), "JPEG"), saved(photo(), "JPEG", exif=exif)
        assert np.array_equal(decode(broken, STRETCH), decode(plain, STRETCH))


class TestResize:
    STRIPES = Image.new("RGB", (48, 16), (255, 0, 0))
    STRIPES.paste((0, 255, 0), (16, 0, 32, 16))
    STRIPES.paste((0, 0, 255), (32, 0, 48, 16))

    @pytest.mark.parametrize("picture", [STRIPES, STRIPES.transpose(Image.Transpose.ROTATE_90)], ids=["wide", "tall"])
    def test_center_crop_keeps_the_middle_only(self, picture: Image.Image) -> None:
        seen = decode(saved(picture, "PNG"), Preprocessing(image_size=SIZE, resize="center-crop"))
        assert np.unique(seen.reshape(-1, 3), axis=0).tolist() == [[0, 255, 0]]

    def test_stretch_keeps_the_whole_width(self) -> None:
        seen = decode(saved(self.STRIPES, "PNG"), STRETCH)
        assert seen[8, [0, 8, 15]].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]

    def test_both_agree_on_a_square(self) -> None:
        data = saved(photo(40, 40), "PNG")
        assert np.array_equal(decode(data, STRETCH), decode(data, Preprocessing(image_size=SIZE, resize="center-crop")))

    def test_interpolation_is_the_card_s(self) -> None:
        expected = np.asarray(photo().resize((SIZE, SIZE), Image.Resampling.BICUBIC))
        seen = decode(saved(photo(), "PNG"), Preprocessing(image_size=SIZE, interpolation="bicubic"))
        assert np.array_equal(seen, expected)
        assert not np.array_equal(seen, resized(photo()))

    def test_reducing_gap_is_the_card_s(self) -> None:
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))
        expected = np.asarray(noise.resize((SIZE, SIZE), Image.Resampling.BILINEAR, reducing_gap=1.0))
        seen = decode(saved(noise, "PNG"), Preprocessing(image_size=SIZE, reducing_gap=1.0))
        assert np.array_equal(seen, expected)
        assert not np.array_equal(seen, resized(noise))


class TestDraft:
    """``jpeg_draft`` d: a JPEG is decoded at 1/2, 1/4 or 1/8 while both its sides stay at least d × image_size."""

    @staticmethod
    def noise(width: int, height: int) -> bytes:
        """A JPEG whose every scale gives other pixels."""
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return saved(Image.fromarray(pixels), "JPEG", quality=90)

    @staticmethod
    def at_scale(data: bytes, scale: int) -> Pixels:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if scale > 1:
                image.draft(None, (width // scale, height // scale))
                assert image.size == (math.ceil(width / scale), math.ceil(height / scale))
            return resized(image)

    @pytest.mark.parametrize(
        ("width", "height", "draft", "scale"),
        [
            (256, 256, 2.0, 8),  # 256 / 8 = 32 = 2 × 16
            (255, 256, 2.0, 4),  # 255 / 8 < 32
            (256, 192, 2.0, 4),  # the shorter side decides
            (192, 256, 2.0, 4),
            (64, 64, 2.0, 2),
            (63, 256, 2.0, 1),
            (1000, 40, 2.0, 1),
            (512, 512, 1.0, 8),  # Pillow has no 1/16
            (48, 48, 1.5, 2),  # 24 = 1.5 × 16
            (48, 48, 1.53, 1),  # 24 < 24.48
        ],
    )
    def test_the_smallest_scale_that_leaves_enough(self, width: int, height: int, draft: float, scale: int) -> None:
        data = self.noise(width, height)
        seen = decode(data, Preprocessing(image_size=SIZE, jpeg_draft=draft))
        scales = [each for each in (1, 2, 4, 8) if np.array_equal(seen, self.at_scale(data, each))]
        assert scales == [scale]

    def test_without_it_every_pixel_is_decoded(self) -> None:
        data = self.noise(512, 512)
        assert np.array_equal(decode(data, STRETCH), self.at_scale(data, 1))

    def test_a_turned_jpeg_is_upright_all_the_same(self) -> None:
        draft = Preprocessing(image_size=SIZE, jpeg_draft=1.0)
        picture = decode(turned(6, "JPEG", photo(200, 100), quality=95), draft)
        assert worst(picture, resized(photo(200, 100))) <= 12

    def test_other_formats_take_no_notice(self) -> None:
        data = saved(photo(300, 200), "PNG")
        assert np.array_equal(decode(data, Preprocessing(image_size=SIZE, jpeg_draft=1.0)), decode(data, STRETCH))


CUTTABLE = EVERY | {"fax TIFF": lambda image: saved(image.convert("1"), "TIFF", compression="group4")}

#: How many bytes a file may miss at its end and yet hold every pixel: PNG's checksums and IEND, GIF's end marks, a
#: fax's end-of-block code. Pillow cannot notice such a cut, and nothing of the picture is lost by it.
SPARE = {"PNG": 24, "palette PNG": 24, "GIF": 2, "fax TIFF": 4}


class TestWholePicture:
    def test_it_keeps_its_size_and_every_pixel(self) -> None:
        picture = whole_picture(saved(photo(200, 100), "PNG"))
        assert (picture.size, picture.mode) == ((200, 100), "RGB")
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(photo(200, 100)))

    def test_it_is_upright_and_on_white(self) -> None:
        assert whole_picture(turned(6, "JPEG", photo(200, 100), quality=95)).size == (200, 100)
        clear = whole_picture(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG"))
        assert clear.getpixel((0, 0)) == (255, 255, 255)

    @pytest.mark.parametrize("data", [b"", b"no image", saved(photo(), "PNG")[:200]], ids=["empty", "text", "cut"])
    def test_it_refuses_what_decode_refuses(self, data: bytes) -> None:
        with pytest.raises(ImageError) as by_decode:
            decode(data, STRETCH)
        with pytest.raises(type(by_decode.value)) as refused:
            whole_picture(data)
        assert str(refused.value) == str(by_decode.value)

    def test_it_keeps_to_the_limits(self) -> None:
        with pytest.raises(ImageTooLarge, match="200×100 pixels; the limit is 10,000 pixels"):
            whole_picture(saved(photo(200, 100), "PNG"), Limits(max_pixels=10_000))


class TestTruncation:
    @as_a_server_does
    @pytest.mark.parametrize("name", CUTTABLE)
    def test_a_cut_anywhere_is_refused(self, name: str) -> None:
        data = CUTTABLE[name](photo(20, 12))
        for cut in range(len(data) - SPARE.get(name, 0)):
            with pytest.raises(UnreadableImage):
                decode(data[:cut], STRETCH)
                pytest.fail(f"{name} of {len(data)} bytes was read from its first {cut}")

    @as_a_server_does
    @pytest.mark.parametrize("name", SPARE)
    def test_a_cut_that_pillow_overlooks_lost_no_pixel(self, name: str) -> None:
        data = CUTTABLE[name](photo(20, 12))
        whole, read = decode(data, STRETCH), 0
        for cut in range(len(data) - SPARE[name], len(data)):
            try:
                assert np.array_equal(decode(data[:cut], STRETCH), whole)
                read += 1
            except UnreadableImage:
                continue
        assert read, f"{name} needs no entry in SPARE"

    @as_a_server_does
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    @pytest.mark.parametrize("name", CUTTABLE)
    def test_a_large_file_cut_in_its_pixels_is_refused(self, name: str, share: float) -> None:
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8))
        data = CUTTABLE[name](noise)
        with pytest.raises(UnreadableImage):
            decode(data[: int(share * len(data))], STRETCH)

    @as_a_server_does
    @pytest.mark.parametrize("format", ["GIF", "PNG", "MPO"])
    def test_a_cut_in_a_later_frame_leaves_the_first(self, format: str) -> None:
        # Phones' pictures reach us with their second image (depth, preview) stripped: the first is whole.
        first, second = photo(), photo().transpose(Image.Transpose.ROTATE_180)
        data = saved(first, format, save_all=True, append_images=[second])
        assert np.array_equal(decode(data[:-100], STRETCH), decode(data, STRETCH))

    @pytest.mark.parametrize("format", ["WEBP", "AVIF"])
    def test_a_cut_in_a_later_frame_spoils_a_container(self, format: str) -> None:
        data = saved(photo(), format, save_all=True, append_images=[photo().transpose(Image.Transpose.ROTATE_180)])
        with pytest.raises(UnreadableImage):
            decode(data[:-10], STRETCH)


class TestRefusals:
    def test_no_bytes_at_all(self) -> None:
        with pytest.raises(UnreadableImage, match=r"empty \(0 bytes\)"):
            decode(b"", STRETCH)

    @pytest.mark.parametrize(
        "data",
        [b"hello", b"\0" * 1000, b"<!doctype html><p>404 Not Found", b'{"image": 1}', b"\xff\xd8"],
        ids=["text", "zeros", "a page", "JSON", "two bytes of JPEG"],
    )
    def test_what_is_no_image(self, data: bytes) -> None:
        with pytest.raises(UnreadableImage, match="not an image of a known format"):
            decode(data, STRETCH)

    @pytest.mark.parametrize("format", ["EPS", "TGA", "PPM", "ICO", "PDF", "PCX", "SGI"])
    def test_formats_that_are_not_on_the_list(self, format: str) -> None:
        with pytest.raises(UnreadableImage, match=f"not an image of a known format .*{', '.join(FORMATS)}"):
            decode(saved(photo(), format), STRETCH)

    def test_a_byte_over_the_limit(self) -> None:
        data = saved(photo(), "PNG")
        assert decode(data, STRETCH, Limits(max_bytes=len(data))).any()
        with pytest.raises(ImageTooLarge, match=f"{len(data)} bytes; the limit is {len(data) - 1}"):
            decode(data, STRETCH, Limits(max_bytes=len(data) - 1))

    def test_a_pixel_over_the_limit(self) -> None:
        data = saved(photo(48, 32), "PNG")
        assert decode(data, STRETCH, Limits(max_pixels=48 * 32)).any()
        with pytest.raises(ImageTooLarge, match="48×32 pixels; the limit is 1,535 pixels in all"):
            decode(data, STRETCH, Limits(max_pixels=48 * 32 - 1))

    @pytest.mark.parametrize("format", FORMATS)
    def test_every_format_has_the_pixel_limit(self, format: str) -> None:
        data = sample("photo.heic") if format == "HEIF" else saved(photo(), format)
        with pytest.raises(ImageTooLarge, match="pixels; the limit is 1,000 pixels in all"):
            decode(data, STRETCH, Limits(max_pixels=1000))

    @pytest.mark.parametrize("side", [9_460, 20_000], ids=["Pillow would warn", "Pillow would raise"])
    def test_a_decompression_bomb(self, side: int) -> None:
        with pytest.raises(ImageTooLarge, match=f"{side}×{side} pixels; the limit is 89.5 megapixels in all"):
            decode(png_claiming(side, side), STRETCH)

    def test_more_work_than_pixels(self) -> None:
        data = saved(photo(48, 32), "PNG")
        assert decode(data, STRETCH, Limits(max_samples=3 * 48 * 32)).any()
        with pytest.raises(ImageTooLarge, match="4,608 samples of decoding work; the limit is 4,607"):
            decode(data, STRETCH, Limits(max_samples=3 * 48 * 32 - 1))

    @as_a_server_does
    @pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.9])
    @pytest.mark.parametrize("name", EVERY)
    def test_messages_are_one_line_without_a_path(self, name: str, share: float) -> None:
        data = EVERY[name](photo())
        with pytest.raises(ImageError) as refusal:
            decode(data[: int(share * len(data))], STRETCH)
        message = str(refusal.value)
        assert 0 < len(message) < 200 and "\n" not in message
        assert "/" not in message and ".py" not in message and " object at 0x" not in message


def _awkward() -> Iterator[bytes]:
    grey = np.asarray(photo(20, 12).convert("L"))
    for values in (grey.astype(np.uint16) * 16, grey.astype(np.int32) - 99, grey.astype(np.float32) / 9):
        yield saved(Image.fromarray(values), "TIFF")
    yield deep_png(np.asarray(photo(20, 12)).astype(np.uint16) * 16)
    yield saved(photo(20, 12), "PNG", icc_profile=profile("ProPhoto"))
    yield saved(photo(20, 12), "TIFF", icc_profile=profile("Display P3"))
    nothing = Image.new("RGBA", (20, 12), (255, 255, 255, 0))
    for format in ("GIF", "WEBP", "PNG"):
        yield saved(nothing, format, save_all=True, append_images=[photo(20, 12)])


#: Files that the second decoding takes another way.
AWKWARD = tuple(_awkward())


class TestRobustness:
    LIMITS = Limits(max_pixels=1_000_000)
    FILES = (*(make(photo(20, 12)) for make in EVERY.values()), *AWKWARD)

    @classmethod
    def fate(cls, data: bytes) -> str:
        """What becomes of ``data``; anything but pixels or an ImageError fails the test."""
        with suppress(ImageError):
            decode(data, Preprocessing(image_size=SIZE, decoding=2), cls.LIMITS)
        try:
            picture = decode(data, STRETCH, cls.LIMITS)
        except ImageError as error:
            return str(error)
        assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
        return "read"

    @as_a_server_does
    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=300), st.sampled_from([b"", *(data[:40] for data in FILES)]))
    def test_random_bytes(self, junk: bytes, beginning: bytes) -> None:
        assert self.fate(beginning + junk)

    @as_a_server_does
    @settings(deadline=None, max_examples=500)
    @given(st.data())
    def test_damaged_files(self, data: st.DataObject) -> None:
        damaged = bytearray(data.draw(st.sampled_from(self.FILES)))
        where = st.integers(0, len(damaged) - 1)
        for position, value in data.draw(st.lists(st.tuples(where, st.integers(0, 255)), min_size=1, max_size=8)):
            damaged[position] = value
        assert self.fate(bytes(damaged[: data.draw(st.just(len(damaged)) | where)]))

    def test_eight_threads_see_what_one_sees(self) -> None:
        files = [make(photo(40 + 3 * index, 30)) for index in range(6) for make in EVERY.values()]
        alone = [decode(data, STRETCH) for data in files]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda data: decode(data, STRETCH), files * 2))
        for one, other in zip(alone * 2, together, strict=True):
            assert np.array_equal(one, other)


def test_the_decoder_is_pillow_and_its_jpeg_library() -> None:
    assert re.fullmatch(rf"Pillow {re.escape(PIL.__version__)}, libjpeg(-turbo)? \d[\d.]*", decoder())


def test_a_jpeg_of_endless_scans_is_refused_at_once() -> None:
    stream = io.BytesIO()
    Image.new("L", (64, 64), 128).save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    last_scan = whole[whole.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageTooLarge, match="more than 100 scans"):
        decode(whole[:-2] + last_scan * 100 + whole[-2:], Preprocessing(image_size=16))
    assert decode(whole[:-2] + last_scan + whole[-2:], Preprocessing(image_size=16)).shape == (16, 16, 3)

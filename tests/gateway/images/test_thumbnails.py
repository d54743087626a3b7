"""Thumbnails look like their pictures, whatever the format, and what is no picture is refused."""

import asyncio
import io
import threading
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from gateway.images import thumbnails
from gateway.images.thumbnail_cache import ThumbnailCache
from gateway.images.thumbnails import MAKING, Thumbnails, make_thumbnail
from pictures.errors import ImageError
from pictures.formats import FORMATS
from pictures.limits import DEFAULT_LIMITS
from tests.fakes import picture_of, png_of

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def file_with(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def shown(thumbnail: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(thumbnail))
    assert image.format == "WEBP" and image.mode == "RGB"
    return image


def halves(width: int, height: int, left: tuple[int, ...] = RED, right: tuple[int, ...] = BLUE) -> Image.Image:
    image = Image.new("RGB" if len(left) == 3 else "RGBA", (width, height), left)
    image.paste(right, (width // 2, 0, width, height))
    return image


def is_about(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int], within: int = 12) -> bool:
    found = image.getpixel(place)
    assert isinstance(found, tuple)
    return all(abs(one - other) <= within for one, other in zip(found, colour, strict=True))


class TestSize:
    @pytest.mark.parametrize(
        ("size", "small"),
        [
            ((1024, 1024), (256, 256)),
            ((1024, 512), (256, 128)),
            ((300, 3000), (26, 256)),
            ((3000, 1), (256, 1)),
            ((257, 10), (256, 10)),
            ((256, 256), (256, 256)),
            ((20, 10), (20, 10)),
        ],
    )
    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_the_longer_side_has_at_most_256_pixels(
        self, kind: str, size: tuple[int, int], small: tuple[int, int]
    ) -> None:
        assert shown(make_thumbnail(file_with(Image.new("RGB", size), kind))).size == small

    def test_a_large_jpeg_is_not_decoded_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        decoded = []
        shrink = Image.Image.thumbnail

        def watch(image: Image.Image, size: tuple[float, float]) -> None:
            decoded.append(image.size)
            shrink(image, size)

        monkeypatch.setattr(Image.Image, "thumbnail", watch)
        make_thumbnail(file_with(halves(4096, 1024), "JPEG"))
        assert decoded == [(512, 128)]


class TestColours:
    @pytest.mark.parametrize(
        "kind", [*(each for each in FORMATS if each != "HEIF"), "MPO"]
    )  # which nothing here writes
    def test_every_format(self, kind: str) -> None:
        image = shown(make_thumbnail(file_with(halves(600, 300), kind)))
        assert image.size == (256, 128)
        assert is_about(image, (40, 60), RED) and is_about(image, (210, 60), BLUE)

    def test_what_is_shown_is_the_picture(self) -> None:
        data = make_thumbnail(file_with(picture_of(0x8001, 512), "PNG"))
        cells = np.asarray(shown(data).convert("L").resize((4, 4), Image.Resampling.BOX))
        assert ((cells > 127).flatten() == [True] + [False] * 14 + [True]).all()

    @pytest.mark.parametrize("size", [(600, 300), (60, 30)])
    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "TIFF"])
    def test_transparent_is_white(self, kind: str, size: tuple[int, int]) -> None:
        image = shown(make_thumbnail(file_with(halves(*size, (0, 0, 0, 0), (255, 0, 0, 128)), kind)))
        height = image.height // 2
        assert is_about(image, (4, height), WHITE)
        assert is_about(image, (image.width - 4, height), (255, 127, 127))

    def test_a_palette_with_a_transparent_colour(self) -> None:
        image = Image.new("P", (600, 300), 0)
        image.putpalette([0, 0, 0, 0, 0, 255])
        image.paste(1, (300, 0, 600, 300))
        small = shown(make_thumbnail(file_with(image, "GIF", transparency=0)))
        assert is_about(small, (40, 60), WHITE) and is_about(small, (210, 60), BLUE)

    def test_cmyk(self) -> None:
        small = shown(make_thumbnail(file_with(Image.new("CMYK", (300, 300), (0, 255, 255, 0)), "JPEG")))
        assert is_about(small, (100, 100), (254, 0, 0))

    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (np.array([0, 0x8080, 0xFFFF], np.uint16), "PNG"),
            (np.array([0, 0x8080, 0xFFFF], np.uint16), "TIFF"),
            (np.array([0, 0x8080, 0xFFFF], np.int32), "TIFF"),
            (np.array([0, 0.5, 1.0], np.float32), "TIFF"),
            (np.array([0, 127.5, 255.0], np.float32), "TIFF"),
        ],
    )
    def test_grey_of_many_bits(self, values: np.ndarray, kind: str) -> None:
        image = Image.fromarray(values.repeat(200)[None].repeat(100, axis=0))
        small = shown(make_thumbnail(file_with(image, kind)))
        assert [is_about(small, (x, 20), (grey,) * 3, 3) for x, grey in ((40, 0), (128, 128), (220, 255))] == [True] * 3

    def test_the_first_frame_of_an_animation(self) -> None:
        frames = [Image.new("RGB", (300, 300), colour) for colour in (RED, BLUE)]
        data = file_with(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert is_about(shown(make_thumbnail(data)), (100, 100), RED)


class TestExif:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
    def test_upright(self, kind: str) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # shown after a quarter turn clockwise: left becomes top
        image = shown(make_thumbnail(file_with(halves(600, 300), kind, exif=exif)))
        assert image.size == (128, 256)
        assert is_about(image, (60, 40), RED) and is_about(image, (60, 210), BLUE)

    def test_nothing_of_it_is_kept(self) -> None:
        exif = Image.Exif()
        exif[0x010F] = "camera of mine"
        data = make_thumbnail(file_with(halves(600, 300), "JPEG", exif=exif, icc_profile=b"profile", comment=b"mine"))
        assert not shown(data).getexif()
        assert b"mine" not in data and b"profile" not in data


class TestRefused:
    @pytest.mark.parametrize("data", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%!PS\n", bytes(1000)])
    def test_no_picture(self, data: bytes) -> None:
        with pytest.raises(ImageError, match=r"not an image of a known format|empty"):
            make_thumbnail(data)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
    def test_half_a_picture(self, kind: str) -> None:
        noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8))
        data = file_with(noise, kind)
        with pytest.raises(ImageError, match=r"^the image is damaged or truncated \("):
            make_thumbnail(data[: len(data) // 2])

    def test_too_many_bytes(self) -> None:
        with pytest.raises(ImageError, match="the limit is 33,554,432"):
            make_thumbnail(png_of(1) + bytes(DEFAULT_LIMITS.max_bytes))

    @pytest.mark.parametrize(
        ("size", "message"),
        [
            ((9460, 9460), "9460×9460 pixels; the limit is 89.5 megapixels"),
            ((20000, 20000), "20000×20000 pixels; the limit"),
        ],
    )
    def test_too_many_pixels(self, size: tuple[int, int], message: str) -> None:
        data = bytearray(file_with(Image.new("1", (8, 8)), "PNG"))
        data[16:24] = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
        data[29:33] = crc32(data[12:29]).to_bytes(4, "big")
        with pytest.raises(ImageError, match=message):
            make_thumbnail(bytes(data))

    def test_too_many_scans(self) -> None:
        data = file_with(halves(64, 64), "JPEG", progressive=True)
        with pytest.raises(ImageError, match="more than 100 scans"):
            make_thumbnail(data + 100 * b"\xff\xda")


class TestKept:
    @pytest.fixture
    def made(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many thumbnails were being made, each time another one began."""
        busy: list[int] = []
        counts: list[int] = []

        def watch(data: bytes) -> bytes:
            busy.append(1)
            counts.append(len(busy))
            time.sleep(0.02)
            busy.pop()
            return make_thumbnail(data)

        monkeypatch.setattr(thumbnails, "make_thumbnail", watch)
        return counts

    @staticmethod
    def ask(cache: ThumbnailCache, *pictures: bytes, known: Callable[[bytes], bytes | None]) -> list[bytes]:
        async def of_all() -> list[bytes]:
            asked = Thumbnails(cache)
            return await asyncio.gather(*(asked.of(io.BytesIO(data), known(data)) for data in pictures))

        return asyncio.run(of_all())

    def test_by_content_whatever_is_known_of_it(self, made: list[int], tmp_path: Path) -> None:
        cache = ThumbnailCache(tmp_path, 1 << 20)
        picture, other = png_of(1), png_of(2)

        def digest(data: bytes) -> bytes:
            return blake2b(data, digest_size=16).digest()

        (first,) = self.ask(cache, picture, known=digest)
        assert first == make_thumbnail(picture)
        assert self.ask(cache, picture, known=digest) == self.ask(cache, picture, known=lambda _: None) == [first]
        assert len(made) == 1
        assert self.ask(cache, other, known=digest) == [make_thumbnail(other)]
        assert len(made) == 2
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            f"{digest(data).hex()}-{MAKING}.webp" for data in (picture, other)
        )

    def test_a_file_that_is_not_what_its_digest_says_spoils_no_other(self, tmp_path: Path) -> None:
        cache = ThumbnailCache(tmp_path, 1 << 20)
        picture, other = png_of(1), png_of(2)
        of_other = blake2b(other, digest_size=16).digest()
        assert self.ask(cache, picture, known=lambda _: of_other) == [make_thumbnail(picture)]
        assert self.ask(cache, other, known=lambda _: of_other) == [make_thumbnail(other)]

    def test_no_more_at_a_time_than_there_are_cores(
        self, made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
        pictures = [png_of(code) for code in range(12)]
        assert self.ask(ThumbnailCache(tmp_path, 1 << 20), *pictures, known=lambda _: None) == [
            make_thumbnail(picture) for picture in pictures
        ]
        assert len(made) == 12 and max(made) == 2

    def test_what_is_kept_waits_for_nobody(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cache = ThumbnailCache(tmp_path, 1 << 20)
        kept, slow = png_of(1), png_of(2)
        digest = blake2b(kept, digest_size=16).digest()
        (thumbnail,) = self.ask(cache, kept, known=lambda _: None)
        go_on = threading.Event()

        def wait(data: bytes) -> bytes:
            assert go_on.wait(30)
            return make_thumbnail(data)

        monkeypatch.setattr(thumbnails, "make_thumbnail", wait)
        monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})

        async def ask() -> None:
            asked = Thumbnails(cache)
            making = asyncio.create_task(asked.of(io.BytesIO(slow), None))
            await asyncio.sleep(0.05)
            assert await asked.of(io.BytesIO(b"never read"), digest) == thumbnail
            assert not making.done()
            go_on.set()
            assert await making == make_thumbnail(slow)

        asyncio.run(ask())

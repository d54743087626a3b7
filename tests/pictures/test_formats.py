"""HEIC of phones, JPEG 2000 and JPEG XL: each shows the same picture, and none can be a bomb."""

import struct
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pictures import jpeg2000, jpegxl
from pictures.decode import decode, shrunken, whole_picture
from pictures.errors import ImageError, ImageTooLarge, UnreadableImage
from pictures.formats import FORMATS, HEAD, SUFFIXES, UNREAD, recognised
from pictures.heif import coded_pixels
from pictures.limits import DEFAULT_LIMITS, Limits
from pictures.opening import opened
from pictures.preparation import Preprocessing
from pictures.work import Budget, BudgetSpent, samples
from tests.pictures.files import photo, sample, saved, worst

MEANT = Preprocessing(image_size=16, decoding=2)
SEEN = np.asarray(photo(96, 64))


@pytest.mark.parametrize("name", ["photo", "turned", "display_p3", "ten_bits", "second_is_primary"])
def test_a_heic_shows_its_picture(name: str) -> None:
    assert worst(np.asarray(whole_picture(sample(f"{name}.heic"))), SEEN) <= 8


def test_a_grey_heic() -> None:
    assert worst(np.asarray(whole_picture(sample("grey.heic")))[..., 0], np.asarray(photo(96, 64).convert("L"))) <= 4


def test_a_heic_with_alpha_is_on_a_ground() -> None:
    seen = np.asarray(whole_picture(sample("alpha.heic")))
    assert seen[:, :40].min() >= 250 and worst(seen[:, 56:], SEEN[:, 56:]) <= 8


@pytest.mark.parametrize("brand", [b"mif1", b"heic", b"heix"])
def test_a_heic_by_any_brand(brand: bytes) -> None:
    data = sample("photo.heic")
    assert whole_picture(data[:8] + brand + data[12:]).size == (96, 64)


@pytest.mark.parametrize(
    ("format", "mode"),
    [*product(["JPEG2000", "JXL"], ["L", "RGB", "RGBA", "LA"]), ("JPEG2000", "I;16")],
)
def test_modes_of_the_others(format: str, mode: str) -> None:
    options = {"lossless": True} if format == "JXL" else {}
    if mode == "I;16":
        image = Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257)
        plain = photo().convert("L")
    else:
        image, plain = photo().convert(mode), photo().convert("L" if mode in ("L", "LA") else "RGB")
    seen = decode(saved(image, format, **options), MEANT)
    assert worst(seen, decode(saved(plain, "PNG"), MEANT)) <= 1


@pytest.mark.parametrize("least", [1, 40, 100, 400])
def test_a_jpeg_2000_is_decoded_at_a_scale(least: int) -> None:
    """Like a JPEG: at a half, a quarter or an eighth, as long as both sides stay at least so large."""
    data = saved(photo(640, 480), "JPEG2000")
    with opened(data, DEFAULT_LIMITS, lambda _size: (least, least)) as image:
        work = samples(image, image.size, data)
        image.load()
        assert image.size == {1: (80, 60), 40: (80, 60), 100: (160, 120), 400: (640, 480)}[least]
        assert work == image.width * image.height * 3 * 5 + 640 * 480 * 3 // 5
    assert worst(np.asarray(shrunken(data, 64)), np.asarray(photo(64, 48))) <= 12


def test_a_jpeg_2000_of_one_scale_is_decoded_at_that() -> None:
    data = saved(photo(640, 480), "JPEG2000", num_resolutions=1)
    assert jpeg2000.head_of(data) == (640, 480, 0)
    assert shrunken(data, 64).size == (64, 48)
    bare = saved(photo(640, 480), "JPEG2000", no_jp2=True, num_resolutions=3, tile_size=(100, 100))
    assert jpeg2000.head_of(bare) == (640, 480, 2)


def test_a_jpeg_2000_that_is_larger_than_its_box_says() -> None:
    data = saved(photo(640, 480), "JPEG2000")
    place = data.index(b"ihdr") + 4
    with pytest.raises(UnreadableImage):
        decode(data[:place] + struct.pack(">II", 40, 40) + data[place + 8 :], MEANT)


def with_precincts(side: int, size: int) -> bytes:
    """A JPEG 2000 of one colour, with precincts, which Pillow doesn't write: ``size`` holds two binary logarithms."""
    data = saved(Image.new("RGB", (side, side)), "JPEG2000", no_jp2=True)
    place = data.index(b"\xff\x52")
    (length,) = struct.unpack_from(">H", data, place + 2)
    levels = data[place + 9]
    style = bytes([1]) + data[place + 5 : place + 2 + length] + bytes([size] * (levels + 1))
    return data[: place + 2] + struct.pack(">H", len(style) + 2) + style + data[place + 2 + length :]


def test_a_jpeg_2000_of_many_parts_is_refused_before_it_takes_memory() -> None:
    """195 bytes, of which the decoder made 1.7 GB."""
    with pytest.raises(ImageTooLarge, match="precincts; the limit is 100,000"):
        decode(with_precincts(1000, 0x11), MEANT)
    assert decode(with_precincts(1000, 0x77), MEANT).max() == 0
    tiles = bytearray(saved(Image.new("RGB", (256, 256)), "JPEG2000", no_jp2=True))
    tiles[24:32] = struct.pack(">II", 1, 1)  # XTsiz, YTsiz
    with pytest.raises(ImageTooLarge, match="cut into 65,536 tiles"):
        decode(bytes(tiles), MEANT)


def test_a_tile_with_a_style_of_its_own_is_refused() -> None:
    data = with_precincts(64, 0x77)
    style, tile = data.index(b"\xff\x52"), data.index(b"\xff\x93")
    own = data[style : style + 2 + struct.unpack_from(">H", data, style + 2)[0]]
    with pytest.raises(UnreadableImage, match="a style of its own"):
        decode(data[:tile] + own + data[tile:], MEANT)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (300, 200), (513, 7), (1600, 900), (64, 128)])
@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize(("mode", "channels"), [("L", 3), ("RGB", 3), ("RGBA", 4), ("I;16", 3)])
def test_the_head_of_a_jpeg_xl(size: tuple[int, int], boxed: bool, mode: str, channels: int) -> None:
    data = saved(Image.new(mode, size), "JXL", lossless=True, effort=1, use_container=boxed)
    assert jpegxl.head_of(data) == (*size, channels)


def test_a_jpeg_xl_takes_of_the_budget_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    data, work = saved(photo(), "JXL", lossless=True), 48 * 32 * 3 * 4
    assert worst(decode(data, MEANT, budget=Budget(work)), decode(saved(photo(), "PNG"), MEANT)) <= 1
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was opened"))
    with pytest.raises(BudgetSpent):
        decode(data, MEANT, budget=Budget(work - 1))
    with pytest.raises(ImageTooLarge, match="18,432 samples of decoding work; the limit is 18,431"):
        decode(data, MEANT, Limits(max_samples=work - 1))
    with pytest.raises(ImageTooLarge, match="48×32 pixels"):
        decode(data, MEANT, Limits(max_pixels=48 * 32 - 1))


def test_a_jpeg_xl_that_claims_a_billion_pixels() -> None:
    """Sides of 2^30, in 30 bits each: bits 0 (no eighths), 11 (the widest way), 30 of height, 000 (no ratio), …"""
    bits = "0" + "11" + "1" * 30 + "000" + "11" + "1" * 30 + "1"
    whole = b"\xff\x0a" + int(bits[::-1], 2).to_bytes(9, "little")
    assert jpegxl.head_of(whole)[:2] == (2**30, 2**30)
    with pytest.raises(ImageTooLarge, match="1073741824×1073741824 pixels"):
        decode(whole, MEANT)


def test_a_heic_larger_than_its_box_says_is_refused_before_it_is_decoded() -> None:
    data = sample("photo.heic").replace(struct.pack(">II", 96, 64), struct.pack(">II", 16, 16))
    with pytest.raises(UnreadableImage):
        decode(data, MEANT)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def grid(tiles: int, side: int) -> bytes:
    """The boxes of a HEIF whose picture is a grid that names one large item as often as ``tiles``."""
    infe = [box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", item, 0, kind) + b"\0") for item, kind in
            ((1, b"hvc1"), (2, b"grid"))]  # fmt: skip
    meta = (
        box(b"pitm", bytes(4) + struct.pack(">H", 2))
        + box(b"iinf", bytes(4) + struct.pack(">H", 2) + b"".join(infe))
        + box(b"iref", bytes(4) + box(b"dimg", struct.pack(f">HH{tiles}H", 2, tiles, *[1] * tiles)))
        + box(
            b"iprp",
            box(b"ipco", box(b"ispe", bytes(4) + struct.pack(">II", side, side))
                + box(b"ispe", bytes(4) + struct.pack(">II", 100, 100)))
            + box(b"ipma", bytes(4) + struct.pack(">IHBBHBB", 2, 1, 1, 1, 2, 1, 2)),
        )
    )  # fmt: skip
    return box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"meta", bytes(4) + meta)


def test_a_grid_is_as_much_work_as_all_its_tiles() -> None:
    assert coded_pixels(grid(48, 512)) == 100 * 100 + 48 * 512 * 512
    assert coded_pixels(sample("photo.heic")) == 96 * 64
    assert coded_pixels(sample("alpha.heic")) == 2 * 96 * 64, "alpha is an item of its own"


def test_an_item_in_itself_is_refused() -> None:
    loop = grid(1, 8).replace(struct.pack(">HHH", 2, 1, 1), struct.pack(">HHH", 2, 1, 2))
    with pytest.raises(ImageTooLarge, match="parts of parts"):
        coded_pixels(loop)


def test_more_references_than_any_picture_has() -> None:
    with pytest.raises(ImageTooLarge, match="more than 50,000 references"):
        coded_pixels(grid(60_000, 512))


@pytest.mark.parametrize("cut", range(0, 1300, 37))
@pytest.mark.parametrize("name", ["photo.heic", "alpha.heic"])
def test_a_heic_that_is_cut_or_damaged(name: str, cut: int) -> None:
    data = sample(name)
    with pytest.raises(ImageError):
        decode(data[:cut], MEANT)
    for value in (0, 0x55, 0xFF):
        try:
            assert decode(data[:cut] + bytes([value]) + data[cut + 1 :], MEANT).shape == (16, 16, 3)
        except ImageError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("format", FORMATS)
def test_formats_are_recognised_by_their_first_bytes(format: str) -> None:
    data = sample("photo.heic") if format == "HEIF" else saved(photo(), format)
    known = recognised(data[:HEAD])
    assert known is not None and known.name == format


@pytest.mark.parametrize("head", [b"", b"hello", b"%PDF-1.7", b"8BPS\0\1", b"\0\0\0\x18ftypmp42\0\0\0\0isommp42"])
def test_what_is_no_picture_is_not_recognised(head: bytes) -> None:
    assert recognised(head) is None


def test_no_suffix_is_read_and_not_read() -> None:
    assert not UNREAD & set(SUFFIXES)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in (*SUFFIXES, *UNREAD))


def test_where_a_library_is_missing_the_message_says_what_installs_it(tmp_path: Path) -> None:
    (tmp_path / "a.jxl").write_bytes(saved(photo(), "JXL"))
    asked = (
        "import importlib.util as util; find = util.find_spec\n"
        "util.find_spec = lambda name: None if name == 'pillow_jxl' else find(name)\n"
        "from pathlib import Path; from pictures.decode import whole_picture; from pictures.errors import ImageError\n"
        f"try: whole_picture(Path({str(tmp_path / 'a.jxl')!r}).read_bytes())\n"
        "except ImageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    assert done.stdout == (
        "a picture in JXL, which can be read once its library is installed: pip install 'hashlake[formats]'\n"
    )

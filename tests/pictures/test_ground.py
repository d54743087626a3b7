"""What is drawn on nothing is seen, in whatever colour it is drawn."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pictures.decode import decode, whole_picture
from pictures.preparation import Preprocessing
from tests.pictures.files import photo, saved, worst

MEANT = Preprocessing(image_size=32, decoding=2)


def drawn(shape: str, colour: tuple[int, ...], size: int = 64) -> Image.Image:
    image = Image.new("RGBA", (size, size), (*colour[:3], 0))
    draw = ImageDraw.Draw(image)
    if shape == "circle":
        draw.ellipse((size // 4, size // 4, size - size // 4, size - size // 4), fill=colour)
    else:
        for left in range(0, size, size // 4):
            draw.rectangle((left, 0, left + size // 8, size), fill=colour)
    return image


def corner(data: bytes) -> tuple[int, ...]:
    return tuple(decode(data, MEANT)[0, -1].tolist())


@pytest.mark.parametrize("colour", [(255, 255, 255, 255), (0, 0, 0, 255), (250, 250, 245, 255), (255, 255, 255, 60)])
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_a_circle_is_no_bars_and_no_blank_page(colour: tuple[int, ...], format: str) -> None:
    options = {"lossless": True} if format == "WEBP" else {}
    circle, bars = (decode(saved(drawn(shape, colour), format, **options), MEANT) for shape in ("circle", "bars"))
    blank = decode(saved(Image.new("RGBA", (64, 64), (255, 255, 255, 0)), format, **options), MEANT)
    assert worst(circle, bars) > 40 and worst(circle, blank) > 40 and worst(bars, blank) > 40
    assert blank.min() == 255


def test_white_on_nothing_is_on_black_and_black_on_white() -> None:
    assert corner(saved(drawn("circle", (255, 255, 255, 255)), "PNG")) == (0, 0, 0)
    assert corner(saved(drawn("circle", (0, 0, 0, 255)), "PNG")) == (255, 255, 255)


def test_white_beside_black_is_on_grey() -> None:
    both = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    both.paste((255, 255, 255, 255), (4, 4, 28, 60))
    both.paste((0, 0, 0, 255), (32, 4, 56, 60))
    assert corner(saved(both, "PNG")) == (128, 128, 128)


def test_white_letters_inside_of_a_red_box_are_seen_on_white() -> None:
    box = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    box.paste((200, 0, 0, 255), (8, 8, 56, 56))
    box.paste((255, 255, 255, 255), (12, 12, 52, 52))
    assert corner(saved(box, "PNG")) == (255, 255, 255)


def test_a_photograph_that_is_cut_out_stays_on_white() -> None:
    """With a light that is blown out, and a rim that is a little white."""
    cut = photo(64, 64).convert("RGBA")
    cut.paste((255, 255, 255, 255), (20, 20, 40, 40))
    cut.paste((255, 255, 255, 255), (24, 0, 30, 10))
    mask = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(mask).ellipse((2, 2, 61, 61), fill=255)
    cut.putalpha(mask)
    data = saved(cut, "PNG")
    assert np.array_equal(decode(data, MEANT), decode(data, Preprocessing(image_size=32)))


@pytest.mark.parametrize("mode", ["LA", "P", "1", "L"])
def test_every_kind_of_transparency(mode: str) -> None:
    """A white disc on nothing: by alpha, by an entry of the palette, by a colour that counts as none."""
    disc = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(disc).ellipse((16, 16, 48, 48), fill=255)
    if mode == "LA":
        data = saved(Image.merge("LA", (Image.new("L", (64, 64), 255), disc)), "PNG")
    elif mode == "P":
        palette = disc.point(lambda level: level // 255).convert("L")
        image = Image.frombytes("P", (64, 64), palette.tobytes())
        image.putpalette([255, 255, 255, 255, 255, 255])
        data = saved(image, "GIF", transparency=0)
    else:
        data = saved(disc.convert(mode), "PNG", transparency=0)
    seen = decode(data, MEANT)
    assert seen[16, 16].tolist() == [255, 255, 255] and seen[0, 0].tolist() == [0, 0, 0]


def test_sixteen_bits_with_a_transparent_level() -> None:
    values = np.full((64, 64), 1000, np.uint16)
    values[16:48, 16:48] = 65535
    image = Image.fromarray(values)
    seen = decode(saved(image, "PNG", transparency=1000), MEANT)
    assert seen[16, 16].tolist() == [255, 255, 255] and seen[0, 0].tolist() == [0, 0, 0]


def test_where_alpha_was_forgotten_colours_are_shown() -> None:
    forgotten = photo(64, 64).convert("RGBA")
    forgotten.putalpha(0)
    assert worst(np.asarray(whole_picture(saved(forgotten, "PNG"))), np.asarray(photo(64, 64))) == 0


def test_a_faint_drawing_is_on_the_ground_where_it_is_seen() -> None:
    assert corner(saved(drawn("circle", (255, 255, 255, 20)), "PNG")) == (0, 0, 0)
    assert corner(saved(drawn("circle", (0, 0, 0, 20)), "PNG")) == (255, 255, 255)


def test_lines_thinner_than_a_model_s_pixel() -> None:
    lines = Image.new("RGBA", (2000, 2000), (255, 255, 255, 0))
    ImageDraw.Draw(lines).line((0, 1000, 2000, 1000), fill=(255, 255, 255, 255))
    assert corner(saved(lines, "PNG")) == (0, 0, 0)

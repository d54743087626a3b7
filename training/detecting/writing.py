"""Lines of writing in many scripts, drawn on pages.

a font of the system that has the script's letters ─▶ printed lines
no font, or a script that fonts here lack          ─▶ strokes like those of its glyphs, or a hand's
"""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_FONTS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("/Library/Fonts"))

_SCRIPTS = (
    "aaabcdeeeeefghiiijklmnnnooopqrrrsssttttuuvwxyz",
    "aaabcdeeeeefghiiijklmnnnooopqrrrsssttttuuvwxyzABCDEFGHIJKLMNOPRSTUVW",
    "àâæçéèêëîïôœùûüäöüßåøñaeioustrnl",
    "αβγδεζηθικλμνξοπρστυφχψως",
    "абвгдежзийклмнопрстуфхцчшщыьэюя",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆ",
    "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ",
    "0123456789",
)

#: A colour, or a value of a mask.
Ink = tuple[int, int, int] | int

#: Draws a line at (x, y), so many pixels long and high.
Hand = Callable[[ImageDraw.ImageDraw, int, int, int], None]


def some_hand(random: np.random.Generator, size: int, ink: Ink) -> Hand:
    """Returns a hand that writes lines ``size`` pixels high with ``ink``."""
    kind = random.random()
    fonts = _fonts()
    if fonts and kind < 0.62:
        return _printed(random, size, ink, fonts)
    if kind < 0.8:
        return _glyphs(random, size, ink)
    return _handwritten(random, size, ink)


@lru_cache(maxsize=1)
def _fonts() -> tuple[Path, ...]:
    return tuple(sorted(path for folder in _FONTS if folder.is_dir() for path in folder.rglob("*.[to]tf")))


@lru_cache(maxsize=256)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


@lru_cache(maxsize=512)
def _has(path: Path, letters: str) -> bool:
    """Whether the font draws ``letters`` as more than the box for unknown ones."""
    font = _font(path, 16)
    unknown = bytes(font.getmask("\uffff"))
    return all(bytes(font.getmask(letter)) != unknown for letter in letters[:3])


def _printed(random: np.random.Generator, size: int, ink: Ink, fonts: tuple[Path, ...]) -> Hand:
    letters = _SCRIPTS[random.integers(len(_SCRIPTS))]
    able = [path for path in fonts if _has(path, letters)]
    if not able:
        return _glyphs(random, size, ink)
    font = _font(able[random.integers(len(able))], max(5, size))
    signs = np.array(list(letters))
    sample = "".join(random.choice(signs, 40))
    advance = max(1.0, font.getlength(sample + " " * 8) / 48)
    bold = int(random.random() < 0.12)

    def write(draw: ImageDraw.ImageDraw, x: int, y: int, length: int) -> None:
        count = int(length / advance)
        if count < 1:
            return
        drawn = random.choice(signs, count)
        drawn[random.random(count) < 0.17] = " "
        text = "".join(drawn)
        while text and font.getlength(text) > length:
            text = text[: int(len(text) * length / font.getlength(text)) - 1 if len(text) > 1 else 0]
        draw.text((x, y - size // 8), text, ink, font, stroke_width=bold)

    return write


def _glyphs(random: np.random.Generator, size: int, ink: Ink) -> Hand:
    """Signs of a few strokes each; sometimes hanging from a line, sometimes as dense as Chinese."""
    strokes = int(random.integers(2, 7))
    signs = []
    for _ in range(30):
        ends = random.random((strokes, 2, 2))
        if random.random() < 0.6:  # most strokes are upright or level
            ends[:, 1, 0] = ends[:, 0, 0]
            ends[::2, 1] = ends[::2, 0] + (random.random((len(ends[::2]), 2)) - 0.5) * [0.9, 0.1]
        signs.append(np.clip(ends, 0, 1))
    wide = size * random.uniform(0.45, 0.95)
    thick = max(1, round(size / random.uniform(9, 16)))
    headline, spaces = random.random() < 0.2, random.choice([0.0, 0.15])

    def write(draw: ImageDraw.ImageDraw, x: int, y: int, length: int) -> None:
        count = int(length / (wide * 1.12))
        for place, which in enumerate(random.integers(0, len(signs), count)):
            if random.random() < spaces:
                continue
            origin = np.array([x + place * wide * 1.12, y])
            for start, end in signs[which] * [wide, size * 0.9] + origin:
                draw.line((*start, *end), ink, thick)
        if headline and count:
            draw.line((x, y + size // 8, x + count * wide * 1.12, y + size // 8), ink, thick)

    return write


def _handwritten(random: np.random.Generator, size: int, ink: Ink) -> Hand:
    """A pen that goes up and down along the line, lifted between words."""
    pace, slant = size * random.uniform(0.28, 0.5), random.uniform(-0.2, 0.7)
    thick = max(1, round(size / random.uniform(9, 18)))

    def write(draw: ImageDraw.ImageDraw, x: int, y: int, length: int) -> None:
        at, end = float(x), x + length - size
        while at < end:
            steps = int(random.integers(6, 34))
            tall = np.where(random.random(steps) < 0.2, 0.95, 0.45) * random.uniform(0.7, 1.0, steps)
            up = np.where(np.arange(steps) % 2 == 0, tall, random.uniform(-0.05, 0.12, steps)) * size
            across = at + np.arange(steps) * pace / 2 + random.uniform(-0.1, 0.1, steps) * pace + up * slant
            points = [
                (min(max(px, x), x + length), y + 0.85 * size - py) for px, py in zip(across, up, strict=True)
                if px < x + length
            ]  # fmt: skip
            if len(points) > 1:
                draw.line(points, ink, thick, joint="curve")
            at += steps * pace / 2 + size * random.uniform(0.4, 0.8)

    return write


def paragraph(
    picture: Image.Image,
    box: tuple[int, int, int, int],
    hand: Hand,
    size: int,
    leading: float,
    random: np.random.Generator,
) -> int:
    """Writes lines into ``box`` (left, top, right, bottom) and returns where the last one ends. The first is sometimes
    indented, the last mostly shorter."""  # fmt: skip
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = box
    step = max(size + 1, math.ceil(size * leading))
    lines = (bottom - top - size) // step + 1
    indent = int(random.choice([0, 2])) * size
    ragged = random.choice([0.0, 0.12])
    y = top
    for line in range(lines):
        begin = left + (indent if line == 0 else 0)
        length = right - begin
        if line == lines - 1:
            length = int(length * random.uniform(0.3, 1.0))
        hand(draw, begin, y, int(length * (1 - ragged * random.random())))
        y += step
    return max(top, y - step + size)

"""Figures: photographs as print shows them, and drawings made by code.

a photograph ─▶ as it is, grey, sepia, in dots (halftone), in hatched lines (engraving), in outlines (etching)
nothing      ─▶ geometry, a plant, a chart, a landscape of contours, a machine of boxes, an ornament

Each is an RGB picture and a mask "L" that says where it covers the page.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from training.detecting.writing import some_hand

Figure = tuple[Image.Image, Image.Image]
Size = tuple[int, int]
Ink = tuple[int, int, int]


def some_figure(random: np.random.Generator, size: Size, ink: Ink, photograph: Image.Image) -> Figure:
    """Returns a figure that fills ``size``: of a part of ``photograph``, or drawn with ``ink``."""
    if random.random() < 0.5:
        part = _part(random, photograph, size)
        return _PRINTS[random.choice(len(_PRINTS), p=_PRINT_SHARES)](random, part, ink)
    return _drawn(random, size, ink)


def _part(random: np.random.Generator, photograph: Image.Image, size: Size) -> Image.Image:
    """The largest part of the shape of ``size``, or a smaller one, at ``size``."""
    width, height = photograph.size
    scale = min(width / size[0], height / size[1]) * random.uniform(0.6, 1.0)
    wide, high = size[0] * scale, size[1] * scale
    left, top = random.uniform(0, width - wide), random.uniform(0, height - high)
    return photograph.resize(size, Image.Resampling.BILINEAR, (left, top, left + wide, top + high), reducing_gap=2)


def _full(size: Size) -> Image.Image:
    return Image.new("L", size, 255)


def _rounded(random: np.random.Generator, size: Size) -> Image.Image:
    """A mask: whole, oval or with round corners."""
    kind = random.random()
    if kind < 0.8:
        return _full(size)
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    if kind < 0.9:
        draw.ellipse((0, 0, size[0] - 1, size[1] - 1), 255)
    else:
        draw.rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), min(size) // 6, 255)
    return mask


def _as_it_is(random: np.random.Generator, part: Image.Image, ink: Ink) -> Figure:
    return part, _rounded(random, part.size)


def _grey(random: np.random.Generator, part: Image.Image, ink: Ink) -> Figure:
    grey = ImageOps.autocontrast(part.convert("L"), cutoff=1)
    light = tuple(int(each) for each in random.integers(200, 250, 3))
    return ImageOps.colorize(grey, ink, light), _rounded(random, part.size)


def _halftone(random: np.random.Generator, part: Image.Image, ink: Ink) -> Figure:
    """Dots on a turned grid, larger where it is darker."""
    grey = np.asarray(ImageOps.autocontrast(part.convert("L")), np.float32) / 255
    rows, columns = np.mgrid[0 : part.height, 0 : part.width].astype(np.float32)
    angle, pitch = random.uniform(0, math.pi / 2), random.uniform(3, 6)
    across, down = (
        columns * math.cos(angle) + rows * math.sin(angle),
        rows * math.cos(angle) - columns * math.sin(angle),
    )
    screen = (np.cos(across * 2 * math.pi / pitch) + np.cos(down * 2 * math.pi / pitch) + 2) / 4
    mask = _from_dark(grey < screen)
    return Image.new("RGB", part.size, ink), ImageChops.multiply(mask, _rounded(random, part.size))


def _engraved(random: np.random.Generator, part: Image.Image, ink: Ink) -> Figure:
    """Hatched lines, thicker where it is darker; crossed in the darkest parts; white stays paper."""
    grey = np.asarray(ImageOps.autocontrast(part.convert("L"), cutoff=2), np.float32) / 255
    rows, columns = np.mgrid[0 : part.height, 0 : part.width].astype(np.float32)
    pitch, angle = random.uniform(3, 6), random.uniform(-0.8, 0.8)
    wave = np.sin(columns / random.uniform(8, 40)) * random.uniform(0, 2)
    one = np.cos((rows + wave + columns * math.tan(angle)) * 2 * math.pi / pitch) / 2 + 0.5
    other = np.cos((rows - columns * math.tan(angle + 0.7)) * 2 * math.pi / pitch) / 2 + 0.5
    dark = (grey < one * 0.85) | ((grey < 0.35) & (grey * 2 < other))
    return Image.new("RGB", part.size, ink), _from_dark(dark)


def _etched(random: np.random.Generator, part: Image.Image, ink: Ink) -> Figure:
    """Outlines."""
    soft = part.convert("L").filter(ImageFilter.GaussianBlur(random.uniform(0.8, 1.8)))
    values = np.asarray(soft, np.float32)
    down, across = np.gradient(values)
    edges = np.hypot(down, across)
    dark = edges > np.quantile(edges, random.uniform(0.82, 0.92))
    return Image.new("RGB", part.size, ink), _from_dark(dark)


_PRINTS: tuple[Callable[[np.random.Generator, Image.Image, Ink], Figure], ...] = (
    _as_it_is, _grey, _halftone, _engraved, _etched,
)  # fmt: skip
_PRINT_SHARES = (0.3, 0.2, 0.12, 0.2, 0.18)


def _from_dark(dark: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(dark, 255, 0).astype(np.uint8))


def _drawn(random: np.random.Generator, size: Size, ink: Ink) -> Figure:
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    thick = max(1, round(min(size) / random.uniform(60, 160)))
    _DRAWINGS[random.integers(len(_DRAWINGS))](random, draw, size, thick)
    if random.random() < 0.25:
        draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=255, width=thick)
    colour = Image.new("RGB", size, ink)
    if random.random() < 0.25:  # washed with colours
        wash = Image.fromarray(random.integers(60, 230, (3, 3, 3)).astype(np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        colour.paste(wash, mask=ImageOps.invert(mask))
        mask = mask.point(lambda value: value or 110)
    return colour, mask


def _points(random: np.random.Generator, size: Size, count: int) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in random.random((count, 2)) * [size[0] - 1, size[1] - 1]]


def _letters(random: np.random.Generator, draw: ImageDraw.ImageDraw, size: Size, count: int) -> None:
    high = max(6, min(size) // 14)
    hand = some_hand(random, high, 255)
    for x, y in _points(random, (max(1, size[0] - 2 * high), max(1, size[1] - 2 * high)), count):
        hand(draw, int(x), int(y), 2 * high)


def _geometry(random: np.random.Generator, draw: ImageDraw.ImageDraw, size: Size, thick: int) -> None:
    """Circles, triangles and lines between their points, with letters."""
    points = _points(random, size, int(random.integers(5, 11)))
    radius = min(size) / 2 - 1
    middle = (size[0] / 2, size[1] / 2)
    for _ in range(random.integers(1, 4)):
        draw.ellipse(
            (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius), outline=255, width=thick
        )
        radius *= random.uniform(0.5, 0.85)
    for _ in range(random.integers(4, 12)):
        one, other = random.integers(0, len(points), 2)
        draw.line((*points[one], *points[other]), 255, thick)
    draw.line((0, 0, *points[0]), 255, thick)
    draw.line((*points[1], size[0] - 1, size[1] - 1), 255, thick)
    draw.polygon(points[:3], outline=255, width=thick)
    _letters(random, draw, size, int(random.integers(2, 7)))


def _plant(random: np.random.Generator, draw: ImageDraw.ImageDraw, size: Size, thick: int) -> None:
    """A stem that branches, with leaves or flowers at its ends."""
    leaf = min(size) * random.uniform(0.05, 0.12)
    filled = random.random() < 0.4

    def grow(x: float, y: float, angle: float, length: float, depth: int) -> None:
        end = (
            float(np.clip(x + length * math.cos(angle), 0, size[0] - 1)),
            float(np.clip(y - length * math.sin(angle), 0, size[1] - 1)),
        )
        draw.line((x, y, *end), 255, max(1, thick * depth // 2))
        if depth <= 2:
            box = (end[0] - leaf / 2, end[1] - leaf / 3, end[0] + leaf / 2, end[1] + leaf / 3)
            draw.ellipse(box, fill=255 if filled else None, outline=255, width=thick)
        if depth > 1:
            for turn in (random.uniform(0.15, 0.8), random.uniform(-0.8, -0.15)):
                grow(*end, angle + turn, length * random.uniform(0.6, 0.85), depth - 1)

    for root in range(random.integers(1, 4)):
        grow(
            size[0] * random.uniform(0.35, 0.65), size[1] - 1, math.pi / 2 + random.uniform(-0.4, 0.4) * root,
            size[1] * random.uniform(0.25, 0.33), 5,
        )  # fmt: skip
    draw.line((size[0] * 0.05, size[1] - 1, size[0] * 0.95, size[1] - 1), 255, thick)


def _chart(random: np.random.Generator, draw: ImageDraw.ImageDraw, size: Size, thick: int) -> None:
    """Axes with bars or curves."""
    width, height = size[0] - 1, size[1] - 1
    draw.line((0, 0, 0, height, width, height), 255, thick)
    count = int(random.integers(4, 14))
    values = random.random(count) * height * 0.95
    if random.random() < 0.5:
        step = width / count
        for place, value in enumerate(values):
            box = (place * step + step * 0.15, height - value, (place + 0.85) * step, height)
            draw.rectangle(box, fill=255 if random.random() < 0.5 else None, outline=255, width=thick)
    else:
        for _ in range(random.integers(1, 4)):
            line = np.cumsum(random.standard_normal(60))
            line = (line - line.min()) / (np.ptp(line) + 1e-6) * height * 0.95
            draw.line([(i / 59 * width, height - v) for i, v in enumerate(line)], 255, thick)
    _letters(random, draw, size, int(random.integers(2, 6)))


def _contours(random: np.random.Generator, draw: ImageDraw.ImageDraw, size: Size, thick: int) -> None:
    """Closed curves within each other, as on maps."""
    for _ in range(random.integers(2, 6)):
        centre = _points(random, size, 1)[0]
        waves = random.random((4, 2)) * [1, 2 * math.pi]
        angles = np.linspace(0, 2 * math.pi, 60)
        shape = 1 + sum(0.12 * wave * np.sin((k + 2) * angles + phase) for k, (wave, phase) in enumerate(waves))
        for ring in range(1, int(random.integers(3, 9))):
            radius = shape * ring * min(size) * 0.07
            x = np.clip(centre[0] + radius * np.cos(angles), 0, size[0] - 1)
            y = np.clip(centre[1] + radius * np.sin(angles), 0, size[1] - 1)
            draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), 255, thick)
    draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=255, width=thick)


def _machine(random: np.random.Generator, draw: ImageDraw.ImageDraw, size: Size, thick: int) -> None:
    """Boxes, wheels and hatching, joined by lines."""
    points = [(0.0, 0.0), (size[0] - 1.0, size[1] - 1.0), *_points(random, size, int(random.integers(4, 9)))]
    unit = min(size) * random.uniform(0.08, 0.2)
    for (x, y), (other_x, other_y) in zip(points, points[1:] + points[:1], strict=True):
        draw.line((x, y, other_x, y, other_x, other_y), 255, thick)
    for x, y in points[2:]:
        box = (x - unit * random.uniform(0.5, 1.5), y - unit, x + unit * random.uniform(0.5, 1.5), y + unit)
        if random.random() < 0.5:
            draw.ellipse(box, outline=255, width=thick)
            for spoke in np.linspace(0, math.pi, int(random.integers(2, 7))):
                reach = (unit * math.cos(spoke), unit * math.sin(spoke))
                draw.line((x - reach[0], y - reach[1], x + reach[0], y + reach[1]), 255, thick)
        else:
            draw.rectangle(box, outline=255, width=thick)
            for hatch in np.arange(box[0], box[2], 3 + 2 * thick):
                draw.line((hatch, box[1], min(hatch + unit / 2, box[2]), box[3]), 255, max(1, thick // 2))


def _ornament(random: np.random.Generator, draw: ImageDraw.ImageDraw, size: Size, thick: int) -> None:
    """A rosette of curves that fills its box."""
    angles = np.linspace(0, 2 * math.pi * int(random.integers(3, 9)), 500)
    ratio = random.uniform(1.5, 7.5)
    x = (np.cos(angles) + 0.6 * np.cos(ratio * angles)) / 1.6
    y = (np.sin(angles) + 0.6 * np.sin(ratio * angles)) / 1.6
    points = zip(((x + 1) / 2 * (size[0] - 1)).tolist(), ((y + 1) / 2 * (size[1] - 1)).tolist(), strict=True)
    draw.line(list(points), 255, thick)


_DRAWINGS = (_geometry, _plant, _chart, _contours, _machine, _ornament)

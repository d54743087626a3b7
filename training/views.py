"""Random copies of a picture, such as the web makes: what a detail head learns to see through.

    picture ─▶ turned, mirrored, cropped, rotated ─▶ recoloured ─▶ written on, blurred ─▶ framed ─▶ scaled, JPEG

Each step happens to some of the copies. ``training.distortions`` has the fixed copies that models are measured with;
these are drawn from far wider ranges, and none is made exactly like one of those.
"""

from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Random = np.random.Generator
Colour = tuple[int, int, int]

_TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
_LETTERS = list("ABCDEFGHIJKLMNOPRSTUVWabcdefghilmnoprstuvw0123456789 .:@#/")


def view(picture: Image.Image, random: Random) -> Image.Image:
    """Returns a changed copy of an RGB ``picture``."""
    return compressed(_framed(_marked(_recoloured(_moved(picture, random), random), random), random), random)


def _happens(random: Random, share: float) -> bool:
    return bool(random.random() < share)


def _moved(picture: Image.Image, random: Random) -> Image.Image:
    if _happens(random, 0.1):
        picture = picture.transpose(_TURNS[random.integers(3)])
    if _happens(random, 0.2):
        picture = ImageOps.mirror(picture)
    if _happens(random, 0.45):
        picture = _cropped(picture, random)
    if _happens(random, 0.25):
        fill = (0, 0, 0) if _happens(random, 0.6) else _plain(random)
        angle = float(random.uniform(-15, 15))
        picture = picture.rotate(angle, Image.Resampling.BILINEAR, _happens(random, 0.2), fillcolor=fill)
    return picture


def _cropped(picture: Image.Image, random: Random) -> Image.Image:
    """A window of 35% to 95% of the area, of nearly the picture's shape."""
    scale, stretch = random.uniform(0.35, 0.95) ** 0.5, np.exp(random.uniform(-0.2, 0.2))
    width = max(1, round(picture.width * min(1.0, scale * stretch)))
    height = max(1, round(picture.height * min(1.0, scale / stretch)))
    left = int(random.integers(picture.width - width + 1))
    top = int(random.integers(picture.height - height + 1))
    return picture.crop((left, top, left + width, top + height))


def _recoloured(picture: Image.Image, random: Random) -> Image.Image:
    drawn = random.random()
    if drawn < 0.25:
        for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = enhancer(picture).enhance(float(random.uniform(0.6, 1.4)))
    elif drawn < 0.36:
        gains = random.uniform(0.7, 1.3, 3)
        picture = Image.fromarray(np.clip(np.asarray(picture) * gains, 0, 255).astype(np.uint8))
    elif drawn < 0.43:
        picture = picture.convert("L").convert("RGB")
    elif drawn < 0.48:
        picture = ImageOps.invert(picture)
    return picture


def _marked(picture: Image.Image, random: Random) -> Image.Image:
    if _happens(random, 0.17):
        picture = picture.copy()
        for _ in range(int(random.integers(1, 4))):
            x, y = (int(random.integers(max(1, round(0.8 * side)))) for side in picture.size)
            _write(picture, (x, y), float(random.uniform(0.05, 0.18)) * min(picture.size), random)
    if _happens(random, 0.15):
        picture = picture.filter(ImageFilter.GaussianBlur(float(random.uniform(0.002, 0.012)) * max(picture.size)))
    return picture


def _write(picture: Image.Image, place: tuple[int, int], size: float, random: Random) -> None:
    text = "".join(random.choice(_LETTERS, int(random.integers(4, 18))))
    fill, rim = ("white", "black") if _happens(random, 0.7) else (_plain(random), _plain(random))
    font = _font(max(6, round(size)))
    ImageDraw.Draw(picture).text(place, text, fill, font, stroke_width=int(size / 12), stroke_fill=rim)


@cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _plain(random: Random) -> Colour:
    """White, black, a grey or any colour."""
    drawn = random.random()
    if drawn < 0.3:
        return (255, 255, 255)
    if drawn < 0.5:
        return (0, 0, 0)
    if drawn < 0.75:
        grey = int(random.integers(256))
        return (grey, grey, grey)
    red, green, blue = random.integers(0, 256, 3).tolist()
    return (red, green, blue)


def _framed(picture: Image.Image, random: Random) -> Image.Image:
    drawn = random.random()
    if drawn < 0.14:  # a border, as wide on every side
        across, down = (round(random.uniform(0.03, 0.22) * side) for side in picture.size)
        return ImageOps.expand(picture, (across, down) if _happens(random, 0.5) else across, _plain(random))
    if drawn < 0.3:
        return _shown(picture, random)
    return picture


def _shown(picture: Image.Image, random: Random) -> Image.Image:
    """A page, a phone or a window that shows the picture somewhere, with bars, lines of text and blocks around it."""
    left, top, right, bottom = random.uniform(0.0, 0.4, 4) * np.repeat(random.uniform(0.3, 1.0, 2), 2)
    width, height = picture.size
    if _happens(random, 0.3):  # a phone: bars above and below, hardly any beside
        left, right, top, bottom = left / 8, right / 8, top * 1.5, bottom * 1.5
    page = Image.new("RGB", (round(width * (1 + left + right)), round(height * (1 + top + bottom))), _plain(random))
    draw, x, y = ImageDraw.Draw(page), round(left * width), round(top * height)
    for edge in (0, page.height):
        if _happens(random, 0.6):
            bar = round(random.uniform(0.2, 0.8) * abs(edge - y if edge == 0 else edge - y - height))
            draw.rectangle((0, max(0, edge - bar), page.width, min(edge + bar, page.height)), _plain(random))
    for _ in range(int(random.integers(0, 7))):
        place = (int(random.integers(page.width)), int(random.integers(page.height)))
        if _happens(random, 0.6):
            _write(page, place, float(random.uniform(0.02, 0.08)) * page.height, random)
        else:
            sides = random.uniform(0.02, 0.2, 2)
            draw.rectangle(
                (*place, place[0] + int(sides[0] * page.width), place[1] + int(sides[1] * page.height)), _plain(random)
            )
    page.paste(picture, (x, y))
    return page


def compressed(picture: Image.Image, random: Random) -> Image.Image:
    """The picture, often smaller, as a JPEG has it."""
    if _happens(random, 0.4):
        share = float(random.uniform(0.4, 1.0))
        width, height = (max(16, round(share * side)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=int(random.integers(30, 96)))
    return Image.open(stream).convert("RGB")

"""What years, books and scanners do to a page: each effect alone in some cases, most of them together in few.

turned a little ─▶ show-through, stains, uneven light ─▶ faded ink, tint ─▶ blur, noise ─▶ JPEG
"""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from training.detecting.composed import Composed, turned

Values = NDArray[np.float32]


def aged(composed: Composed, random: np.random.Generator, back: Image.Image | None, likely: float) -> Composed:
    """Returns ``composed`` with each effect in a share ``likely`` of the cases; ``back`` is what shows through."""
    if random.random() < likely:
        ground = tuple(int(each) for each in random.integers(0, 255, 3)) if random.random() < 0.3 else _edge(composed)
        composed = turned(composed, float(np.clip(random.normal(0, 2), -6, 6)), ground)  # type: ignore[arg-type]
    picture = composed.picture
    if back is not None and random.random() < likely:
        picture = _shown_through(picture, back, random)
    values = np.asarray(picture, np.float32)
    if random.random() < likely:
        values = _stained(values, random)
    if random.random() < likely:
        values = _unevenly_lit(values, random)
    if random.random() < likely:
        values = _faded(values, random)
    picture = _as_picture(values)
    if random.random() < likely:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 2.2)))
    if random.random() < likely:
        noise = random.standard_normal((picture.height, picture.width, 1), np.float32) * random.uniform(2, 22)
        picture = _as_picture(np.asarray(picture, np.float32) + noise)
    if random.random() < 0.15:
        picture = ImageOps.grayscale(picture).convert("RGB")
    if random.random() < likely:
        picture = as_jpeg(picture, int(random.integers(18, 85)))
    return Composed(picture, composed.boxes)


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Returns ``picture`` as it comes back from a JPEG file."""
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def _as_picture(values: Values) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _edge(composed: Composed) -> tuple[int, ...]:
    colour = composed.picture.getpixel((1, 1))
    assert isinstance(colour, tuple)
    return tuple(int(each) for each in colour)


def _field(random: np.random.Generator, size: tuple[int, int], cells: int) -> Values:
    """A smooth field of values in 0…1, (height, width, 1)."""
    coarse = Image.fromarray((random.random((cells, cells)) * 255).astype(np.uint8))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float32)[..., None] / np.float32(255)


def _shown_through(picture: Image.Image, back: Image.Image, random: np.random.Generator) -> Image.Image:
    """The page's other side, mirrored, pale and soft."""
    other = ImageOps.mirror(back.resize(picture.size)).filter(ImageFilter.GaussianBlur(random.uniform(0.6, 2)))
    share = random.uniform(0.05, 0.25)
    dark = 255 - np.asarray(other.convert("L"), np.float32)[..., None]
    return _as_picture(np.asarray(picture, np.float32) - dark * share)


def _stained(values: Values, random: np.random.Generator) -> Values:
    """Brown patches with darker rims, and specks."""
    height, width = values.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    for _ in range(random.integers(1, 6)):
        x, y = random.uniform(0, width), random.uniform(0, height)
        radius = random.uniform(0.02, 0.25) * max(width, height)
        distance = np.hypot(columns - x, (rows - y) * random.uniform(0.6, 1.6)) / radius
        rim = np.exp(-(((distance - 1) / 0.12) ** 2)) * 0.7
        inside = 1 / (1 + np.exp(np.minimum((distance - 1) * 14, 50)))
        loss = (rim + inside)[..., None] * np.array([0.1, 0.17, 0.3], np.float32) * random.uniform(0.2, 1.0)
        values = values * (1 - np.clip(loss, 0, 0.7))
    for _ in range(random.integers(0, 60)):
        x, y, size = int(random.integers(width)), int(random.integers(height)), int(random.integers(1, 4))
        values[y : y + size, x : x + size] *= 0.45
    return values


def _unevenly_lit(values: Values, random: np.random.Generator) -> Values:
    """Light that changes over the page, and the shadow of a book's fold at one side."""
    height, width = values.shape[:2]
    light = 1 - random.uniform(0.1, 0.45) * _field(random, (width, height), 3)
    if random.random() < 0.4:
        across = np.linspace(0, 1, width, dtype=np.float32)
        across = across if random.random() < 0.5 else across[::-1]
        light = light * (1 - random.uniform(0.2, 0.7) * np.exp(-across / random.uniform(0.02, 0.12)))[None, :, None]
    return values * light


def _faded(values: Values, random: np.random.Generator) -> Values:
    """Less contrast, and a tint of the paper."""
    contrast = random.uniform(0.35, 0.95)
    tint = np.array([1, random.uniform(0.85, 1), random.uniform(0.6, 1)], np.float32)
    level = random.uniform(150, 245)
    faded: Values = (level + (values - values.max()) * contrast * (level / 255)) * tint
    return faded

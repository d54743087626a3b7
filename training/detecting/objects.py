"""Composed photographs of one thing: what was cut out of photographs, or a drawn shape, on a ground.

a photograph of a thing on an even ground ─▶ flooded from its rim ─▶ the thing's mask, if that is plausible
                                                                     ├▶ the photograph as it is, with the mask's box
                                                                     └▶ the thing cut out, on another ground
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from training.detecting.ageing import as_jpeg
from training.detecting.composed import OBJECT, Composed
from training.detecting.pages import Photographs

#: Pixels of the longer side at which things are cut out and composed.
SIDE = 400

#: Tolerance of colour while flooding, summed over the channels.
_TOLERANCE = 48
#: Pixels of the longer side while flooding, and the colour that ground is marked with.
_FLOODED, _GROUND = 160, (255, 0, 255)

#: Shares of the picture that a thing covers, and of its rim that may be thing.
_COVERED, _RIM = (0.06, 0.75), 0.12


class CutOut(NamedTuple):
    """A photograph and the mask "L" of the thing in it."""

    photograph: Image.Image
    mask: Image.Image


def cut_out(photograph: Image.Image) -> CutOut | None:
    """Returns the thing in ``photograph``, RGB, or None where what remains of flooding its ground is no one thing."""
    soft = photograph.copy()
    soft.thumbnail((_FLOODED, _FLOODED))
    soft = soft.filter(ImageFilter.GaussianBlur(1))
    width, height = soft.size
    across, down = (np.linspace(1, side - 2, 7).astype(int).tolist() for side in soft.size)
    for place in [(x, y) for x in across for y in (1, height - 2)] + [(x, y) for y in down for x in (1, width - 2)]:
        if soft.getpixel(place) != _GROUND:
            ImageDraw.floodfill(soft, place, _GROUND, thresh=_TOLERANCE)
    ground = (np.asarray(soft) == _GROUND).all(axis=2)
    mask = Image.fromarray(np.where(ground, 0, 255).astype(np.uint8))
    mask = mask.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.MaxFilter(3))  # without specks
    thing = _middle_part(mask)
    if not _COVERED[0] < thing.mean() < _COVERED[1]:
        return None
    rows, columns = np.flatnonzero(thing.any(axis=1)), np.flatnonzero(thing.any(axis=0))
    rim = np.concatenate((thing[0], thing[-1], thing[:, 0], thing[:, -1]))
    if rim.mean() > _RIM or thing.sum() < 0.4 * (np.ptp(rows) + 1) * (np.ptp(columns) + 1):
        return None
    whole = Image.fromarray(np.where(thing, 255, 0).astype(np.uint8)).resize(photograph.size)
    return CutOut(photograph, whole.point(lambda value: 255 if value > 127 else 0))


def _middle_part(mask: Image.Image) -> NDArray[np.bool_]:
    """The connected part of ``mask`` that has the pixel nearest to the middle, bool (height, width)."""
    rows, columns = np.nonzero(np.asarray(mask))
    if not len(rows):
        return np.zeros((mask.height, mask.width), np.bool_)
    nearest = int(np.argmin(np.hypot(rows - mask.height / 2, columns - mask.width / 2)))
    marked = mask.copy()
    ImageDraw.floodfill(marked, (int(columns[nearest]), int(rows[nearest])), 128)
    part: NDArray[np.bool_] = np.asarray(marked) == 128
    return part


def composed_object(random: np.random.Generator, photographs: Photographs, things: list[CutOut]) -> Composed:
    """Returns a photograph of one thing: as it was taken, or pasted on a ground."""
    thing = things[random.integers(len(things))] if things and random.random() < 0.8 else _shape(random, photographs)
    box = thing.mask.getbbox()
    assert box is not None
    if random.random() < 0.3 and things:
        taken = Composed(thing.photograph, np.array([[*box, OBJECT]], np.float32))
        return _photographed(random, _cropped(random, taken))
    ground = _ground(random, photographs)
    colours, mask = thing.photograph.crop(box), thing.mask.crop(box).filter(ImageFilter.GaussianBlur(0.8))
    degrees = random.normal(0, 12)
    colours = colours.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
    mask = mask.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
    if random.random() < 0.5:
        colours, mask = (each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in (colours, mask))
    share = random.uniform(0.25, 0.95)
    scale = share * min(ground.width / colours.width, ground.height / colours.height)
    size = (max(8, int(colours.width * scale)), max(8, int(colours.height * scale)))
    colours, mask = colours.resize(size), mask.resize(size)
    left = int(random.integers(0, ground.width - size[0] + 1))
    top = int(random.integers(0, ground.height - size[1] + 1))
    if random.random() < 0.5:
        shadow = mask.filter(ImageFilter.GaussianBlur(6)).point(lambda value: value // 3)
        ground.paste((20, 20, 20), (left + 4, top + 6), shadow)
    ground.paste(colours, (left, top), mask)
    inside = mask.point(lambda value: 255 if value > 127 else 0).getbbox() or (0, 0, *size)
    place = (left + inside[0], top + inside[1], left + inside[2], top + inside[3], OBJECT)
    return _photographed(random, Composed(ground, np.array([place], np.float32)))


def _cropped(random: np.random.Generator, taken: Composed) -> Composed:
    """Less of the ground, which the thing doesn't lose by."""
    left, top, right, bottom = (int(each) for each in taken.boxes[0, :4])
    width, height = taken.picture.size
    window = (
        int(random.uniform(0, left * 0.9)), int(random.uniform(0, top * 0.9)),
        int(width - random.uniform(0, (width - right) * 0.9)), int(height - random.uniform(0, (height - bottom) * 0.9)),
    )  # fmt: skip
    moved = taken.boxes - np.array([window[0], window[1], window[0], window[1], 0], np.float32)
    return Composed(taken.picture.crop(window), moved)


def _shape(random: np.random.Generator, photographs: Photographs) -> CutOut:
    """A smooth closed shape with a photograph's colours."""
    texture = photographs.any(random).resize((SIDE, SIDE))
    angles = np.linspace(0, 2 * math.pi, 90)
    radius = 1 + sum(
        random.uniform(0, 0.32 / k) * np.cos(k * angles + random.uniform(0, 2 * math.pi)) for k in range(2, 7)
    )
    stretch = random.uniform(0.5, 1.0, 2)
    x, y = radius * np.cos(angles) * stretch[0], radius * np.sin(angles) * stretch[1]
    unit = SIDE * 0.45 / max(np.abs(x).max(), np.abs(y).max())
    mask = Image.new("L", (SIDE, SIDE))
    points = zip((x * unit + SIDE / 2).tolist(), (y * unit + SIDE / 2).tolist(), strict=True)
    ImageDraw.Draw(mask).polygon(list(points), 255)
    if random.random() < 0.5:
        plain = Image.new("RGB", (SIDE, SIDE), tuple(int(each) for each in random.integers(0, 255, 3)))
        texture = Image.blend(texture, plain, random.uniform(0.4, 0.9))
    return CutOut(texture, mask)


def _ground(random: np.random.Generator, photographs: Photographs) -> Image.Image:
    """A plain or shaded ground, a photograph out of focus, or one in focus."""
    width, height = int(SIDE * random.uniform(0.7, 1)), int(SIDE * random.uniform(0.7, 1))
    kind = random.random()
    if kind < 0.35:
        corners = random.integers(30, 256, 3) + random.integers(-25, 26, (2, 2, 3))
        small = Image.fromarray(np.clip(corners, 0, 255).astype(np.uint8))
        ground = small.resize((width, height), Image.Resampling.BILINEAR)
        noise = random.standard_normal((height, width, 1)) * random.uniform(0, 10)
        return Image.fromarray(np.clip(np.asarray(ground) + noise, 0, 255).astype(np.uint8))
    ground = photographs.any(random).resize((width, height))
    if kind < 0.65:
        ground = ground.filter(ImageFilter.GaussianBlur(random.uniform(3, 14)))
    return ground


def _photographed(random: np.random.Generator, composed: Composed) -> Composed:
    """Other light, a little blur, JPEG."""
    picture = composed.picture
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhancer(picture).enhance(random.uniform(0.7, 1.3))
    if random.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 1.6)))
    return Composed(as_jpeg(picture, int(random.integers(35, 95))), composed.boxes)

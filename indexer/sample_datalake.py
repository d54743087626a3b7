"""Draws a datalake to try hashlake with: garments, and a folder of files as awkward as real ones.

    garments/<shape>/<colour>-<pattern>-<number>.jpg     each product in several poses, on several backgrounds
    awkward/…                                            odd names, odd formats, and four files that aren't images

Pillow draws everything from a seed: the same seed gives the same files.
"""

import math
import random
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from contract.terminal import say

Point = tuple[float, float]

WIDTH, HEIGHT = 360, 480

COLOURS = {
    "red": (200, 30, 40), "navy": (25, 40, 95), "green": (40, 120, 60), "yellow": (230, 190, 40),
    "black": (30, 30, 32), "white": (238, 238, 234), "pink": (235, 150, 180), "brown": (120, 75, 45),
}  # fmt: skip
GROUNDS = ((250, 250, 250), (226, 217, 203), (150, 160, 165), (196, 164, 132), (90, 110, 130))

# Outlines in a square from −1 to 1; x to the right, y down.
SHAPES: dict[str, list[list[Point]]] = {
    "t-shirt": [[(-0.25, -0.8), (0.25, -0.8), (0.9, -0.45), (0.7, -0.1), (0.5, -0.25), (0.5, 0.85),
                 (-0.5, 0.85), (-0.5, -0.25), (-0.7, -0.1), (-0.9, -0.45)]],
    "longsleeve": [[(-0.25, -0.8), (0.25, -0.8), (0.6, -0.65), (0.98, 0.7), (0.75, 0.75), (0.48, -0.1), (0.48, 0.85),
                    (-0.48, 0.85), (-0.48, -0.1), (-0.75, 0.75), (-0.98, 0.7), (-0.6, -0.65)]],
    "pants": [[(-0.42, -0.95), (0.42, -0.95), (0.52, 0.95), (0.14, 0.95), (0.0, -0.35), (-0.14, 0.95), (-0.52, 0.95)]],
    "shorts": [[(-0.55, -0.5), (0.55, -0.5), (0.75, 0.5), (0.12, 0.5), (0.0, -0.05), (-0.12, 0.5), (-0.75, 0.5)]],
    "dress": [[(-0.22, -0.95), (-0.1, -0.75), (0.1, -0.75), (0.22, -0.95), (0.34, -0.9), (0.28, -0.2), (0.75, 0.95),
               (-0.75, 0.95), (-0.28, -0.2), (-0.34, -0.9)]],
    "skirt": [[(-0.35, -0.55), (0.35, -0.55), (0.8, 0.6), (-0.8, 0.6)]],
    "hat": [[(-0.4, -0.35), (-0.25, -0.6), (0.25, -0.6), (0.4, -0.35), (0.45, 0.15), (0.95, 0.3), (0.9, 0.42),
             (-0.9, 0.42), (-0.95, 0.3), (-0.45, 0.15)]],
    "shoes": [[(-0.9, -0.35), (-0.45, -0.4), (-0.35, -0.1), (0.0, 0.0), (0.15, 0.2), (0.12, 0.3), (-0.9, 0.3)],
              [(-0.15, 0.15), (0.3, 0.1), (0.4, 0.4), (0.75, 0.5), (0.9, 0.7), (0.87, 0.8), (-0.15, 0.8)]],
}  # fmt: skip


def draw_garment(shape: str, colour: str, pattern: str, pose: random.Random) -> Image.Image:
    """Returns one photograph of the product, RGB 360 × 480: ``pose`` decides turn, size, place and background."""
    ground = Image.new("RGB", (WIDTH, HEIGHT), pose.choice(GROUNDS))
    shade = Image.linear_gradient("L").resize((WIDTH, HEIGHT)).rotate(pose.choice((0, 90, 180, 270)))
    ground = Image.composite(ground, Image.eval(ground, lambda value: value * 4 // 5), shade)
    mask = Image.new("L", (WIDTH, HEIGHT), 0)
    draw = ImageDraw.Draw(mask)
    turn, scale = math.radians(pose.uniform(-14, 14)), WIDTH * pose.uniform(0.36, 0.47)
    centre = (WIDTH * pose.uniform(0.45, 0.55), HEIGHT * pose.uniform(0.45, 0.55))
    for outline in SHAPES[shape]:
        draw.polygon([_place(point, turn, scale, centre) for point in outline], fill=255)
    cloth = _cloth(COLOURS[colour], pattern).rotate(math.degrees(-turn), Image.Resampling.BILINEAR, center=centre)
    shadow = mask.filter(ImageFilter.GaussianBlur(9)).point(lambda value: value * 2 // 5)
    ground.paste((20, 20, 20), (6, 10), shadow)
    ground.paste(cloth, (0, 0), mask.filter(ImageFilter.GaussianBlur(0.8)))
    return ground


def _place(point: Point, turn: float, scale: float, centre: Point) -> Point:
    x, y = point
    return (
        centre[0] + scale * (x * math.cos(turn) - y * math.sin(turn)),
        centre[1] + scale * (x * math.sin(turn) + y * math.cos(turn)) * 1.15,
    )


def _cloth(colour: tuple[int, int, int], pattern: str) -> Image.Image:
    cloth = Image.new("RGB", (WIDTH, HEIGHT), colour)
    draw = ImageDraw.Draw(cloth)
    bright = sum(colour) > 380
    second = tuple(value // 2 if bright else (value + 2 * 255) // 3 for value in colour)
    if pattern in ("stripes", "checks"):
        for y in range(0, HEIGHT, 36):
            draw.rectangle((0, y, WIDTH, y + 12), fill=second)
    if pattern == "checks":
        for x in range(0, WIDTH, 36):
            draw.rectangle((x, 0, x + 12, HEIGHT), fill=second)
    if pattern == "dots":
        for y in range(0, HEIGHT, 40):
            for x in range(20 * (y // 40 % 2), WIDTH, 40):
                draw.ellipse((x, y, x + 16, y + 16), fill=second)
    return cloth


def write_garments(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` photographs below ``folder``, three of each product."""
    choice = random.Random(seed)
    products = [(s, c, p) for s in SHAPES for c in COLOURS for p in ("plain", "stripes", "checks", "dots")]
    choice.shuffle(products)
    for number in range(count):
        shape, colour, pattern = products[number // 3 % len(products)]
        (folder / shape).mkdir(parents=True, exist_ok=True)
        picture = draw_garment(shape, colour, pattern, random.Random(f"{seed}/{number}"))
        picture.save(folder / shape / f"{colour}-{pattern}-{number:04d}.jpg", quality=88)


def write_awkward(folder: Path, seed: int) -> None:
    """Write one file of every kind that has broken an indexer before; the last four aren't images."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = draw_garment("t-shirt", "red", "stripes", random.Random(seed))
    names = ("name with spaces.jpg", 'O\'Hara "quoted".jpg', "-leading-dash.jpg", "vêtement-été-日本.jpg", "GREY.JPG")
    for index, name in enumerate(names):
        other = draw_garment("dress", list(COLOURS)[index], "dots", random.Random(seed + index))
        (other.convert("L") if name == "GREY.JPG" else other).save(folder / name)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: viewers must turn the picture by 90°
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / "rotated-by-exif.jpg", exif=exif)
    cut_out = picture.convert("RGBA")
    cut_out.putalpha(Image.radial_gradient("L").resize(picture.size).point(lambda value: 255 - value))
    cut_out.save(folder / "alpha.png")
    picture.quantize(64).save(folder / "palette.png", transparency=0)
    deep = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "sixteen-bit.png")
    picture.save(folder / "animated.gif", save_all=True, append_images=[picture.rotate(90)])
    for suffix in ("webp", "avif", "bmp", "tiff"):
        picture.save(folder / f"photo.{suffix}")
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("This is no image.\n", encoding="utf-8")
    whole = (folder / "name with spaces.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")


@click.command(short_help="Draw a datalake of garments to try hashlake with.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--count", default=384, show_default=True, type=click.IntRange(1), help="How many photographs.")
@click.option("--seed", default=0, show_default=True, help="Another seed, other pictures.")
def sample(folder: Path, count: int, seed: int) -> None:
    """Draw photographs of garments into FOLDER, and some awkward files beside them: odd names, odd formats, and four
    files that are no images, to see how indexing reports them."""
    write_garments(folder / "garments", count, seed)
    write_awkward(folder / "awkward", seed)
    say(f"{folder}: {count} photographs of garments, and awkward files beside them")

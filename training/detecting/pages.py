"""Composed pages: columns of writing with figures among them, and what isn't a figure beside them.

paper, margins, columns ─▶ headings, paragraphs, tables, rules, figures with captions ─▶ figures in the margin
                                                        ─▶ scanner's ground, colour chart
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from training.detecting.composed import FIGURE, Composed, no_boxes
from training.detecting.drawings import some_figure
from training.detecting.writing import Hand, paragraph, some_hand

Rgb = tuple[int, int, int]

#: Pixels of a page's longer side.
_LONG = (640, 900)


@dataclass
class _Page:
    """A page being written."""

    random: np.random.Generator
    photographs: "Photographs"
    picture: Image.Image
    paper: Rgb
    ink: Rgb
    hand: Hand
    size: int  # of the writing
    leading: float
    boxes: list[tuple[float, ...]]

    def figure(self, left: int, top: int, width: int, height: int) -> bool:
        """Lays a figure inside the box; False if it came out empty."""
        ink = self.ink if self.random.random() < 0.8 else _colour(self.random, 10, 140)
        colours, mask = some_figure(self.random, (width, height), ink, self.photographs.any(self.random))
        covered = mask.getbbox()
        if covered is None:
            return False
        self.picture.paste(colours, (left, top), mask)
        box = (left + covered[0], top + covered[1], left + covered[2], top + covered[3])
        if self.random.random() < 0.2:  # framed
            gap = int(self.random.integers(1, 6))
            box = (box[0] - gap, box[1] - gap, box[2] + gap, box[3] + gap)
            draw = ImageDraw.Draw(self.picture)
            draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=self.ink, width=max(1, gap // 3))
        self.boxes.append((*box, FIGURE))
        return True


class Photographs:
    """Pictures to make figures of, small ones in memory."""

    def __init__(self, pictures: list[Image.Image]) -> None:
        self._pictures = pictures

    def any(self, random: np.random.Generator) -> Image.Image:
        return self._pictures[random.integers(len(self._pictures))]


def composed_page(random: np.random.Generator, photographs: Photographs) -> Composed:
    """Returns a page with its figures, of which it has none in one of six cases."""
    long = int(random.integers(*_LONG))
    width, height = int(long / random.uniform(1.15, 1.65)), long
    if random.random() < 0.1:
        width, height = height, width
    light = random.integers(205, 256)
    paper = (int(light), int(light - random.integers(0, 14)), int(light - random.integers(0, 60)))
    page = _new(random, photographs, width, height, paper)
    margin = [int(each) for each in random.uniform(0.04, 0.13, 4) * min(width, height)]
    columns = int(random.choice([1, 2, 3], p=[0.5, 0.35, 0.15])) if width > 420 else 1
    gutter = int(random.uniform(0.025, 0.06) * width)
    inner = (width - margin[0] - margin[2] - (columns - 1) * gutter) // columns
    likely = random.choice([0.0, 0.22, 0.45, 0.8], p=[0.16, 0.34, 0.34, 0.16])
    top = margin[1]
    if random.random() < 0.4:  # the running head
        page.hand(ImageDraw.Draw(page.picture), margin[0], max(2, top - 2 * page.size), inner // 2)
    if likely and random.random() < 0.25:  # a figure across all columns
        tall = int(random.uniform(0.15, 0.6) * height)
        page.figure(margin[0], top, width - margin[0] - margin[2], tall)
        top += tall + page.size + _caption(page, margin[0], top + tall, width - margin[0] - margin[2])
    for column in range(columns):
        _fill(page, margin[0] + column * (inner + gutter), top, inner, height - margin[3], likely)
    if likely and random.random() < 0.15:
        _in_margin(page, margin, width, height)
    boxes = np.array(page.boxes, np.float32) if page.boxes else no_boxes()
    if len(boxes):
        boxes[:, :4] = np.clip(boxes[:, :4], 0, np.array([width, height] * 2))
    return _on_ground(random, Composed(page.picture, boxes))


def _new(random: np.random.Generator, photographs: Photographs, width: int, height: int, paper: Rgb) -> _Page:
    ink = _colour(random, 0, 70) if random.random() < 0.85 else (int(random.integers(70, 120)), 40, 30)
    size = int(np.clip(random.normal(11, 3.5), 6, 24))
    picture = Image.new("RGB", (width, height), paper)
    return _Page(
        random, photographs, picture, paper, ink, some_hand(random, size, ink), size, random.uniform(1.15, 1.9), []
    )


def _colour(random: np.random.Generator, low: int, high: int) -> Rgb:
    one, two, three = (int(each) for each in random.integers(low, high, 3))
    return one, two, three


def _fill(page: _Page, left: int, top: int, width: int, bottom: int, likely: float) -> None:
    """Fills a column downwards."""
    random, y = page.random, top
    while bottom - y > 3 * page.size:
        room = bottom - y
        kind = random.random()
        if kind < likely and room > 60:
            y += _figure_in_column(page, left, y, width, room)
        elif kind > 0.96 and room > 80:
            y += _table(page, left, y, width, min(room, int(random.integers(60, 220))))
        elif kind > 0.92:
            large = int(page.size * random.uniform(1.3, 2.4))
            hand = some_hand(random, large, page.ink)
            hand(ImageDraw.Draw(page.picture), left, y, int(width * random.uniform(0.3, 1)))
            y += int(large * 1.7)
        elif kind > 0.9:
            at = (left, y, left + int(width * random.uniform(0.2, 1)), y)
            ImageDraw.Draw(page.picture).line(at, page.ink, int(random.integers(1, 4)))
            y += page.size
        elif kind > 0.88:
            y += int(random.uniform(0.05, 0.4) * room)
        else:
            tall = int(min(room, random.uniform(3, 16) * page.size * page.leading))
            y = paragraph(page.picture, (left, y, left + width, y + tall), page.hand, page.size, page.leading, random)
            y += int(page.size * random.uniform(0.6, 1.6))


def _figure_in_column(page: _Page, left: int, y: int, width: int, room: int) -> int:
    """Lays a figure, with writing beside it if it is narrow, and returns the height that it took."""
    random = page.random
    wide = int(width * (1 if random.random() < 0.35 else random.uniform(0.25, 1)))
    wide = max(36, min(width, wide))
    tall = int(np.clip(wide * random.uniform(0.45, 1.7), 34, min(room - 2, 0.75 * page.picture.height)))
    offset = int(random.choice([0.0, 0.5, 1.0]) * (width - wide))
    gap = int(page.size * random.uniform(0.4, 1.4))
    page.figure(left + offset, y, wide, tall)
    beside = width - wide - 2 * page.size
    if offset in (0, width - wide) and beside > 8 * page.size and random.random() < 0.6:
        start = left + (wide + 2 * page.size if offset == 0 else 0)
        paragraph(page.picture, (start, y, start + beside, y + tall), page.hand, page.size, page.leading, random)
        return tall + gap
    return tall + gap + _caption(page, left + offset, y + tall, wide)


def _caption(page: _Page, left: int, y: int, width: int) -> int:
    """Writes a caption in half of the cases and returns the height that it took."""
    random, small = page.random, max(6, int(page.size * 0.85))
    if random.random() < 0.5:
        return 0
    hand = some_hand(random, small, page.ink)
    gap = int(random.uniform(0.3, 1.0) * small)
    box = (left, y + gap, left + max(width, 60), y + gap + int(random.integers(1, 4)) * 2 * small)
    box = (box[0], box[1], min(box[2], page.picture.width), min(box[3], page.picture.height - small))
    return max(0, paragraph(page.picture, box, hand, small, 1.3, random) - y + small)


def _table(page: _Page, left: int, y: int, width: int, height: int) -> int:
    """A table of short words, which is no figure, and returns the height that it took."""
    random, draw = page.random, ImageDraw.Draw(page.picture)
    rows, columns = max(2, int(height / (page.size * 1.8))), int(random.integers(2, 6))
    step, cell = height / rows, width / columns
    ruled = random.random() < 0.6
    for row in range(rows):
        for column in range(columns):
            length = int(cell * random.uniform(0.2, 0.8))
            page.hand(draw, int(left + column * cell + 4), int(y + row * step + 3), length)
        if ruled:
            draw.line((left, y + row * step, left + width, y + row * step), page.ink)
    if ruled:
        for column in range(columns + 1):
            draw.line((left + column * cell, y, left + column * cell, y + height), page.ink)
    return height + page.size


def _in_margin(page: _Page, margin: list[int], width: int, height: int) -> None:
    """A small figure beside the writing, as diagrams stand in manuscripts."""
    wide = margin[2] - 6
    if wide >= 34:
        tall = int(wide * page.random.uniform(0.8, 1.6))
        page.figure(width - margin[2] + 3, int(page.random.uniform(0.1, 0.75) * (height - tall)), wide, tall)


def _on_ground(random: np.random.Generator, page: Composed) -> Composed:
    """In a third of the cases the page lies on a scanner's ground, sometimes with a colour chart beside it, and, of an
    open book, with a strip of the page opposite."""
    if random.random() > 0.34:
        return page
    width, height = page.picture.size
    left, right, top, bottom = (int(each * min(width, height)) for each in random.uniform(0.0, 0.12, 4))
    chart = random.random() < 0.35
    if chart:
        bottom += 60
    dark = int(random.integers(0, 90)) if random.random() < 0.7 else int(random.integers(180, 245))
    ground = Image.new("RGB", (width + left + right, height + top + bottom), (dark, dark, dark))
    draw = ImageDraw.Draw(ground)
    if random.random() < 0.3:
        draw.rectangle((0, top, left, top + height), fill=page.picture.getpixel((2, height // 2)))
    if chart:
        cells = int(random.integers(6, 20))
        wide = (width + left) / cells
        for cell in range(cells):
            place = (left // 2 + cell * wide, top + height + 14, left // 2 + (cell + 1) * wide, top + height + 46)
            draw.rectangle(place, fill=_colour(random, 0, 255))
    moved = page.boxes + np.array([left, top, left, top, 0], np.float32)
    ground.paste(page.picture, (left, top))
    return Composed(ground, moved)

"""Pictures with boxes for tests: a dark rectangle on light ground."""

from pathlib import Path

import numpy as np
from PIL import Image

Box = tuple[int, int, int, int]  # left, top, width, height


def write_pictures(folder: Path, count: int, seed: int = 0) -> dict[str, Box]:
    """Writes pictures of 120 × 90, and returns by name the box of the rectangle in each."""
    folder.mkdir(parents=True, exist_ok=True)
    random, boxes = np.random.default_rng(seed), {}
    for number in range(count):
        left, top = (int(each) for each in random.integers(5, 40, 2))
        width, height = (int(each) for each in random.integers(25, 45, 2))
        picture = random.integers(200, 240, (90, 120, 3)).astype(np.uint8)
        picture[top : top + height, left : left + width] = random.integers(0, 90, 3)
        name = f"p{number:02d}.jpg"
        Image.fromarray(picture).save(folder / name, quality=95)
        boxes[name] = (left, top, width, height)
    return boxes


def write_annotation_file(folder: Path, boxes: dict[str, Box]) -> Path:
    lines = [f"{number} {name}\n{' '.join(map(str, box))}" for number, (name, box) in enumerate(boxes.items(), 1)]
    path = folder / "manifest.txt"
    path.write_text("\n".join(lines) + "\n")
    return path

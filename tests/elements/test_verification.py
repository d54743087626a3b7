"""Copies of a drawing, cropped and turned, share many points with it, other drawings hardly any; maps by hand."""

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from elements.similarity.local_features import LocalFeatures, local_features
from elements.similarity.verification import inliers, verified
from tests.elements.test_similarity import compare


def drawing(seed: int) -> Image.Image:
    """Returns a page of many shapes."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (320, 400), "white")
    pen = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y, width, height = random.integers((0, 0, 5, 5), (300, 380, 80, 80)).tolist()
        colour = tuple(random.integers(0, 255, 3).tolist())
        (pen.rectangle if random.random() < 0.5 else pen.ellipse)((x, y, x + width, y + height), colour, "black")
    return picture


def copy_of(picture: Image.Image) -> Image.Image:
    return picture.rotate(5).crop((40, 50, 280, 350)).resize((300, 330))


def saved(picture: Image.Image) -> bytes:
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=60)
    return stream.getvalue()


def test_points_are_found_again() -> None:
    one, other = drawing(1), drawing(2)
    first, copy, second = (local_features(saved(each)) for each in (one, copy_of(one), other))
    assert inliers(first, copy) > 40
    assert inliers(first, second) < 12
    again = LocalFeatures.from_bytes(first.as_bytes())
    assert np.array_equal(again.points, first.points) and np.array_equal(again.descriptors, first.descriptors)
    nothing = local_features(saved(Image.new("RGB", (50, 40), "grey")))
    assert inliers(nothing, first) == 0


def test_a_map_by_hand() -> None:
    random = np.random.default_rng(3)
    descriptors = random.standard_normal((20, 64))
    descriptors = (descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)).astype(np.float16)
    points = random.uniform(0, 400, (20, 2)).astype(np.float32)
    moved = points @ np.array([[0.9, 0.2], [-0.2, 1.1]], np.float32) + 30
    moved[15:] = random.uniform(1000, 2000, (5, 2))  # five that don't agree
    one, other = LocalFeatures(points, descriptors), LocalFeatures(moved.astype(np.float32), descriptors)
    assert inliers(one, other) == 15
    line = LocalFeatures(points * np.array([1, 0], np.float32), descriptors)
    assert inliers(line, other) == 0
    pairs = np.array([0, 0]), np.array([1, 0]), np.array([0.9, 0.1])
    (_, columns, scores), counts = verified(pairs, [one], [other, line])
    assert (columns.tolist(), counts.tolist(), scores.tolist()) == ([0, 1], [15, 0], [0.1, 0.9])


def test_the_command_orders_by_points(grid_path: Path, tmp_path: Path) -> None:
    for name, pictures in {"a": [drawing(1)], "b": [drawing(2), copy_of(drawing(1))]}.items():
        (tmp_path / name).mkdir()
        for number, picture in enumerate(pictures):
            (tmp_path / name / f"{number}.jpg").write_bytes(saved(picture))
    answer = compare(tmp_path / "out", grid_path, tmp_path / "a", tmp_path / "b", "--verify")
    assert answer.status == 0, answer.err
    scores = [np.load(path) for path in (tmp_path / "out" / "scores").glob("*.npy")]
    (between,) = (each for each in scores if len(each) == 2)
    assert between["second"][0] == "b_0002.jpg" and between["inliers"][0] > 40 > between["inliers"][1]

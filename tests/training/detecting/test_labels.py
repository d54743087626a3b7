import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.detecting.boxed import write_annotation_file, write_pictures
from training.detecting.labels import read_labels
from training.detecting.views import view
from training.errors import TrainingError


def pixels(folder: Path) -> tuple[tuple[str, ...], dict[str, list[list[float]]]]:
    """The labels, and by picture the boxes in its pixels."""
    found = read_labels(folder)
    return found.labels, {each.path.name: view(each, 0, 0)[1].round(2).tolist() for each in found.pictures}


def coco(boxes: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(boxes)],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 7, "bbox": list(box)}
            for number, box in enumerate(boxes.values())
        ],
        "categories": [{"id": 3, "name": "table"}, {"id": 7, "name": "figure"}],
    }


def test_all_formats_say_the_same(tmp_path: Path) -> None:
    for name in ("coco", "listed", "yolo"):
        boxes = write_pictures(tmp_path / name / "images", 3)
    (tmp_path / "coco/labels.json").write_text(json.dumps(coco(boxes)))
    write_annotation_file(tmp_path / "listed", boxes)
    (tmp_path / "yolo/data.yaml").write_text("names: {0: table, 1: figure}\n")
    (tmp_path / "yolo/labels").mkdir()
    for name, (x, y, width, height) in boxes.items():
        line = f"1 {(x + width / 2) / 120} {(y + height / 2) / 90} {width / 120} {height / 90}"
        (tmp_path / "yolo/labels" / name).with_suffix(".txt").write_text(line)
    wanted = {name: [[x, y, x + width, y + height]] for name, (x, y, width, height) in boxes.items()}
    for name, number in (("coco", 1), ("listed", 0), ("yolo", 1)):
        labels, found = pixels(tmp_path / name)
        assert labels[number] == "figure"
        assert found == {each: [pytest.approx([*box[0], number], abs=0.02)] for each, box in wanted.items()}


def test_pictures_without_boxes_are_examples_too(tmp_path: Path) -> None:
    boxes = write_pictures(tmp_path, 3)
    path = write_annotation_file(tmp_path, boxes)
    path.write_text(
        "\n".join(line for line in path.read_text().splitlines() if line != f"{' '.join(map(str, boxes['p01.jpg']))}")
    )
    assert [len(each) for each in pixels(tmp_path)[1].values()] == [1, 0, 1]


def test_views_keep_what_a_cut_leaves(tmp_path: Path) -> None:
    write_annotation_file(tmp_path, write_pictures(tmp_path, 1))
    (labelled,) = read_labels(tmp_path).pictures
    for number in range(1, 30):
        picture, boxes = view(labelled, number, 3)
        for left, top, right, bottom, _ in boxes.round().astype(int).tolist():
            inside = picture[top + 2 : bottom - 2, left + 2 : right - 2]
            assert inside.max() < 150
            assert picture.max() > 150
    again = view(labelled, 4, 3)
    assert all(np.array_equal(one, other) for one, other in zip(view(labelled, 4, 3), again, strict=True))


class TestBadLabels:
    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("1 gone.jpg", r"manifest.txt: line 1 names the picture gone.jpg, which is not in"),
            ("1 ../p00.jpg", r"names the picture ../p00.jpg, which is not in"),
            ("1 p00.jpg\n1 2 3", r"manifest.txt: line 2 is no 4 numbers: 1 2 3"),
            ("1 p00.jpg\n1 2 nan 4", r"line 2 is no 4 numbers"),
            ("1 p00.jpg\n1 2 0 4", r"line 2 has a box without width or height"),
            ("1 p00.jpg\n", r"has no boxes"),
        ],
    )
    def test_annotation_files(self, tmp_path: Path, line: str, why: str) -> None:
        write_pictures(tmp_path / "pages", 1)
        (tmp_path / "pages/manifest.txt").write_text(line)
        with pytest.raises(TrainingError, match=why):
            read_labels(tmp_path / "pages")

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("2 .5 .5 .1 .1", r"p00.txt: line 1 has the class 2, and there are 2, from 0 on"),
            ("0 .5 .5 .1", r"p00.txt: line 1 is no 5 numbers"),
            ("0 60 45 20 20", r"line 1 has numbers over 1, and YOLO's are shares"),
        ],
    )
    def test_yolo(self, tmp_path: Path, line: str, why: str) -> None:
        write_pictures(tmp_path, 1)
        (tmp_path / "classes.txt").write_text("figure\ntable\n")
        (tmp_path / "p00.txt").write_text(line)
        with pytest.raises(TrainingError, match=why):
            read_labels(tmp_path)

    @pytest.mark.parametrize("names", ["{0: a, 2: b}", "{0: a, x: b}", "[]", "3", "[a"])
    def test_yolos_names(self, tmp_path: Path, names: str) -> None:
        (tmp_path / "data.yaml").write_text(f"names: {names}")
        with pytest.raises(TrainingError, match=r"data.yaml (needs names|cannot be read)"):
            read_labels(tmp_path)

    @pytest.mark.parametrize("names", ["[figure, figure]", "[figure, '']", "{0: figure, 1: " + "x" * 101 + "}"])
    def test_what_no_detector_can_have_is_said_before_training(self, tmp_path: Path, names: str) -> None:
        write_pictures(tmp_path, 1)
        (tmp_path / "data.yaml").write_text(f"names: {names}")
        (tmp_path / "p00.txt").write_text("0 .5 .5 .1 .1")
        with pytest.raises(TrainingError, match="has labels that no detector can have"):
            read_labels(tmp_path)

    def test_coco(self, tmp_path: Path) -> None:
        boxes = write_pictures(tmp_path, 2)
        for change, why in (
            ({"image_id": 9}, r"annotations.0 is of the image 9, which images doesn't list"),
            ({"category_id": 1}, r"annotations.0 has the category 1, which categories doesn't list"),
            ({"bbox": [1, 2, 3]}, r"labels.json is not COCO's: annotations.0.bbox: List should have at least 4"),
            ({"bbox": [1, 2, -3, 4]}, r"annotations.0 has a box without width or height"),
        ):
            labels = coco(boxes)
            labels["annotations"][0] |= change
            (tmp_path / "labels.json").write_text(json.dumps(labels))
            with pytest.raises(TrainingError, match=why):
                read_labels(tmp_path)

    def test_no_labels_and_labels_twice(self, tmp_path: Path) -> None:
        boxes = write_pictures(tmp_path, 1)
        with pytest.raises(TrainingError, match=r"has neither COCO's .json, nor annotation files, nor YOLO's"):
            read_labels(tmp_path)
        write_annotation_file(tmp_path, boxes)
        (tmp_path / "labels.json").write_text(json.dumps(coco(boxes)))
        with pytest.raises(TrainingError, match=r"has labels twice: labels.json, manifest.txt"):
            read_labels(tmp_path)

    def test_a_box_outside_of_its_picture(self, tmp_path: Path) -> None:
        write_pictures(tmp_path, 1)
        write_annotation_file(tmp_path, {"p00.jpg": (500, 500, 10, 10)})
        with pytest.raises(TrainingError, match=r"p00.jpg is 120×90, and one of its boxes lies outside"):
            view(read_labels(tmp_path).pictures[0], 0, 0)

    def test_a_picture_that_cannot_be_read(self, tmp_path: Path) -> None:
        write_annotation_file(tmp_path, write_pictures(tmp_path, 1))
        (tmp_path / "p00.jpg").write_bytes(b"no picture")
        with pytest.raises(TrainingError, match=r"p00.jpg: not an image"):
            view(read_labels(tmp_path).pictures[0], 0, 0)

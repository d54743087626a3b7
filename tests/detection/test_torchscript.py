from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contract.boxes import Box
from detection.errors import DetectorError
from detection.registry import open_detector
from detection.torchscript import TorchScriptDetector
from tests.detection.scripted import Dark, Says, SaysTwo, write

GREY = np.full((200, 400, 3), 200, np.uint8)

Rows = list[list[float]]
Detect = Callable[..., list[Box]]


@pytest.fixture
def detect(tmp_path: Path) -> Detect:
    def detected(answer: Rows | torch.Tensor, picture: np.ndarray = GREY, **card: Any) -> list[Box]:
        tensor = answer if isinstance(answer, torch.Tensor) else torch.tensor([answer])
        (boxes,) = TorchScriptDetector.load(write(tmp_path / "says.pt", Says(tensor), **card)).detect([picture])
        return boxes

    return detected


class Convolved(torch.nn.Module):
    """A small network of the layers that PyTorch's compiler joins, whose answers are no boxes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.BatchNorm2d(8), torch.nn.ReLU6(), torch.nn.Conv2d(8, 6, 1)]
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(x.flip((2, 3))).flatten(2).transpose(1, 2)
        return found


def test_the_compiled_network_answers_what_the_network_does(tmp_path: Path) -> None:
    network = Convolved().eval()
    detector = TorchScriptDetector.load(write(tmp_path / "convolved.pt", network))
    assert detector._compiled is not None
    for seed in range(3):
        picture = np.random.default_rng(seed).integers(0, 256, (100, 100, 3)).astype(np.uint8)
        rows = torch.from_numpy(picture).permute(2, 0, 1)[None].float().contiguous() / 255
        with torch.inference_mode():
            wanted = network(rows)
        answer = detector.answer(picture)
        assert isinstance(answer, torch.Tensor)
        assert torch.allclose(answer, wanted, atol=1e-4)


class TestForms:
    """A 400 × 200 picture is letterboxed into 100 × 100 at a quarter, 25 pixels below the top."""

    def test_boxes(self, detect: Detect) -> None:
        rows = [[10.0, 30, 30, 50, 0.5, 1], [50, 30, 90, 60, 0.9, 0], [0, 0, 9, 9, 0.1, 0]]
        wanted = [Box(200, 20, 160, 120, pytest.approx(0.9), "figure"), Box(40, 20, 80, 80, 0.5, "object")]
        assert detect(rows) == wanted
        assert detect(torch.tensor(rows)) == wanted

    def test_yolov5(self, detect: Detect) -> None:
        rows = [[20.0, 40, 20, 20, 0.8, 0.1, 0.5], [20, 40, 20, 20, 0.1, 0.9, 0.9]]
        assert detect(rows, form="yolov5") == [Box(40, 20, 80, 80, pytest.approx(0.4), "object")]

    def test_yolov8(self, detect: Detect) -> None:
        columns = torch.tensor([[20.0, 40, 20, 20, 0.1, 0.6], [5, 5, 1, 1, 0, 0.0]]).T[None]
        assert detect(columns, form="yolov8") == [Box(40, 20, 80, 80, pytest.approx(0.6), "object")]

    def test_what_else_a_tuple_has_is_left(self, tmp_path: Path) -> None:
        path = write(tmp_path / "two.pt", SaysTwo(torch.tensor([[[10.0, 30, 30, 50, 0.5, 1]]])))
        assert len(TorchScriptDetector.load(path).detect([GREY])[0]) == 1

    def test_stretched(self, detect: Detect) -> None:
        assert detect([[10.0, 30, 30, 50, 0.5, 1]], fit="stretch") == [Box(40, 60, 80, 40, 0.5, "object")]


class TestNonsense:
    def test_boxes_are_cut_to_the_picture(self, detect: Detect) -> None:
        rows = [[-1e6, -1e6, 1e6, 1e6, 0.9, 0], [-50, -50, -10, -10, 0.8, 0], [90, 60, 20, 20, 0.7, 1]]
        assert detect(rows) == [Box(0, 0, 400, 200, pytest.approx(0.9), "figure")]  # none outside, none turned over

    def test_thousands_of_boxes(self, detect: Detect) -> None:
        random = np.random.default_rng(0)
        corners = random.uniform(0, 98, (20_000, 2))
        rows = np.hstack((corners, corners + 0.8, random.uniform(0.3, 1, (20_000, 1)), np.zeros((20_000, 1))))
        boxes = detect(torch.from_numpy(rows.astype(np.float32))[None], np.zeros((4000, 4000, 3), np.uint8))
        assert 900 < len(boxes) <= 1000
        assert [box.score for box in boxes] == sorted((box.score for box in boxes), reverse=True)

    @pytest.mark.parametrize(
        ("answer", "form", "why"),
        [
            (torch.full((1, 3, 6), torch.nan), "boxes", "numbers that are infinite or not numbers"),
            (torch.full((1, 3, 6), torch.inf), "boxes", "numbers that are infinite or not numbers"),
            (torch.full((1, 3, 6), 5.0), "boxes", "answers a score of 5, and scores are from 0 to 1"),
            (torch.tensor([[[0.0, 0, 9, 9, 0.5, 7]]]), "boxes", "answers the label 7, and it has 2, from 0 on"),
            (torch.zeros(1, 3, 5), "boxes", r"answers a tensor \(1, 3, 5\) for one picture.*\(1, boxes, 6\)"),
            (torch.zeros(1, 3, 85), "yolov5", r"with 2 labels the form yolov5 is \(1, boxes, 7\)"),
            (torch.zeros(1, 3, 85), "yolov8", r"with 2 labels the form yolov8 is \(1, 6, boxes\)"),
            (torch.zeros(2, 3, 6), "boxes", r"answers a tensor \(2, 3, 6\)"),
        ],
    )
    def test_no_boxes(self, detect: Detect, answer: torch.Tensor, form: str, why: str) -> None:
        with pytest.raises(DetectorError, match=why):
            detect(answer, form=form)

    def test_a_network_that_cannot_take_the_picture(self, tmp_path: Path) -> None:
        path = write(tmp_path / "wrong.pt", torch.nn.Linear(7, 6))
        with pytest.raises(DetectorError, match="wrong cannot take a picture of 100×100: "):
            TorchScriptDetector.load(path).detect([GREY])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5000), (1200, 900)])
def test_pictures_of_any_size(tmp_path: Path, height: int, width: int) -> None:
    detector = open_detector(str(write(tmp_path / "dark.pt", Dark(), fit="stretch")))
    picture = np.full((height, width, 3), 255, np.uint8)
    picture[height // 4 : height - height // 2, width // 3 : width - width // 3] = 0
    light, (box,) = detector.detect([np.full((5, 5, 3), 255, np.uint8), picture])
    assert light == []
    assert 0 <= box.x < box.x + box.width <= width
    assert 0 <= box.y < box.y + box.height <= height


def test_what_is_no_picture(tmp_path: Path) -> None:
    detector = open_detector(str(write(tmp_path / "dark.pt", Dark())))
    for picture in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(DetectorError, match=r"a picture must be uint8 \(height, width, 3\)"):
            detector.detect([picture])

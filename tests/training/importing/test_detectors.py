from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch import nn

from detection.registry import open_detector
from detection.torchscript import TorchScriptDetector
from hashlake.main import cli
from tests.detection.scripted import Dark, Says


def run(tmp_path: Path, module: nn.Module, *arguments: str, labels: tuple[str, ...] = ("figure", "object")) -> Result:
    torch.jit.save(torch.jit.script(module.eval()), str(tmp_path / "net.pt"))
    named = [word for label in labels for word in ("--label", label)]
    return CliRunner().invoke(
        cli,
        ["models", "import", "--detector", str(tmp_path / "net.pt"), "--image_size", "100",
         "--out", str(tmp_path / "made.pt"), *named, *arguments],
    )  # fmt: skip


class Cells(nn.Module):
    """Answers as YOLO's ``version`` does: a box for each of 8 × 8 cells, the darkest the best."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dark = 1 - nn.functional.adaptive_avg_pool2d(x, 8).mean(1).flatten()
        places = torch.arange(64) % 8 * 12.5 + 6.25
        rows = torch.arange(64) // 8 * 12.5 + 6.25
        sides = torch.full((64,), 12.5)
        cells = torch.stack((places, rows, sides, sides), 1)
        shares = torch.stack((dark * 0.9, dark * 0.1), 1)
        if self.version == 5:
            return torch.cat((cells, torch.ones(64, 1), shares), 1)[None]
        return torch.cat((cells, shares), 1).T[None]


@pytest.mark.parametrize(("module", "form"), [(Dark(), "boxes"), (Cells(5), "yolov5"), (Cells(8), "yolov8")])
def test_a_detector_is_imported(tmp_path: Path, module: nn.Module, form: str) -> None:
    made = run(tmp_path, module, "--threshold", "0.5")
    assert made.exit_code == 0, made.output
    assert f"a detector of the form {form}, of figure, object" in made.output
    detector = open_detector(str(tmp_path / "made.pt"))
    assert isinstance(detector, TorchScriptDetector)
    assert (detector.name, detector.card.form, detector.card.threshold) == ("made", form, 0.5)
    picture = np.full((100, 200, 3), 255, np.uint8)
    picture[40:70, 80:130] = 0
    (boxes,) = detector.detect([picture])
    assert boxes[0].label == "figure"
    assert 70 <= boxes[0].x <= boxes[0].x + boxes[0].width <= 140


@pytest.mark.parametrize(
    ("answer", "arguments", "why"),
    [
        (torch.zeros(1, 50, 85), (), r"net answers a tensor \(1, 50, 85\) for one picture; with 2 labels"),
        (torch.full((1, 9, 6), torch.nan), (), "net answers numbers that are infinite or not numbers"),
        (torch.tensor([[[0.1, 0.1, 0.5, 0.5, 0.9, 0]]]), (), "boxes of at most 0.50: shares of the picture"),
        (torch.tensor([[[50.0, 50, 10, 10, 0.9, 0]]]), (), "whose right or lower side comes first; the form is boxes"),
        (torch.tensor([[[9e3, 9e3, 9.9e3, 9.9e3, 0.9, 0]]]), (), "boxes far outside of its 100×100 input"),
        (torch.tensor([[[10.0, 10, 50, 50, 3.5, 0]]]), (), "answers a score of 3.5, and scores are from 0 to 1"),
        (torch.tensor([[[10.0, 10, 50, 50, 0.5, 2]]]), (), "answers the label 2, and it has 2, from 0 on"),
        (torch.zeros(1, 9, 7), ("--form", "yolov8"), r"the form yolov8 is \(1, 6, boxes\)"),
        (torch.zeros(9), (), "answers a tensor"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_answers(tmp_path: Path, answer: torch.Tensor, arguments: tuple[str, ...], why: str) -> None:
    found = run(tmp_path, Says(answer), *arguments)
    with pytest.raises(Exception, match=why):
        raise found.exception or AssertionError(found.output)
    assert not (tmp_path / "made.pt").exists()


def test_an_answer_of_two_forms(tmp_path: Path) -> None:
    found = run(tmp_path, Says(torch.zeros(1, 9, 6)), labels=("figure",))
    assert "the answers of net can be boxes or yolov5: give --form" in str(found.exception)
    assert run(tmp_path, Says(torch.zeros(1, 9, 6)), "--form", "yolov5", labels=("figure",)).exit_code == 0


def test_a_network_that_takes_no_pictures(tmp_path: Path) -> None:
    assert "net cannot take a picture of 100×100" in str(run(tmp_path, nn.Linear(7, 6)).exception)


def test_what_goes_with_a_detector(tmp_path: Path) -> None:
    assert "--detector needs --label and --image_size" in run(tmp_path, Dark(), labels=()).output
    assert "give --architecture and --weights, or --detector" in CliRunner().invoke(cli, ["models", "import"]).output

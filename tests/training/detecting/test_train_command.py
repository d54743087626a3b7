"""A tiny detector, trained for a few steps: it goes on where it was killed, and finds the rectangles."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from detection.registry import open_detector
from detection.torchscript import TorchScriptDetector
from hashlake.main import cli
from tests.training.detecting.boxed import Box, write_annotation_file, write_pictures
from training.detecting import commands, trainer
from training.detecting.network import Neck

SMALL = ("--image_size", "64", "--views", "1")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Box]]:
    folder = tmp_path_factory.mktemp("pages")
    boxes = write_pictures(folder, 40)
    write_annotation_file(folder, boxes)
    return folder, boxes


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["train-detector", *arguments])


def test_trains_resumes_and_finds(
    pages: tuple[Path, dict[str, Box]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, boxes = pages
    monkeypatch.setattr(trainer, "_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(commands, "compiled", lambda eye, size: eye.eval())  # for so few pictures not worth it
    whole = run(str(folder), "--out", str(tmp_path / "whole.pt"), "--epochs", "14", *SMALL)
    assert whole.exit_code == 0, whole.output
    assert "whole.pt: recall " in whole.output

    detector = open_detector(str(tmp_path / "whole.pt"))
    assert isinstance(detector, TorchScriptDetector)
    assert (detector.labels, detector.card.training["pictures"]) == (("figure",), 36)
    names = sorted(boxes)[:8]
    found = detector.detect([np.asarray(Image.open(folder / name)) for name in names])
    for (box, *_), (left, top, width, height) in zip(found, map(boxes.__getitem__, names), strict=True):
        assert max(abs(box.x - left), abs(box.y - top), abs(box.width - width), abs(box.height - height)) < 15

    begun = Neck(1)
    commands._begin(begun, tmp_path / "whole.pt")
    assert begun.score.bias.item() != Neck(1).score.bias.item()
    commands._begin(Neck(3), tmp_path / "whole.pt")  # of other labels

    epoch, killed = trainer.Trainer._epoch, RuntimeError("killed")

    def dies(self: trainer.Trainer, number: int) -> float:
        if number == 9:
            raise killed
        return epoch(self, number)

    monkeypatch.setattr(commands, "write_detector", lambda *_: None)  # takes seconds
    monkeypatch.setattr(trainer.Trainer, "_epoch", dies)
    assert run(str(folder), "--out", str(tmp_path / "parts.pt"), "--epochs", "14", *SMALL).exception is killed
    monkeypatch.setattr(trainer.Trainer, "_epoch", epoch)
    resumed = run(str(folder), "--out", str(tmp_path / "parts.pt"), "--epochs", "14", *SMALL)
    assert "epoch 9/14" not in resumed.output
    assert "epoch 10/14" in resumed.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.html", "whole.html", "whole.pt"]
    assert (tmp_path / "parts.html").read_text() == (tmp_path / "whole.html").read_text().replace("whole", "parts")


#: Every epoch is saved: a save may be due long after so short a training.
_EAGER = """
import sys
from training.detecting import commands, trainer
trainer._SAVE_SECONDS = 0.0
commands.compiled = lambda eye, size: eye.eval()
commands.train_detector(sys.argv[1:])
"""


def test_killed_it_goes_on_to_the_same_curves(
    pages: tuple[Path, dict[str, Box]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (str(pages[0]), "--epochs", "8", *SMALL)
    killed = [sys.executable, "-c", _EAGER, *arguments, "--out", str(tmp_path / "parts.pt")]
    with subprocess.Popen(killed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = next((line for line in process.stdout if "epoch 3/8" in line), "")
        process.kill()
    assert process.returncode == -signal.SIGKILL and said
    assert (tmp_path / ".parts.pt.checkpoint").exists() and not (tmp_path / "parts.pt").exists()
    monkeypatch.setattr(commands, "write_detector", lambda *_: None)  # takes seconds
    monkeypatch.setattr(commands, "compiled", lambda eye, size: eye.eval())
    resumed = run(*arguments, "--out", str(tmp_path / "parts.pt"))
    assert resumed.exit_code == 0 and "epoch 1/8" not in resumed.output and "epoch 8/8" in resumed.output
    assert run(*arguments, "--out", str(tmp_path / "whole.pt")).exit_code == 0
    assert (tmp_path / "parts.html").read_text() == (tmp_path / "whole.html").read_text().replace("whole", "parts")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.html", "whole.html"]


def test_what_it_refuses(pages: tuple[Path, dict[str, Box]], tmp_path: Path) -> None:
    folder, out = str(pages[0]), str(tmp_path / "out.pt")
    assert "100 is no multiple of 32" in run(folder, "--out", out, "--image_size", "100").output
    assert "the folder" in run(folder, "--out", str(tmp_path / "none/out.pt")).output
    few = tmp_path / "few"
    write_annotation_file(few, write_pictures(few, 1))
    assert "has 1 pictures: too few to hold a tenth out" in str(run(str(few), "--out", out).exception)
    (tmp_path / "text.pt").write_text("no model")
    begun = run(folder, "--out", out, "--begin", str(tmp_path / "text.pt"), *SMALL)
    assert "text.pt is not a TorchScript file" in str(begun.exception)

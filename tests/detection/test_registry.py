import sys
from pathlib import Path

import pytest
import torch

from detection.errors import DetectorError
from detection.registry import open_detector, whole_name
from elements.detectors import usable
from tests.detection.scripted import Dark, write


def test_a_file_by_its_path_and_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "dark.v1.pt", Dark(), name="Dark things")
    monkeypatch.setenv("HASHLAKE_MODELS", str(tmp_path))
    for name in (str(path), "dark.v1.pt", "dark.v1"):
        detector = open_detector(name)
        assert (detector.name, detector.stem, detector.labels) == ("Dark things", "dark.v1", ("figure", "object"))


@pytest.mark.parametrize("name", ["", "nothing", "../dark", "a/b.pt"])
def test_an_unknown_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "dark.pt", Dark())
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("HASHLAKE_MODELS", str(tmp_path / "models"))
    with pytest.raises(DetectorError, match=r"there is no detector .*: it is no file, none in .*, and none of layout"):
        open_detector(name)


def test_files_without_a_card(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no model")
    with pytest.raises(DetectorError, match=r"text\.pt is not a TorchScript file"):
        open_detector(str(tmp_path / "text.pt"))
    torch.jit.save(torch.jit.script(Dark()), str(tmp_path / "bare.pt"))
    with pytest.raises(DetectorError, match=r"bare\.pt has no detector's card: hashlake models import --detector"):
        open_detector(str(tmp_path / "bare.pt"))


def test_a_card_that_cannot_be_used(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Dark()), str(tmp_path / "odd.pt"), _extra_files={"detector.json": '{"name": "a"}'})
    with pytest.raises(DetectorError, match=r"odd\.pt has a card that cannot be used: labels: Field required"):
        open_detector(str(tmp_path / "odd.pt"))


def test_the_layout_detector_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "detection.layout", raising=False)
    with pytest.raises(DetectorError, match=r"the detector layout needs onnxruntime: pip install 'hashlake\[layout\]'"):
        open_detector("layout")


def test_a_package_whose_detector_cannot_be_loaded_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "odd-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[hashlake.detectors]\nodd = detection.card:Nothing\n")
    write(tmp_path / "dark.pt", Dark())
    monkeypatch.setenv("HASHLAKE_MODELS", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DetectorError, match="the detector odd cannot be loaded: AttributeError"):
        open_detector("odd")
    assert "dark.pt" in {each["name"] for each in usable()}


def test_a_whole_name_means_the_same_in_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchscripts_models").mkdir()
    file = tmp_path / "torchscripts_models" / "mine.pt"
    file.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HASHLAKE_MODELS", raising=False)
    assert [whole_name(name) for name in ("mine", "mine.pt", "layout", "gone")] == [str(file)] * 2 + ["layout", "gone"]

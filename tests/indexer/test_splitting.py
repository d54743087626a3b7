"""A detector is known by its name and file, and found again by its name elsewhere."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from indexer.splitting import Finder, splitters_for
from sources.errors import Unreadable
from sources.pdf import PdfPages
from sources.regions import Regions
from tests.detection.scripted import Dark, write
from tests.squares import NAME, install, page


@pytest.fixture
def squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(str(install(tmp_path / "site")))
    return NAME


def test_a_detector_comes_after_what_makes_pictures(squares: str) -> None:
    pages, regions = splitters_for(["pdf"], squares, regions_alone=True)
    assert isinstance(pages, PdfPages) and isinstance(regions, Regions)
    assert str(regions) == "regions:squares squares red,green,blue,alone"
    assert splitters_for(["pdf"], None) == [pages]


def test_it_travels_by_its_name(squares: str) -> None:
    regions = pickle.loads(pickle.dumps(Regions(Finder(squares))))
    assert [box.label for box in regions.finds(np.asarray(page({"red": (1, 2, 3)})))] == ["red"]
    with pytest.raises(Unreadable, match="squares answers no boxes"):
        regions.finds(np.full((9, 9, 3), (1, 2, 3), np.uint8))


def test_another_file_is_another_detector(tmp_path: Path) -> None:
    path, names = tmp_path / "bright.pt", []
    for threshold in (0.25, 0.5):
        write(path, Dark(), threshold=threshold)
        names.append(str(Finder(str(path))))
        assert names[-1] == str(Finder(str(path)))
    assert names[0] != names[1]

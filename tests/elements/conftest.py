from pathlib import Path

import pytest

from tests.elements import squares


@pytest.fixture(autouse=True)
def _detectors(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    squares.installed(tmp_path_factory.mktemp("packages"), monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pages, and a file that is none between them."""
    pages = tmp_path / "book"
    pages.mkdir()
    (pages / "a.png").write_bytes(squares.page(red=(10, 20, 30, 40), blue=(50, 70, 20, 10)))
    (pages / "b.png").write_bytes(b"no picture")
    (pages / "c.png").write_bytes(squares.page())
    return pages

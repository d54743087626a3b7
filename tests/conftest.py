"""What every room's tests use: the fake model on disk, loaded once."""

from pathlib import Path

import pytest

from hashing.model import HashModel
from tests.fakes import write_grid_model


@pytest.fixture(scope="session")
def grid_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grid_model(tmp_path_factory.mktemp("models") / "grid.pt")


@pytest.fixture(scope="session")
def grid(grid_path: Path) -> HashModel:
    return HashModel.load(grid_path)

"""What every room's tests use: the fake models on disk, loaded once."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from embedding.torchscript import TorchScriptEmbedder
from tests.fakes import CALIBRATION, write_colour_model, write_grid_model

pytest_plugins = [
    "tests.milvus", "tests.order", "tests.postgres", "tests.reliability.campaign", "tests.sources.s3_server",
    "tests.temporary",
]  # fmt: skip

# No test fails for being slow on a busy machine, and the same commit always meets the same examples.
settings.register_profile("here", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")


@pytest.fixture(scope="session")
def grid_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grid_model(tmp_path_factory.mktemp("models") / "grid.pt")


@pytest.fixture(scope="session")
def grid(grid_path: Path) -> TorchScriptEmbedder:
    return TorchScriptEmbedder.load(grid_path)


@pytest.fixture(scope="session")
def colours_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_model(tmp_path_factory.mktemp("models") / "colours.pt")


@pytest.fixture(scope="session")
def colours(colours_path: Path) -> TorchScriptEmbedder:
    """Gives detail codes, and knows classes by name."""
    return TorchScriptEmbedder.load(colours_path)


@pytest.fixture(scope="session")
def calibrated_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_model(tmp_path_factory.mktemp("models") / "calibrated.pt", CALIBRATION)


@pytest.fixture(scope="session")
def calibrated(calibrated_path: Path) -> TorchScriptEmbedder:
    """Like ``colours``, and knows what its distances mean."""
    return TorchScriptEmbedder.load(calibrated_path)

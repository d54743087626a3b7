"""A folder to index in: a datalake of pictures with known codes, and a store that isn't there yet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedding.torchscript import TorchScriptEmbedder
from indexer.builder import Report, Request, build
from searcher.scan.tables import Mode
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fakes import write_datalake, write_grid_model


@dataclass(frozen=True)
class Bench:
    """``folder`` holds the pictures, the listing and the store; ``told`` is what the builder said on the way."""

    folder: Path
    model: TorchScriptEmbedder
    told: list[str]

    @property
    def store(self) -> IndexStore:
        return IndexStore(self.folder / "index_store")

    def version(self, name: str) -> Path:
        return self.store.folder / name

    def write(self, codes: Mapping[str, int | tuple[int, int]]) -> list[str]:
        return write_datalake(self.folder, codes)

    def list(self, lines: Iterable[str | bytes]) -> Listing:
        path = self.folder / "database_info.txt"
        path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
        return Listing(path)

    def index(
        self,
        name: str,
        lines: Iterable[str | bytes],
        *,
        base: str | None = None,
        checksum: bool = False,
        model: TorchScriptEmbedder | None = None,
        mode: Mode = "default",
    ) -> Report:
        request = Request(self.store, name, FolderSource(self.folder, self.list(lines)), base, checksum, mode)
        return build(request, model or self.model, self.told.append)


@pytest.fixture
def bench(tmp_path: Path, grid: TorchScriptEmbedder) -> Bench:
    return Bench(tmp_path, grid, [])


@pytest.fixture
def detailed(tmp_path: Path, colours: TorchScriptEmbedder) -> Bench:
    """A bench whose model gives detail codes."""
    return Bench(tmp_path, colours, [])


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> TorchScriptEmbedder:
    """Gives the same codes, and is another file with another name."""
    return TorchScriptEmbedder.load(write_grid_model(tmp_path_factory.mktemp("models") / "other.pt", name="other"))

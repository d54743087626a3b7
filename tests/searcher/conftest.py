"""An empty index store, in a folder whose name is as awkward as users' are."""

from pathlib import Path

import pytest

from searcher.versions.store import IndexStore


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "Größe 100% 'a?b#c'" / "index_store")

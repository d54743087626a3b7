"""The follower serves the current version, swaps when CURRENT is replaced, and refuses what it cannot serve."""

import shutil
from pathlib import Path

import pytest

from embedding.torchscript import TorchScriptEmbedder
from searcher.errors import VersionDamaged, VersionMissing
from searcher.live.follower import VersionFollower
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion
from tests.fakes import write_grid_model
from tests.versions import publish


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index_store")


@pytest.fixture
def follower(store: IndexStore, grid: TorchScriptEmbedder) -> VersionFollower:
    """A worker's, of the datalake."""
    return VersionFollower(store, warm_up=True, model=grid.identity)


def served(follower: VersionFollower) -> str | None:
    try:
        return follower.version().name
    except (VersionMissing, VersionDamaged):
        return None


def test_it_waits_for_the_first_version_and_then_follows(
    follower: VersionFollower, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    assert served(follower) is None
    publish(store, "1.0.0", grid, {"a.png": 1}, tmp_path)
    assert served(follower) == "1.0.0"
    publish(store, "1.1.0", grid, {"a.png": 1, "b.png": 2}, tmp_path)
    assert served(follower) == "1.1.0"
    store.promote("1.0.0")
    assert served(follower) == "1.0.0"


def test_the_same_version_stays_open(
    follower: VersionFollower, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.0.0", grid, {"a.png": 1}, tmp_path)
    assert follower.version() is follower.version()


def test_a_version_of_another_model_is_refused_once_and_the_one_before_stays(
    follower: VersionFollower,
    store: IndexStore,
    grid: TorchScriptEmbedder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish(store, "1.0.0", grid, {"a.png": 1}, tmp_path)
    assert served(follower) == "1.0.0"
    other = TorchScriptEmbedder.load(write_grid_model(tmp_path / "other.pt", name="other"))
    publish(store, "2.0.0", other, {"a.png": 1}, tmp_path)
    assert [served(follower) for _ in range(3)] == ["1.0.0"] * 3
    assert follower.refused == 1
    assert "model other" in caplog.text and "model grid" in caplog.text
    assert str(tmp_path) not in follower.reason


def test_a_damaged_version_is_refused(
    follower: VersionFollower, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.0.0", grid, {"a.png": 1}, tmp_path)
    assert served(follower) == "1.0.0"
    publish(store, "1.1.0", grid, {"a.png": 1, "b.png": 2}, tmp_path)
    index = store.folder / "1.1.0" / "index.faiss"
    index.write_bytes(index.read_bytes()[:-1])
    assert served(follower) == "1.0.0"
    assert follower.refused == 1


def test_a_version_that_cannot_be_read_is_refused_and_tried_again(
    follower: VersionFollower,
    store: IndexStore,
    grid: TorchScriptEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def denied(_name: str | None = None, threads: int = 1) -> IndexVersion:
        raise PermissionError(13, "Permission denied")

    publish(store, "1.0.0", grid, {"a.png": 1}, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(store, "open", denied)
        assert served(follower) is None
        assert follower.refused == 1
    follower._retry_at = 1e-9  # five seconds later
    assert served(follower) == "1.0.0"


def test_the_open_version_survives_the_loss_of_the_store(
    follower: VersionFollower, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    publish(store, "1.0.0", grid, {"a.png": 1}, tmp_path)
    version = follower.version()
    shutil.rmtree(store.folder)
    assert follower.version() is version
    assert version.vectors["code"][0].tolist() == [0, 1]


def test_a_new_worker_takes_the_newest_version_of_its_model_while_the_current_one_is_of_another(
    store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
) -> None:
    """So a model that is about to be served, or one that is about to go, answers whatever CURRENT says."""
    other = TorchScriptEmbedder.load(write_grid_model(tmp_path / "other.pt", name="other"))
    for number in range(3):
        publish(store, f"1.{number}.0", grid, {"a.png": number}, tmp_path)
    damaged = store.folder / "1.2.0" / "index.faiss"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    publish(store, "2.0.0", other, {"a.png": 1}, tmp_path)
    follower = VersionFollower(store, model=grid.identity)
    assert [served(follower) for _ in range(2)] == ["1.1.0"] * 2
    assert follower.refused == 1
    store.promote("1.0.0")
    assert served(follower) == "1.0.0"


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_line_says_where_images_and_queries_are_hashed_in_different_precision(
    precision: str, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(store, "1.0.0", grid, {"a.png": 1}, tmp_path)
    identity = grid.identity.model_copy(update={"precision": precision})
    assert served(VersionFollower(store, model=identity)) == "1.0.0"
    line = "its images were hashed in float32, and queries are hashed in float16: now and then a bit differs"
    assert (line in caplog.messages) == (precision == "float16")


class TestWithoutAModel:
    """As the gateway, and commands, follow: whoever asks is told what is wrong."""

    @pytest.fixture
    def follower(self, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path) -> VersionFollower:
        publish(store, "1.0.0", grid, {"a.png": 1}, tmp_path)
        return VersionFollower(store)

    def damage(self, store: IndexStore, name: str) -> bytes:
        index = store.folder / name / "index.faiss"
        whole = index.read_bytes()
        index.write_bytes(whole[:-1])
        return whole

    def test_what_is_wrong_with_the_first_is_said(self, follower: VersionFollower, store: IndexStore) -> None:
        whole = self.damage(store, "1.0.0")
        for _ in range(2):
            with pytest.raises(VersionDamaged, match=r"index\.faiss of version 1\.0\.0"):
                follower.version()
        assert follower.refused == 1
        (store.folder / "1.0.0" / "index.faiss").write_bytes(whole)
        follower.look_again()
        assert served(follower) == "1.0.0"

    def test_the_one_before_stays_and_is_no_base_for_changes(
        self, follower: VersionFollower, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        assert follower.require_current().name == "1.0.0"
        publish(store, "1.1.0", grid, {"b.png": 1}, tmp_path)
        self.damage(store, "1.1.0")
        assert served(follower) == "1.0.0"
        with pytest.raises(VersionDamaged):
            follower.require_current()
        follower.rest()
        assert served(follower) == "1.0.0"
        store.promote("1.0.0")
        assert follower.require_current().name == "1.0.0"

    def test_versions_of_any_model(
        self, follower: VersionFollower, store: IndexStore, grid: TorchScriptEmbedder, tmp_path: Path
    ) -> None:
        other = TorchScriptEmbedder.load(write_grid_model(tmp_path / "other.pt", name="other"))
        publish(store, "2.0.0", other, {"a.png": 1}, tmp_path)
        assert served(follower) == "2.0.0"

    def test_one_whose_store_is_gone_is_gone(self, follower: VersionFollower, store: IndexStore) -> None:
        assert served(follower) == "1.0.0"
        shutil.rmtree(store.folder)
        with pytest.raises(VersionMissing):
            follower.version()

    def test_who_rests_opens_it_again(self, follower: VersionFollower) -> None:
        before = follower.version()
        follower.rest()
        assert follower.version() is not before

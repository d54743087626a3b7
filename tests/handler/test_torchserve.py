"""Which models TorchServe is started with."""

from pathlib import Path

from handler.archive import MODEL_NAME
from handler.torchserve import Settings, models_of
from searcher.collections_store import Collections
from tests.searcher.live import MODEL, publish


def test_archives_that_no_collection_has_any_more_are_not_loaded(tmp_path: Path) -> None:
    """Their workers would take memory, and one that no longer starts would keep all the others waiting."""
    models, index = tmp_path / "models", tmp_path / "index"
    models.mkdir()
    settings = Settings("127.0.0.1", 1, 2, 3, 1, models, index, tmp_path / "config")
    collections = Collections(index)
    wanted = MODEL.model_copy(update={"name": "hats", "sha256": 64 * "a"})
    stale = MODEL.model_copy(update={"name": "shoes", "sha256": 64 * "b"})
    for name in (MODEL_NAME, wanted.served_name, stale.served_name):
        (models / f"{name}.mar").touch()
    collections.create("hats", wanted)
    collections.create("shoes", stale)
    assert models_of(settings) == [MODEL_NAME, wanted.served_name, stale.served_name]
    collections.delete("shoes")
    assert models_of(settings) == [MODEL_NAME, wanted.served_name]
    publish(collections.open("hats").store, "1", model=wanted)
    (index / "collections" / "hats" / "1" / "images.db").write_bytes(b"")
    assert models_of(settings) == [MODEL_NAME]

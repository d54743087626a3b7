"""The machine at a glance: what folders take, and which versions are whole, by the names that collections have."""

import os
from pathlib import Path

import pytest

from gateway.errors import TorchServeError
from gateway.operations.machine import router
from gateway.torchserve.model_memory import LoadedModel
from gateway.torchserve.model_servers import ModelServers
from searcher.collections import Collections
from searcher.errors import VersionDamaged
from searcher.versions.store import IndexStore
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.searcher.live.fixtures import MODEL
from tests.searcher.versions.versions_by_hand import publish


async def nobody_answers(_servers: ModelServers) -> list[LoadedModel]:
    raise TorchServeError("TorchServe's management socket cannot be reached")


def test_at_a_glance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelServers, "loaded", nobody_answers)
    settings = settings_in(tmp_path)
    store = IndexStore(settings.index_store)
    publish(store, "1.0.0", {"a.png": 1})
    store.verify("1.0.0")
    collections = Collections(settings.index_store)
    for name in ("shoes", "hats"):
        collections.create(name, MODEL)
    collections.give_name("shoes", "hats", keep="before")  # its folder is called shoes still
    index = collections.open("before").folder / "0" / "index.faiss"
    index.write_bytes(index.read_bytes() + b"x")
    with pytest.raises(VersionDamaged):
        collections.stores()["before"].verify("0")
    (settings.index_store / "beside").write_bytes(b"x" * 1000)
    os.link(settings.index_store / "beside", settings.index_store / "the same")
    files = {(each.stat().st_ino, each.stat().st_size) for each in settings.index_store.rglob("*") if each.is_file()}

    with Client(tiny_app(settings, router)) as client:
        found = client.get("/api/machine").json()
    checksums, memory = found["checksums"], found["memory"]
    assert (checksums["whole"], checksums["unread"]) == (1, 1)  # 1.0.0, and the hats
    assert checksums["damaged"] == [{"collection": "before", "version": "0", "file": "index.faiss"}]
    assert checksums["oldest"] is not None
    (disk,) = [each for each in found["disks"] if each["folder"] == "index_store"]
    assert disk["bytes"] == sum(size for _, size in files)
    assert 0 < disk["free"] < disk["total"]
    assert memory["models"] is None
    assert 0 < memory["gateway"] < memory["total"] and found["cores"] >= 1

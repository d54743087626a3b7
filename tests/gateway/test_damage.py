"""A damaged store is the server's fault: 503, or the last good answer, and never the client's 404, 409 or 422."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.collections import browsing, managing
from gateway.idios import changing, listing
from gateway.images import originals
from gateway.operations import versions
from searcher.collections import Collections
from searcher.errors import VersionDamaged
from searcher.versions.store import IndexStore
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.searcher.live.fixtures import MODEL, addition, publish

ASKED = [
    ("GET", "/api/collections/shoes"),
    ("GET", "/api/collections/shoes/images"),
    ("GET", "/models/shoes/count"),
    ("POST", "/models/shoes/urls"),
    ("POST", "/models/shoes/dump"),
    ("POST", "/models/shoes/restore?assume_model=grid"),
    ("POST", "/models/shoes/remove"),
    ("POST", "/api/collections/shoes/fold"),
    ("GET", "/api/collections/default"),
    ("GET", "/models/default/count"),
    ("GET", "/images/0"),
    ("GET", "/thumbnails/0"),
    ("GET", "/api/versions"),
]
BODIES = {"restore?assume_model=grid": [{"url": "b", "embedding": "0001"}], "remove": {"url": "a"}}


def _lose(*names: str) -> Callable[[Path], None]:
    def lose(folder: Path) -> None:
        for name in names:
            (folder / name).unlink(missing_ok=True)

    return lose


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return write


def _flip(folder: Path) -> None:
    path = folder / "0" / "images.db"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(VersionDamaged, match=r"^images\.db "):
        IndexStore(folder).verify("0")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "CURRENT is garbage": _write("CURRENT", b"../../etc\0"),
    "CURRENT is empty": _write("CURRENT", b""),
    "CURRENT is no text": _write("CURRENT", b"\xff\xfe"),
    "CURRENT is gone": _lose("CURRENT"),
    "CURRENT names nothing": _write("CURRENT", b"9.9\n"),
    "a manifest is gone": _lose("0/manifest.json"),
    "a file is gone": _lose("0/index.faiss"),
    "a bit has flipped": _flip,
    "the journal is gone": _lose("journal.db", "journal.db-wal", "journal.db-shm"),
    "the log is gone": _lose("journal.db-wal", "journal.db-shm"),
    "the journal is no database": _write("journal.db", b"no database" * 1000),
}


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    collections = Collections(settings_in(tmp_path).index_store)
    default = collections.open("default")
    publish(default.store, "0", [addition("x.png", 3)])
    default.add([addition("y", 1)])
    collections.create("shoes", MODEL).add([addition("a", 1)])
    return default.store


@pytest.fixture
def client(tmp_path: Path, store: IndexStore) -> Iterator[Client]:
    rooms = (browsing, managing, listing, changing, originals, versions)
    with Client(tiny_app(settings_in(tmp_path), *(room.router for room in rooms))) as found:
        yield found


def asked(client: Client) -> dict[str, int]:
    return {
        path: client.request(method, path, json=BODIES.get(path.rpartition("/")[2])).status_code
        for method, path in ASKED
    }


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("served_before", [False, True])
def test_it_is_never_the_client_s_fault(damage: str, served_before: bool, client: Client, store: IndexStore) -> None:
    if served_before:
        for path in ("/models/shoes/count", "/models/default/count"):
            assert client.get(path).status_code == 200
    for folder in (store.folder, store.folder / "collections" / "shoes"):
        DAMAGES[damage](folder)
    missing = {"/images/0", "/thumbnails/0"}  # the picture itself was never there
    for path, status in asked(client).items():
        assert status in (200, 204, 503) or (path in missing and status == 404), path


def test_a_damaged_collection_is_listed_as_damaged(client: Client, store: IndexStore) -> None:
    _write("journal.db", b"no database" * 1000)(store.folder / "collections" / "shoes")
    found = client.get("/api/collections").json()
    assert [each["name"] for each in found["collections"]] == ["default"]
    (damaged,) = found["damaged"]
    assert damaged["name"] == "shoes" and damaged["message"].startswith("journal.db")
    assert str(store.folder) not in damaged["message"]


def test_what_was_never_there_is_still_missing(client: Client) -> None:
    assert client.get("/api/collections/hats").status_code == 404
    assert client.get("/images/0?version=9.9").status_code == 404
    assert client.get("/images/0?version=../0").status_code == 422

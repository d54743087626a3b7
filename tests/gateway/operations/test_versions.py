"""Administrators see every version, whole or damaged, and delete what isn't served."""

import errno
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from contract.refusal import error_body
from gateway.access.guards import require_admin
from gateway.operations.versions import router
from gateway.settings import GatewaySettings
from searcher.scan.codes import INDEX_FILE
from searcher.versions.images import IMAGES_FILE
from searcher.versions.manifest import MANIFEST_FILE
from searcher.versions.store import CURRENT_FILE, IndexStore
from searcher.versions.verdict import verdict_on
from tests.gateway.tiny_app import Client, damage_first_images, settings_in, tiny_app
from tests.searcher.versions.versions_by_hand import as_details, publish

MISSING = error_body(404, "there is no version 9.9", "no_such_version").model_dump()


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    return settings_in(tmp_path)


@pytest.fixture
def store(settings: GatewaySettings) -> IndexStore:
    return IndexStore(settings.index_store)


@pytest.fixture
def client(settings: GatewaySettings) -> Iterator[Client]:
    with Client(tiny_app(settings, router)) as client:
        yield client


def bytes_of(store: IndexStore, name: str) -> int:
    return sum(path.stat().st_size for path in (store.folder / name).iterdir() if path.name != MANIFEST_FILE)


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def verified_at(store: IndexStore, name: str) -> str:
    verdict = verdict_on(store.folder / name)
    assert verdict is not None
    return str(verdict.model_dump(mode="json")["checked"])


class TestList:
    def test_none(self, client: Client) -> None:
        assert client.get("/api/versions").json() == {"current": None, "versions": [], "damaged": []}

    def test_the_newest_first(self, store: IndexStore, client: Client) -> None:
        before = datetime.now(UTC)
        publish(store, "2.0", {"a": 1, "b": 2}, {"c": "empty"}, mode="unnecessary fast")
        publish(store, "1.0", {"a": 1}, details=as_details(7))
        publish(store, "3.0")
        store.promote("1.0")
        found = client.get("/api/versions").json()
        created = [version.pop("created") for version in found["versions"]]
        model = {"name": "grid", "sha256": "a" * 64, "bits": 16, "detail_bits": None}
        assert found == {
            "current": "1.0",
            "versions": [
                {
                    "version": "3.0",
                    "count": 1,
                    "skipped": 0,
                    "mode": "default",
                    "model": model,
                    "bytes": bytes_of(store, "3.0"),
                    "current": False,
                    "verified": None,
                    "damaged": None,
                },
                {
                    "version": "1.0",
                    "count": 1,
                    "skipped": 0,
                    "mode": "default",
                    "model": {**model, "detail_bits": 8},
                    "bytes": bytes_of(store, "1.0"),
                    "current": True,
                    "verified": verified_at(store, "1.0"),  # to be promoted
                    "damaged": None,
                },
                {
                    "version": "2.0",
                    "count": 2,
                    "skipped": 1,
                    "mode": "unnecessary fast",
                    "model": model,
                    "bytes": bytes_of(store, "2.0"),
                    "current": False,
                    "verified": None,
                    "damaged": None,
                },
            ],
            "damaged": [],
        }
        assert all(time.endswith("Z") for time in created)
        times = [datetime.fromisoformat(time) for time in created]
        assert datetime.now(UTC) > times[0] > times[1] > times[2] > before

    def test_damaged_ones_hide_no_other(self, store: IndexStore, client: Client) -> None:
        for name in ("1.0", "1.1", "1.2"):
            publish(store, name)
        (store.folder / "1.1" / MANIFEST_FILE).write_text("{")
        (store.folder / "1.2" / MANIFEST_FILE).write_bytes((store.folder / "1.0" / MANIFEST_FILE).read_bytes())
        found = client.get("/api/versions").json()
        assert (found["current"], [version["version"] for version in found["versions"]]) == ("1.2", ["1.0"])
        damaged = {version["version"]: version["message"] for version in found["damaged"]}
        assert damaged["1.1"].startswith("manifest.json of version 1.1: the whole file: Invalid JSON")
        assert damaged["1.2"] == "manifest.json of version 1.2 is that of version 1.0"
        assert len(damaged) == 2 and str(store.folder) not in json.dumps(found)

    def test_current_names_none(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        (store.folder / CURRENT_FILE).write_text("../1.0")
        found = client.get("/api/versions").json()
        assert (found["current"], [version["version"] for version in found["versions"]]) == (None, ["1.0"])
        assert found["damaged"] == [
            {"version": "CURRENT", "message": "CURRENT holds no version's name: promote a version"}
        ]


class TestOne:
    def test_its_manifest(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0", {"a": 1}, {"c": "empty"})
        publish(store, "1.1")
        for name, current in (("1.0", False), ("1.1", True)):
            manifest = json.loads((store.folder / name / MANIFEST_FILE).read_bytes())
            assert manifest["checksum"]
            assert client.get(f"/api/versions/{name}").json() == {
                **manifest,
                "bytes": bytes_of(store, name),
                "current": current,
                "verified": None,
                "damaged": None,
            }

    def test_a_damaged_one(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        (store.folder / "1.0" / MANIFEST_FILE).write_text('{"version": "1.0"}')
        answer = client.get("/api/versions/1.0")
        assert (answer.status_code, answer.json()["message"]) == (
            503,
            "manifest.json of version 1.0: created: Field required",
        )


class TestSkipped:
    @pytest.fixture(autouse=True)
    def published(self, store: IndexStore) -> None:
        publish(store, "1.0", {"a": 1}, {f"{number:03}.png": f"reason {number}" for number in range(250)})

    @pytest.mark.parametrize(
        ("query", "first", "count"),
        [
            ("", 0, 100),
            ("?offset=100", 100, 100),
            ("?offset=200", 200, 50),
            ("?offset=250", 250, 0),
            ("?offset=4294967295", 250, 0),
            ("?limit=1&offset=7", 7, 1),
            ("?limit=1000", 0, 250),
        ],
    )
    def test_page_by_page(self, query: str, first: int, count: int, client: Client) -> None:
        assert client.get(f"/api/versions/1.0/skipped{query}").json() == {
            "total": 250,
            "skipped": [
                {"path": f"{number:03}.png", "reason": f"reason {number}"} for number in range(first, first + count)
            ],
        }

    @pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", f"offset={2**63}", "offset=a"])
    def test_no_page(self, query: str, client: Client) -> None:
        assert client.get(f"/api/versions/1.0/skipped?{query}").status_code == 422

    def test_of_a_version_that_has_none(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.1")
        assert client.get("/api/versions/1.1/skipped").json() == {"total": 0, "skipped": []}

    def test_of_a_damaged_one(self, store: IndexStore, client: Client) -> None:
        (store.folder / "1.0" / IMAGES_FILE).write_bytes(b"")
        answer = client.get("/api/versions/1.0/skipped")
        assert answer.status_code == 503
        assert answer.json()["message"].startswith("images.db of version 1.0 has 0 bytes; its manifest says ")


class TestVerify:
    def ask(self, client: Client, name: str) -> dict[str, object]:
        answer = client.request("POST", f"/api/versions/{name}/verify")
        assert answer.status_code == 200
        return dict(answer.json())

    def test_whole(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0", details=as_details(1))
        assert self.ask(client, "1.0") == {"version": "1.0", "whole": True, "files": 3, "message": None}

    def test_a_flipped_bit(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        flip_last_bit(store.folder / "1.0" / INDEX_FILE)
        assert self.ask(client, "1.0") == {
            "version": "1.0",
            "whole": False,
            "files": 2,
            "message": "index.faiss of version 1.0 has changed: its sha256 is not the manifest's",
        }
        (listed,) = client.get("/api/versions").json()["versions"]
        assert (listed["damaged"], listed["verified"]) == (INDEX_FILE, None)
        assert client.get("/api/versions/1.0").json()["damaged"] == INDEX_FILE
        assert client.get("/api/versions/1.0/skipped").status_code == 503

    def test_a_damaged_page_of_the_image_table(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0", {f"{row}.png": 0 for row in range(400)})
        damage_first_images(store.folder / "1.0" / IMAGES_FILE)
        assert self.ask(client, "1.0")["whole"] is False

    def test_a_manifest_that_cannot_be_read(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        (store.folder / "1.0" / MANIFEST_FILE).write_bytes(b"\xff")
        answer = self.ask(client, "1.0")
        assert (answer["whole"], answer["files"]) == (False, 0)
        assert str(answer["message"]).startswith("manifest.json of version 1.0: the whole file: ")

    def test_the_disk_fails(self, store: IndexStore, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        publish(store, "1.0")

        def fail(_store: IndexStore, name: str) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(store.folder / name))

        monkeypatch.setattr(IndexStore, "verify", fail)
        assert self.ask(client, "1.0") == {
            "version": "1.0",
            "whole": False,
            "files": 2,
            "message": "version 1.0 cannot be read (Input/output error)",
        }

    def test_deleted_meanwhile(self, store: IndexStore, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        publish(store, "9.9")
        publish(store, "1.1")
        verify = IndexStore.verify

        def overtaken(each: IndexStore, name: str) -> object:
            each.delete(name)
            return verify(each, name)

        monkeypatch.setattr(IndexStore, "verify", overtaken)
        assert client.request("POST", "/api/versions/9.9/verify").json() == MISSING


class TestDelete:
    def test_it_is_gone(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        client.get("/api/versions/1.0/skipped")
        answer = client.request("DELETE", "/api/versions/1.0")
        assert (answer.status_code, answer.content) == (204, b"")
        assert store.names() == ["1.1"] and not (store.folder / "1.0").exists()
        assert client.get("/api/versions/1.0/skipped").status_code == 404
        assert client.request("DELETE", "/api/versions/1.0").status_code == 404
        assert f"{store.folder}/1.0" not in Path("/proc/self/maps").read_text(), "its place on the disk is free"

    def test_the_current_one_is_refused(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        answer = client.request("DELETE", "/api/versions/1.1")
        assert (
            answer.json()
            == error_body(
                409, "version 1.1 is the current one; promote another version before deleting it"
            ).model_dump()
        )
        assert store.open().name == "1.1"
        store.promote("1.0")
        assert client.request("DELETE", "/api/versions/1.1").status_code == 204

    def test_a_damaged_one_goes_as_well(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        (store.folder / "1.0" / MANIFEST_FILE).write_text("{")
        assert client.request("DELETE", "/api/versions/1.0").status_code == 204
        assert client.get("/api/versions").json()["damaged"] == []

    def test_it_waits_for_no_indexer(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        with store.indexing():
            assert client.request("DELETE", "/api/versions/1.0").status_code == 204

    def test_nothing_goes_while_nobody_knows_which_is_current(self, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        (store.folder / CURRENT_FILE).write_text("?")
        assert client.request("DELETE", "/api/versions/1.0").status_code == 503
        assert store.names() == ["1.0"]


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("GET", "/skipped"), ("POST", "/verify"), ("DELETE", "")])
class TestEveryRoute:
    def test_a_missing_version(self, method: str, end: str, store: IndexStore, client: Client) -> None:
        publish(store, "1.0")
        assert client.request(method, f"/api/versions/9.9{end}").json() == MISSING

    @pytest.mark.parametrize("name", [".building", "CURRENT", "a%20b", "%2E%2E%5C", "x" * 65])
    def test_no_name(self, name: str, method: str, end: str, client: Client) -> None:
        answer = client.request(method, f"/api/versions/{name}{end}")
        assert answer.status_code == 422
        assert "cannot be a version's name" in answer.json()["message"]

    def test_without_a_key(self, method: str, end: str, settings: GatewaySettings, store: IndexStore) -> None:
        publish(store, "1.0")
        publish(store, "1.1")
        with Client(tiny_app(settings, router, key=False)) as client:
            assert client.request(method, f"/api/versions/1.0{end}").status_code == 401
            assert client.get("/api/versions").status_code == 401
        assert store.names() == ["1.0", "1.1"]


def test_every_route_asks_for_an_administrator() -> None:
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) == 5
    for route in routes:
        assert require_admin in [dependency.call for dependency in route.dependant.dependencies]

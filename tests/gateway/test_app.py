"""What every answer of both applications has, whoever gives it, and whom they answer."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from contract.names import CODE_HEADER
from contract.refusal import error_body
from gateway.app import create_app, create_idios_app
from gateway.operations.jobs import Job, ReindexRequest
from gateway.operations.reindex_runner import Reindexing
from gateway.settings import GatewaySettings
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.http import Answer, Busy, HttpClient
from searcher.versions.store import IndexStore
from tests.gateway.tiny_app import settings_in
from tests.handler.server import free_ports
from tests.searcher.live.fixtures import MODEL, addition, publish

PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key,content-type"}
PAGES = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'"
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Door:
    """The gateway's application, or Idios', asked in this process; both are running."""

    def __init__(self, folder: Path, idios: bool = False, **settings: Any) -> None:
        (nobody,) = free_ports(1)
        usual = settings_in(folder).model_dump(exclude_unset=True) | {"inference_port": nobody}
        self.gateway = create_app(GatewaySettings.model_validate(usual | settings))
        self.app: FastAPI = create_idios_app(self.gateway) if idios else self.gateway

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with (
                self.gateway.state.services.running(),
                httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client,
            ):
                return await client.request(method, path, **options)

        return asyncio.run(ask())


@pytest.fixture(scope="module", params=[False, True], ids=["gateway", "idios"])
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Either, with the usual settings."""
    return Door(tmp_path_factory.mktemp("door"), request.param)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """The gateway's, with the usual settings."""
    return Door(tmp_path_factory.mktemp("front"))


GUI = "https://gui.example.org"


@pytest.fixture(scope="module", params=[False, True], ids=["gateway", "idios"])
def open_door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Door:
    """Either, for pages of two other sites too."""
    return Door(tmp_path_factory.mktemp("open"), request.param, allowed_origins=f"http://localhost:3000, {GUI}/")


EVERYWHERE = [
    ("GET", "/nowhere", 404),
    ("DELETE", "/ping", 405),
    ("GET", "/ping", 200),
    ("POST", "/models/x/search", 422),
    ("POST", "/models/x/count", 422),
]
OF_THE_GATEWAY = [
    ("GET", "/", 200),
    ("GET", "/docs", 200),
    ("GET", "/redoc", 307),
    ("GET", "/openapi.json", 200),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 503),
    ("GET", "/metrics", 200),
    ("GET", "/page/main.js", 200),
    ("GET", "/page/style.css", 200),
    ("GET", "/reference/favicon.svg", 200),
    ("GET", "/page/none.js", 404),
    ("GET", "/page", 307),
    ("GET", "/static-offline-docs/swagger-ui.css", 200),
    ("POST", "/api/search", 422),
    ("POST", "/api/reindex", 401),
    ("GET", "/images/1", 404),
    ("GET", "/images/one", 422),
    ("POST", "/predictions/image-retrieval-v1.0", 503),
]


def check(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]
    (policy,) = answer.headers.get_list("Content-Security-Policy")
    path = answer.request.url.path
    assert policy.startswith({"/": PAGES, "/docs": PAGES}.get(path, NOTHING))
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(("method", "path", "status"), EVERYWHERE)
def test_every_answer_says_what_browsers_may_do(door: Door, method: str, path: str, status: int) -> None:
    check(door.ask(method, path), status)


@pytest.mark.parametrize(("method", "path", "status"), OF_THE_GATEWAY)
def test_every_answer_of_the_gateway_says_it(front: Door, method: str, path: str, status: int) -> None:
    check(front.ask(method, path), status)


def test_refusals_at_the_door_say_it_too(door: Door) -> None:
    check(door.ask("POST", "/ping", headers={"Content-Length": "99999999"}, content=b"x"), 413)
    check(door.ask("GET", "/ping", headers={"Host": "evil.example"}), 421)


def test_an_unforeseen_error_says_it_and_nothing_else(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    @door.app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret")

    answer = door.ask("GET", "/broken")
    check(answer, 500)
    message = "the gateway failed to answer; its log says why"
    assert answer.json() == error_body(500, message).model_dump()
    assert caplog.messages == ["a request failed"]


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "10.2.3.4:8000", "gateway:8000"]
    )
    def test_the_usual_names(self, door: Door, host: str) -> None:
        assert door.ask("GET", "/ping", headers={"Host": host}).status_code == 200

    @pytest.mark.parametrize("path", ["/", "/ping", "/healthz", "/predictions/image-retrieval-v1.0", "/page/main.js"])
    def test_a_page_that_turned_its_own_name_to_this_machine(self, door: Door, path: str) -> None:
        evil = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
        for method in ("GET", "POST"):
            answer = door.ask(method, path, headers=evil)
            assert (answer.status_code, answer.json()["type"]) == (421, "MisdirectedRequest")
            assert "HASHLAKE_ALLOWED_HOSTS" in answer.json()["message"]

    def test_two_names_at_once(self, door: Door) -> None:
        for names in (("localhost", "evil.example"), ("evil.example", "localhost")):
            headers = [("Host", name) for name in names]
            assert door.ask("GET", "/ping", headers=headers).status_code == 421

    def test_names_of_one_s_own(self, tmp_path: Path) -> None:
        door = Door(tmp_path, allowed_hosts="search.example.org", gateway_host="lake.example.org")
        for name in ("search.example.org", "lake.example.org", "localhost"):
            assert door.ask("GET", "/healthz", headers={"Host": name}).status_code == 200
        assert door.ask("GET", "/healthz", headers={"Host": "example.org"}).status_code == 421

    def test_every_name(self, tmp_path: Path) -> None:
        door = Door(tmp_path, allowed_hosts="*")
        assert door.ask("GET", "/healthz", headers={"Host": "evil.example"}).status_code == 200


class TestOrigins:
    def test_a_listed_site_may_ask_before_it_sends(self, open_door: Door) -> None:
        answer = open_door.ask("OPTIONS", "/models/x/add", headers={"Origin": GUI} | PREFLIGHT)
        check(answer, 200)
        assert answer.headers["Access-Control-Allow-Origin"] == GUI
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "x-api-key" in answer.headers["Access-Control-Allow-Headers"].lower()
        assert "Access-Control-Allow-Credentials" not in answer.headers

    def test_a_listed_site_may_read_answers_errors_too(self, open_door: Door) -> None:
        for path, status in (("/ping", 200), ("/nowhere", 404)):
            answer = open_door.ask("GET", path, headers={"Origin": GUI})
            assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, GUI)
            assert "Origin" in answer.headers["Vary"]
            assert "X-Hashlake-Worker" in answer.headers["Access-Control-Expose-Headers"]
        answer = open_door.ask("POST", "/ping", headers={"Origin": GUI, "Content-Length": "99999999"}, content=b"x")
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (413, GUI)

    @pytest.mark.parametrize("origin", ["https://evil.example", "https://gui.example.org.evil.example", "null"])
    def test_other_sites_may_not(self, open_door: Door, origin: str) -> None:
        answer = open_door.ask("OPTIONS", "/models/x/add", headers={"Origin": origin} | PREFLIGHT)
        assert (answer.status_code, answer.headers.get("Access-Control-Allow-Origin")) == (400, None)
        answer = open_door.ask("GET", "/ping", headers={"Origin": origin})
        assert answer.headers.get("Access-Control-Allow-Origin") is None

    def test_no_site_is_listed_unless_somebody_lists_it(self, door: Door) -> None:
        answer = door.ask("OPTIONS", "/ping", headers={"Origin": GUI} | PREFLIGHT)
        assert (answer.status_code, answer.headers.get("Access-Control-Allow-Origin")) == (405, None)

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 422),  # such a collection isn't there: the site is not the reason
            ({"Origin": "https://gui.example.org"}, 422),
            ({"Origin": "http://localhost:8000"}, 422),
            ({"Origin": "https://lake.example.org", "X-Forwarded-Host": "lake.example.org"}, 422),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "http://localhost:4000"}, 403),
            ({"Origin": "null"}, 403),
        ],
    )
    def test_who_may_change_things_without_a_key(self, open_door: Door, headers: dict[str, str], status: int) -> None:
        if open_door.app is open_door.gateway:  # it asks everybody for a key
            status = 401
        assert open_door.ask("POST", "/models/x/remove", json={"url": "a"}, headers=headers).status_code == status


class TestPrefix:
    @pytest.mark.parametrize(
        ("asked", "to"),
        [
            ("/api/versions/", "./../versions"),
            ("/api/versions/?a=b", "./../versions?a=b"),
            ("/page", "./page/"),
            ("/docs/", "./../docs"),
        ],
    )
    def test_redirects_stay_below_it(self, front: Door, asked: str, to: str) -> None:
        answer = front.ask("GET", asked)
        assert (answer.status_code, answer.headers["Location"]) == (307, to)
        assert answer.request.url.join(to).path == asked.partition("?")[0].rstrip("/") + (
            "/" if to.endswith("/") else ""
        )

    def test_programs_are_told(self, front: Door, tmp_path: Path) -> None:
        document = Door(tmp_path, root_path="/hashlake/").ask("GET", "/openapi.json").json()
        assert document["servers"] == [{"url": "/hashlake"}]
        assert "servers" not in front.ask("GET", "/openapi.json").json()

    def test_no_page_has_an_absolute_address(self, front: Door) -> None:
        for page in ("/", "/docs"):
            text = front.ask("GET", page).text
            assert 'href="reference/' in text
            assert [mark for mark in ('href="/', 'src="/', "url(/", 'href="http', 'src="http') if mark in text] == []

    @pytest.mark.parametrize("root", ["", "/hashlake"])
    def test_links_of_answers_begin_with_it(self, tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
        door = Door(tmp_path, root_path=root)
        publish(IndexStore(tmp_path / "store"), "1", [addition("a b.png", 5)])
        (image,) = door.ask("GET", "/api/collections/default/images").json()["images"]
        assert image["thumbnail"] == f"{root}/api/collections/default/thumbnail?url=a+b.png"

        found = {
            "index_database_version": "1", "relevant": ["a b.png", "new.png"], "distances": [0, 1], "rows": [0, None],
            "codes": {"code": ["0005", "0004"]}, "model": MODEL.model_dump(mode="json"), "metadata": [{"a": 1}, None],
        }  # fmt: skip

        async def predict(*_: object) -> Answer:
            return Answer(200, (), {CODE_HEADER: "0005"}, json.dumps(found).encode())

        monkeypatch.setattr(TorchServeClient, "predict", predict)
        first, second = door.ask("POST", "/api/search", data={"code": "0005"}).json()["results"]
        assert (first["image"], first["thumbnail"]) == (f"{root}/images/0?version=1", f"{root}/thumbnails/0?version=1")
        assert second["thumbnail"] == f"{root}/api/collections/default/thumbnail?url=new.png"
        assert [each["metadata"] for each in (first, second)] == [{"a": 1}, None]

    def test_so_does_the_address_of_a_job(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        door = Door(tmp_path, root_path="/hashlake")
        services = door.gateway.state.services
        _, key = services.keys.create("boss", "admin")

        async def start(_runner: object, asked: ReindexRequest) -> Job:
            return services.reindexing.jobs.create(asked)

        monkeypatch.setattr(Reindexing, "start", start)
        headers = {"X-API-Key": key, "Prefer": "respond-async"}
        answer = door.ask("POST", "/api/reindex", json={"new_index_database_version": "1"}, headers=headers)
        assert (answer.status_code, answer.headers["Location"]) == (202, f"/hashlake/api/jobs/{answer.json()['id']}")


class TestBusy:
    """TorchServe's queue is full: it answers 503, and only that."""

    @pytest.mark.parametrize("path", ["/predictions/image-retrieval-v1.0", "/api/search"])
    def test_clients_are_told_when_to_ask_again(
        self, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def full(*_: object) -> Answer:
            return Answer(503, (), {}, b'{"code": 503, "type": "ServiceUnavailableException", "message": "full"}')

        monkeypatch.setattr(TorchServeClient, "predict", full)
        monkeypatch.setattr(TorchServeClient, "pass_on", full)
        answer = Door(tmp_path).ask("POST", path, data={"code": "0005"})
        assert (answer.status_code, answer.headers["Retry-After"], answer.json()["message"]) == (503, "1", "full")

    @pytest.mark.parametrize("path", ["/predictions/image-retrieval-v1.0", "/api/search"])
    def test_there_is_no_room_left(self, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        async def busy(*_: object, **__: object) -> Answer:
            raise Busy("too many")

        monkeypatch.setattr(HttpClient, "request", busy)
        answer = Door(tmp_path).ask("POST", path, data={"code": "0005"})
        message = "the search server is busy: try again"
        assert (answer.status_code, answer.headers["Retry-After"], answer.json()["message"]) == (503, "1", message)

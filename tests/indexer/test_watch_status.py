"""The status of a watch over real HTTP: who may read it, who may set it, and to what."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from indexer import watch_status
from indexer.watch_status import Status, StatusServer
from tests.handler.server import free_ports


@pytest.fixture
def status() -> Status:
    return Status()


@pytest.fixture
def client(status: Status) -> Iterator[httpx.Client]:
    (port,) = free_ports(1)
    with (
        StatusServer(status, "127.0.0.1", port),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        yield client


def test_what_it_says(client: httpx.Client, status: Status) -> None:
    status.enter("processing")
    status.done(1 / 3)
    said = client.get("/status?x").json()
    assert said == client.get("/response").json() == {
        "status": "running", "completeness": 0.3333, "phase": "processing", "phases": ["processing", "sleeping"],
        "accessible": True, "error_message": "", "error_code": "",
    }  # fmt: skip
    assert client.get("/").status_code == 404


def test_scripts_around_the_watch_set_some_of_it(client: httpx.Client, status: Status) -> None:
    sent = {"completeness": 0.5, "phase": "uploading", "error_code": "api_error", "error_message": "é"}
    answer = client.post("/response", json=sent)
    assert answer.status_code == 200
    assert client.get("/status").json() == answer.json()
    assert (status.status, status.completeness, status.phase) == ("starting", 0.5, "uploading")
    assert (status.error_code, status.error_message, status.phases) == ("api_error", "é", ["processing", "sleeping"])
    status.enter("processing")  # the watch goes on
    assert client.get("/status").json()["phase"] == "processing"


@pytest.mark.parametrize(
    ("body", "status_code", "detail"),
    [
        ({"status": "asleep"}, 422, "status: Input should be"),
        ({"completeness": 1.1}, 422, "completeness: Input should be less"),
        ({"completeness": "1"}, 422, "completeness: Input should be a valid number"),
        ({"phases": "one"}, 422, "phases: Input should be a valid"),
        ({"colour": "red"}, 422, "colour: Extra inputs"),
        ([], 422, "the body: Input should be an object"),
    ],
)
def test_what_cannot_be_set(client: httpx.Client, status: Status, body: Any, status_code: int, detail: str) -> None:
    before = Status(**vars(status))
    answer = client.post("/response", json=body)
    assert (answer.status_code, answer.json()["detail"].startswith(detail)) == (status_code, True), answer.text
    assert status == before


def test_what_is_no_such_request(client: httpx.Client, status: Status) -> None:
    text = {"Content-Type": "text/plain"}
    assert client.post("/status", json={}).status_code == 404
    assert client.post("/response", content=b'{"phase": "x"}', headers=text).status_code == 415
    assert client.post("/response", content=b"{", headers={"Content-Type": "application/json"}).status_code == 422
    large = {"phase": "x" * watch_status._MOST_BYTES}
    assert client.post("/response", json=large).status_code == 413
    chunked = client.post("/response", content=iter([b"{}"]), headers={"Content-Type": "application/json"})
    assert chunked.status_code == 411
    assert status == Status()


def test_other_machines_may_only_read(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", "fe80::1%eth0"]
    assert not any(map(watch_status._is_here, seen))
    assert all(map(watch_status._is_here, ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"]))
    monkeypatch.setattr(watch_status, "_is_here", lambda _: False)
    answer = client.post("/response", json={"phase": "x"})
    assert (answer.status_code, answer.json()) == (403, {"detail": "only this machine may say that"})
    assert client.get("/status").status_code == 200

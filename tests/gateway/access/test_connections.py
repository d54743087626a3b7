"""Clients that send half a request, or take half an answer, on a real server: who may wait, who is let go, and that
everybody else is answered meanwhile."""

import json
import logging
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

import gateway.access.connections
import gateway.access.whole_bodies
from contract.names import PREDICTIONS
from contract.refusal import error_body
from gateway.access.connections import MAX_HEADER_BYTES, allow_many_files, most_connections
from tests.gateway.live import Live, everything, live

HALF_HEADER = b"GET /healthz HTTP/1.1\r\nHost: loc"
HALF_BODY = b'POST /predictions/image-retrieval-v1.0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"im'
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
NOT_FOUND = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """With the real deadlines."""
    with live(tmp_path_factory.mktemp("patient")) as server:
        yield server


@pytest.fixture
def hasty(patient: Live, monkeypatch: pytest.MonkeyPatch) -> Live:
    monkeypatch.setattr(gateway.access.connections, "HEADER_SECONDS", 0.2)
    monkeypatch.setattr(gateway.access.connections, "UNREAD_SECONDS", 0.2)
    monkeypatch.setattr(gateway.access.whole_bodies, "PATIENCE_SECONDS", 0.2)
    return patient


def wait_until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.001)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("idios", [False, True], ids=["gateway", "idios"])
@pytest.mark.parametrize("begun", [b"", b"\r\n", b"GET", HALF_HEADER], ids=["idle", "newline", "method", "header"])
def test_a_header_that_never_ends(hasty: Live, begun: bytes, idios: bool) -> None:
    with hasty.connect(hasty.idios_port if idios else None) as connection:
        connection.sendall(begun)
        assert everything(connection) == b""


@pytest.mark.parametrize("idios", [False, True], ids=["gateway", "idios"])
def test_a_body_that_never_ends(hasty: Live, idios: bool, caplog: pytest.LogCaptureFixture) -> None:
    answer = hasty.ask(HALF_BODY, hasty.idios_port if idios else None)
    assert (status(answer), json.loads(answer.partition(b"\r\n\r\n")[2])["type"]) == (408, "RequestTimeout")
    assert caplog.messages == []


@pytest.mark.parametrize("begun", [b"\r\n", HALF_HEADER])
def test_a_second_request_that_never_ends(hasty: Live, begun: bytes) -> None:
    with hasty.connect() as connection:
        connection.sendall(WHOLE)
        first = connection.recv(65536)
        while not first.endswith(b'"up"}'):
            first += connection.recv(65536)
        connection.sendall(begun)
        assert everything(connection) == b""


def test_one_letter_at_a_time_wins_no_time(hasty: Live) -> None:
    with hasty.connect() as connection, pytest.raises(OSError, match=r"reset|[Bb]roken"):
        deadline = time.monotonic() + 60
        connection.sendall(b"GET / HTTP/1.1\r\n")
        while time.monotonic() < deadline:
            connection.sendall(b"X-A: 1\r\n")
            time.sleep(0.02)


def test_slow_headers_within_the_time_are_answered(patient: Live) -> None:
    with patient.connect() as connection:
        for letter in NOT_FOUND:
            connection.sendall(bytes([letter]))
        assert status(everything(connection)) == 404


@pytest.mark.parametrize(
    "request_of",
    [
        lambda filling: b"GET / HTTP/1.1\r\nX-A: " + filling,
        lambda filling: b"GET / HTTP/1.1\r\n" + b"X-A: 1\r\n" * (len(filling) // 8),
        lambda filling: b"GET /" + filling,
        lambda _: b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 201 + b"\r\n",
    ],
    ids=["value", "lines", "path", "fields"],
)
def test_a_header_without_end_is_431(patient: Live, request_of: Callable[[bytes], bytes]) -> None:
    answer = patient.ask(request_of(b"a" * (MAX_HEADER_BYTES + 1)))
    assert b"\r\nContent-Security-Policy: " in answer and b"\r\nX-Content-Type-Options: nosniff\r\n" in answer
    assert (status(answer), json.loads(answer.partition(b"\r\n\r\n")[2])["code"]) == (431, 431)


def test_a_trailer_without_end_is_431(patient: Live) -> None:
    with patient.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-A: ")
        wait_until(lambda: any(each.waiting_since and each.cycle for each in patient.connections), "the body")
        connection.sendall(b"a" * (MAX_HEADER_BYTES + 1))
        assert status(everything(connection)) == 431


def test_as_many_fields_as_there_may_be(patient: Live) -> None:
    assert status(patient.ask(NOT_FOUND[:-2] + b"a:\r\n" * 198 + b"\r\n")) == 404


def test_what_is_no_http_is_400_in_our_shape(patient: Live, caplog: pytest.LogCaptureFixture) -> None:
    patient.ask(b"GET /healthz HTTP/1.1\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n")
    answer = patient.ask(b"\x16\x03\x01 hello\r\n\r\n")
    assert caplog.messages == []
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer
    body = error_body(400, "this is no HTTP request").model_dump()
    assert (status(answer), json.loads(answer.partition(b"\r\n\r\n")[2])) == (400, body)


def test_a_long_body_is_no_long_header(patient: Live) -> None:
    body = b'{"url": "' + b"a" * (4 * MAX_HEADER_BYTES) + b'"}'
    assert httpx.post(f"http://127.0.0.1:{patient.idios_port}/nowhere", content=body, timeout=60).status_code == 404

    def pieces() -> Iterator[bytes]:
        yield from (body[start : start + 1000] for start in range(0, len(body), 1000))

    assert httpx.post(f"http://127.0.0.1:{patient.idios_port}/nowhere", content=pieces(), timeout=60).status_code == 404


def test_an_answer_that_nobody_takes(hasty: Live) -> None:
    request = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    whole = len(hasty.get("/static-offline-docs/swagger-ui-bundle.js"))
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((hasty.host, hasty.port))
        connection.sendall(20 * request)
        wait_until(lambda: any(each.cycle for each in hasty.connections), "its first request")
        wait_until(lambda: not hasty.connections, "the end of the connection")
        assert len(everything(connection)) < 19 * whole


def test_everybody_else_is_answered_while_thousands_wait(patient: Live, caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        allow_many_files()
        for begun in (b"", HALF_HEADER, HALF_BODY, HALF_BODY.replace(PREDICTIONS.encode(), b"/models/x/add")) * 250:
            connection = opened.enter_context(patient.connect())
            connection.sendall(begun)
        with httpx.Client(base_url=f"http://127.0.0.1:{patient.port}", timeout=60) as client:
            assert client.get("/healthz").json() == {"status": "up"}
            assert client.get("/readyz").json()["message"] == "no index version is published yet"
            answer = client.post("/predictions/image-retrieval-v1.0", json={"image": ""})
            # There is no TorchServe here: this is what a request hears that goes there at once.
            assert (answer.status_code, answer.json()["message"]) == (503, "the search server cannot be reached")
    assert caplog.messages == []


@pytest.mark.parametrize("begun", [HALF_HEADER, WHOLE], ids=["unfinished", "kept alive"])
def test_the_oldest_that_wait_make_room(patient: Live, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_until(lambda: not patient.connections, "the end of earlier connections")
    monkeypatch.setattr(gateway.access.connections, "most_connections", lambda: 20)
    monkeypatch.setattr(gateway.access.connections, "HEADER_SECONDS", 600.0)  # none ends for another reason
    with ExitStack() as opened:
        waiting = [opened.enter_context(patient.connect()) for _ in range(20)]
        for connection in waiting:
            connection.sendall(begun)
            if begun == WHOLE:
                assert status(connection.recv(65536)) == 200
        for _ in range(3):
            assert status(patient.get("/healthz")) == 200
        with suppress(ConnectionResetError):
            assert everything(waiting[0]) == b""
        waiting[-1].sendall(WHOLE.removeprefix(begun))
        waiting[-1].sendall(WHOLE if begun == WHOLE else b"")
        assert status(waiting[-1].recv(65536)) == 200


def test_a_connection_is_kept_for_longer_than_proxies_keep_theirs(patient: Live) -> None:
    """One that the server closes first may meet a request that is never answered: 502 at a proxy."""
    with patient.connect() as connection:
        connection.sendall(WHOLE)
        assert status(connection.recv(65536)) == 200
        (kept,) = [each for each in patient.connections if each.timeout_keep_alive_task]
        assert kept.timeout_keep_alive_task.when() - kept.loop.time() > 70


def test_as_many_files_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert most_connections() == 192
        allow_many_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(20_000, before[1])
        allow_many_files()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    "path",
    [
        "/predictions/image-retrieval-v1.0",
        "/api/search",
        "/models/default/add",
        "/models/default/restore",
        "/models/default/add_bulk",
        "/api/collections",
        "/api/reindex",
        "/nowhere",
    ],
)
@pytest.mark.parametrize("idios", [False, True], ids=["gateway", "idios"])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b", "text/plain"])
def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_error(
    patient: Live,
    path: str,
    idios: bool,
    kind: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n--b\r\n"
    wait_until(lambda: not patient.connections, "the end of earlier connections")
    with patient.connect(patient.idios_port if idios else None) as connection:
        connection.sendall(head.encode())
        wait_until(lambda: any(each.cycle for each in patient.connections), "the header")
    wait_until(lambda: not patient.connections, "the end of the connection")
    assert status(patient.get("/healthz")) == 200
    assert caplog.messages == [] and capfd.readouterr().err == ""

"""A tiny application with an admin's route and a search route: who passes, who is refused, and how."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.access.failed_tries import FailedTries
from gateway.access.guards import client_address, presented_key, require_admin, require_search
from gateway.access.keys import ApiKey, KeyStore
from gateway.access.proxies import parse_networks
from gateway.errors import RequestRefused, error_body

WRONG = "hlk_00000000_" + "A" * 32


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Server:
    """The application, asked as from a network."""

    app: FastAPI
    store: KeyStore
    clock: Clock

    def get(self, path: str, headers: Any = None, address: str | None = "192.0.2.7") -> httpx.Response:
        async def ask() -> httpx.Response:
            client = (address, 40000) if address is not None else None
            transport = httpx.ASGITransport(self.app, client=client)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as session:
                return await session.get(path, headers=headers)

        return asyncio.run(ask())

    def admin(self, key: str, address: str = "192.0.2.7") -> httpx.Response:
        return self.get("/admin", {"X-API-Key": key}, address)

    def needs_key(self, needed: bool = True) -> None:
        self.app.state.services.settings.search_needs_key = needed

    def trusts(self, proxies: str) -> None:
        self.app.state.services.settings.trusted_proxies = parse_networks(proxies)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    app = FastAPI()
    store, clock = KeyStore(tmp_path / "keys.db"), Clock()
    settings = SimpleNamespace(search_needs_key=False, trusted_proxies=())
    app.state.services = SimpleNamespace(keys=store, failed_tries=FailedTries(clock), settings=settings)

    @app.exception_handler(RequestRefused)
    def refuse(_: Request, refused: RequestRefused) -> JSONResponse:
        body = error_body(refused.status, str(refused)).model_dump()
        return JSONResponse(body, refused.status, refused.headers)

    @app.get("/admin")
    def admin(key: Annotated[ApiKey, Depends(require_admin)]) -> str:
        return key.name

    @app.get("/search")
    def search(key: Annotated[ApiKey | None, Depends(require_search)]) -> str:
        return "anybody" if key is None else key.name

    yield Server(app, store, clock)


@pytest.fixture
def admin_key(server: Server) -> str:
    return server.store.create("boss", "admin")[1]


@pytest.fixture
def search_key(server: Server) -> str:
    return server.store.create("phone", "search")[1]


def refused(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, kind and message of an error, whose body repeats the status."""
    body = answer.json()
    assert sorted(body) == ["advice", "code", "message", "reason", "type"]
    assert body["code"] == answer.status_code
    return answer.status_code, body["type"], body["message"]


def forwarded(name: str, address: str) -> str:
    """The value of the header ``name`` that a proxy adds."""
    return address if name == "X-Forwarded-For" else f"for={address};proto=https"


NO_KEY = (401, "Unauthorized", "this takes an API key: send it as X-API-Key or as a bearer token")
WRONG_KEY = (401, "Unauthorized", "the API key is unknown or revoked")


class TestAdmin:
    @pytest.mark.parametrize(
        ("header", "before"),
        [
            ("X-API-Key", ""),
            ("x-api-key", ""),
            ("Authorization", "Bearer "),
            ("authorization", "bearer "),
            ("Authorization", "BEARER   "),
        ],
    )
    def test_an_admin_key_passes(self, header: str, before: str, server: Server, admin_key: str) -> None:
        answer = server.get("/admin", {header: before + admin_key})
        assert (answer.status_code, answer.json()) == (200, "boss")

    def test_no_key(self, server: Server) -> None:
        answer = server.get("/admin")
        assert refused(answer) == NO_KEY
        assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-API-Key": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": "Basic aGxrOmhsaw=="},
            {"Authorization": ""},
        ],
    )
    def test_headers_without_a_key(self, headers: dict[str, str], server: Server) -> None:
        assert refused(server.get("/admin", headers)) == NO_KEY

    @pytest.mark.parametrize("key", [WRONG, "x", "hlk_", "ключ".encode().decode("latin-1"), "A" * 10_000])
    def test_a_wrong_key(self, key: str, server: Server, admin_key: str) -> None:
        answer = server.get("/admin", [(b"X-API-Key", key.encode("latin-1"))])
        assert refused(answer) == WRONG_KEY
        assert answer.headers["www-authenticate"] == "Bearer"

    def test_a_revoked_key(self, server: Server, admin_key: str) -> None:
        server.store.revoke(server.store.list()[0].id)
        assert refused(server.admin(admin_key)) == WRONG_KEY

    def test_a_search_key(self, server: Server, search_key: str) -> None:
        answer = server.admin(search_key)
        assert refused(answer) == (
            403,
            "Forbidden",
            "this takes an admin key, and the request brings a search key",
        )

    def test_the_same_key_twice(self, server: Server, admin_key: str) -> None:
        answer = server.get("/admin", {"X-API-Key": admin_key, "Authorization": f"Bearer {admin_key}"})
        assert answer.json() == "boss"

    @pytest.mark.parametrize(
        "other", [("X-API-Key", WRONG), ("Authorization", f"Bearer {WRONG}")], ids=["header", "bearer"]
    )
    def test_two_different_keys(self, other: tuple[str, str], server: Server, admin_key: str) -> None:
        answer = server.get("/admin", [("X-API-Key", admin_key), other])
        assert refused(answer) == (400, "BadRequest", "the request brings several API keys: send one")

    def test_a_proxy_s_own_login_beside_a_key(self, server: Server, admin_key: str) -> None:
        answer = server.get("/admin", {"X-API-Key": admin_key, "Authorization": "Basic aGxrOmhsaw=="})
        assert answer.json() == "boss"

    def test_a_key_in_the_address_is_none(self, server: Server, admin_key: str) -> None:
        assert refused(server.get(f"/admin?api_key={admin_key}")) == NO_KEY

    def test_keys_that_cannot_be_read(self, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        (tmp_path / "keys.db").write_bytes(b"keys, keys, keys" * 1000)
        assert refused(server.admin(WRONG)) == (
            503,
            "ServiceUnavailable",
            "API keys cannot be checked at the moment",
        )
        assert caplog.messages == [f"cannot use the API keys in {tmp_path / 'keys.db'}: file is not a database"]


class TestSearch:
    @pytest.mark.parametrize("headers", [{}, {"X-API-Key": WRONG}, {"Authorization": f"Bearer {WRONG}"}])
    def test_open_to_anybody(self, headers: dict[str, str], server: Server, admin_key: str) -> None:
        answer = server.get("/search", headers)
        assert (answer.status_code, answer.json()) == (200, "anybody")

    def test_open_costs_no_look_at_the_keys(self, server: Server) -> None:
        server.app.state.services.keys = None
        assert server.get("/search").json() == "anybody"
        assert server.get("/search", {"X-API-Key": WRONG}).json() == "anybody"

    def test_a_wrong_key_is_no_failed_try_where_none_is_needed(self, server: Server, admin_key: str) -> None:
        for _ in range(20):
            server.get("/search", {"X-API-Key": WRONG})
        assert server.admin(admin_key).json() == "boss"

    def test_either_role_passes_where_a_key_is_needed(self, server: Server, admin_key: str, search_key: str) -> None:
        server.needs_key()
        assert server.get("/search", {"X-API-Key": search_key}).json() == "phone"
        assert server.get("/search", {"Authorization": f"Bearer {admin_key}"}).json() == "boss"

    def test_no_key_or_a_wrong_one_where_one_is_needed(self, server: Server) -> None:
        server.needs_key()
        for headers, expected in (({}, NO_KEY), ({"X-API-Key": WRONG}, WRONG_KEY)):
            answer = server.get("/search", headers)
            assert refused(answer) == expected
            assert answer.headers["www-authenticate"] == "Bearer"


class TestFailedTriesOverHttp:
    def test_the_eleventh_try_has_to_wait(self, server: Server, admin_key: str) -> None:
        for _ in range(10):
            assert refused(server.admin(WRONG)) == WRONG_KEY
            server.clock.time += 2
        answer = server.admin(WRONG)
        assert refused(answer) == (
            429,
            "TooManyRequests",
            "too many wrong API keys came from this address: try again in 40 s",
        )
        assert answer.headers["retry-after"] == "40"

    def test_the_right_key_gets_in_whatever_wrong_ones_came_before(self, server: Server, admin_key: str) -> None:
        for _ in range(30):
            server.admin(WRONG)
            assert server.admin(admin_key).json() == "boss"
        assert server.admin(WRONG).status_code == 429

    def test_waiting_is_not_prolonged_by_trying(self, server: Server) -> None:
        for _ in range(10):
            server.admin(WRONG)
        server.clock.time += 59.5
        assert server.admin(WRONG).headers["retry-after"] == "1"
        server.clock.time += 0.5
        assert refused(server.admin(WRONG)) == WRONG_KEY

    def test_both_kinds_of_route_count_together(self, server: Server, search_key: str) -> None:
        server.needs_key()
        for _ in range(5):
            server.admin(WRONG)
            server.get("/search", {"Authorization": "Bearer nonsense"})
        assert server.get("/search", {"X-API-Key": WRONG}).status_code == 429
        assert server.get("/search", {"X-API-Key": search_key}).json() == "phone"

    def test_other_addresses_don_t_wait(self, server: Server) -> None:
        for _ in range(10):
            server.admin(WRONG, "192.0.2.7")
        assert server.admin(WRONG, "192.0.2.7").status_code == 429
        assert server.admin(WRONG, "192.0.2.8").status_code == 401

    def test_a_network_of_ipv6_is_one_address(self, server: Server) -> None:
        for number in range(10):
            server.admin(WRONG, f"2001:db8:0:1::{number:x}")
        assert server.admin(WRONG, "2001:db8:0:1:ffff::1").status_code == 429
        assert server.admin(WRONG, "2001:db8:0:2::1").status_code == 401

    @pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded"])
    def test_a_stranger_s_forwarded_address_changes_nothing(self, server: Server, name: str) -> None:
        server.trusts("10.0.0.0/8")
        for number in range(10):
            server.get("/admin", {"X-API-Key": WRONG, name: forwarded(name, f"198.51.100.{number}")})
        assert server.admin(WRONG).status_code == 429

    @pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded"])
    def test_clients_behind_a_trusted_proxy_don_t_wait_for_each_other(self, server: Server, name: str) -> None:
        server.trusts("192.0.2.7")
        for _ in range(10):
            server.get("/admin", {"X-API-Key": WRONG, name: forwarded(name, "198.51.100.1")})
        wrong = {"X-API-Key": WRONG}
        assert server.get("/admin", wrong | {name: forwarded(name, "198.51.100.1")}).status_code == 429
        assert server.get("/admin", wrong | {name: forwarded(name, "198.51.100.2")}).status_code == 401
        assert server.get("/admin", wrong).status_code == 401

    def test_requests_without_a_key_are_no_tries(self, server: Server, admin_key: str) -> None:
        for _ in range(30):
            assert refused(server.get("/admin")) == NO_KEY
        assert server.admin(admin_key).json() == "boss"

    def test_requests_without_a_key_are_told_so_however_many_tries_failed(self, server: Server) -> None:
        for _ in range(10):
            server.admin(WRONG)
        assert refused(server.get("/admin")) == NO_KEY

    def test_a_search_key_on_an_admin_s_route_is_no_failed_try(
        self, server: Server, admin_key: str, search_key: str
    ) -> None:
        for _ in range(20):
            assert server.admin(search_key).status_code == 403
        assert server.admin(admin_key).json() == "boss"

    def test_a_file_that_cannot_be_read_is_no_failed_try(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "keys.db").write_bytes(b"keys, keys, keys" * 1000)
        assert {server.admin(WRONG).status_code for _ in range(20)} == {503}

    def test_where_the_server_knows_no_address(self, server: Server, admin_key: str) -> None:
        for _ in range(10):
            assert server.get("/admin", {"X-API-Key": WRONG}, address=None).status_code == 401
        assert server.get("/admin", {"X-API-Key": WRONG}, address=None).status_code == 429
        assert server.get("/admin", {"X-API-Key": admin_key}, address=None).json() == "boss"


class TestFailedTries:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def tries(self, clock: Clock) -> FailedTries:
        return FailedTries(clock)

    def test_ten_are_free(self, tries: FailedTries) -> None:
        assert [tries.add("a") for _ in range(12)] == [0.0] * 10 + [60.0] * 2

    def test_the_window_slides(self, tries: FailedTries, clock: Clock) -> None:
        """Failures at 0, 5, …, 45: from 60 on one more is free, and each brings the next one's time."""
        start = clock.time
        for number in range(10):
            clock.time = start + 5 * number
            tries.add("a")
        waits = []
        for second in (45, 59, 60, 60, 64, 65, 200):
            clock.time = start + second
            waits.append(tries.add("a"))
        assert waits == [15.0, 1.0, 0.0, 5.0, 1.0, 0.0, 0.0]

    def test_slow_failures_never_wait(self, tries: FailedTries, clock: Clock) -> None:
        for _ in range(50):
            assert tries.add("a") == 0.0
            clock.time += 6

    def test_a_bound_on_the_addresses(self, tries: FailedTries) -> None:
        for number in range(5000):
            tries.add(str(number))
        assert len(tries) == 4096

    def test_the_addresses_that_failed_longest_ago_are_forgotten(self, tries: FailedTries) -> None:
        for _ in range(9):
            tries.add("busy")
        for _ in range(10):
            tries.add("early")
        for number in range(4094):
            tries.add(str(number))
        tries.add("busy")
        tries.add("one more")
        assert (tries.add("busy"), tries.add("early"), len(tries)) == (60.0, 0.0, 4096)


class TestClientAddress:
    @pytest.mark.parametrize(
        ("client", "address"),
        [
            (("192.0.2.7", 1), "192.0.2.7"),
            (("::ffff:192.0.2.7", 1), "192.0.2.7"),
            (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
            (("fe80::1%eth0", 1), "fe80::/64"),
            (("::1", 1), "::/64"),
            (("somewhere", 1), "somewhere"),
            (("", 0), ""),
            (None, ""),
        ],
    )
    def test_it(self, client: tuple[str, int] | None, address: str) -> None:
        headers = [(b"x-forwarded-for", b"198.51.100.1"), (b"forwarded", b"for=198.51.100.1")]
        services = SimpleNamespace(settings=SimpleNamespace(trusted_proxies=()))
        app = SimpleNamespace(state=SimpleNamespace(services=services))
        assert client_address(Request({"type": "http", "app": app, "client": client, "headers": headers})) == address


class TestPresentedKey:
    def test_it_is_not_judged(self) -> None:
        assert presented_key(Request({"type": "http", "headers": [(b"x-api-key", b"any text")]})) == "any text"

    def test_none(self) -> None:
        assert presented_key(Request({"type": "http", "headers": []})) is None


class TestSecrecy:
    def test_no_key_is_in_an_answer_a_log_or_the_terminal(
        self,
        server: Server,
        admin_key: str,
        search_key: str,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.DEBUG)
        revoked = server.store.create("old", "admin")
        server.store.revoke(revoked[0].id)
        near = admin_key[:-1] + ("A" if admin_key[-1] != "A" else "B")
        answers = [server.admin(key) for key in (search_key, revoked[1], near, admin_key[:-1], f"{admin_key}x")]
        answers.append(server.get("/admin", {"X-API-Key": admin_key, "Authorization": f"Bearer {search_key}"}))
        answers += [server.admin(near) for _ in range(7)]
        server.clock.time += 60
        (tmp_path / "keys.db").write_bytes(b"keys, keys, keys" * 1000)
        answers.append(server.admin(admin_key))
        assert [answer.status_code for answer in answers] == [403, 401, 401, 401, 401, 400] + [401] * 6 + [429, 503]
        output = capfd.readouterr()
        shown = [*(answer.text + str(answer.headers) for answer in answers), caplog.text, output.out, output.err]
        for key in (admin_key, search_key, revoked[1]):
            assert [text for text in shown if key[13:-1] in text] == []


class TestOpenApi:
    def test_both_ways_to_send_a_key_are_documented_and_its_role(self, server: Server) -> None:
        document = server.app.openapi()
        assert document["components"]["securitySchemes"] == {
            "APIKeyHeader": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "HTTPBearer": {"type": "http", "scheme": "bearer"},
        }
        for path, roles in {"/admin": ["admin"], "/search": []}.items():
            operation = document["paths"][path]["get"]
            assert operation["security"] == [{"APIKeyHeader": roles}, {"HTTPBearer": roles}]
            assert "parameters" not in operation

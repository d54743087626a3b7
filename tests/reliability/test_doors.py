"""Every door: each route × each method × each credential, and each name × each site, at the gateway and at Idios' port.

What should happen is written down in RULES and in the OpenAPI document, which must agree; a route that has no rule
fails the first test. Nothing that a request names exists, so who is let in learns just that. TorchServe's own port, and
what listens where, is in test_stack.py.
"""

import base64
import itertools
import logging
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from gateway.access.guards import require_own_site
from gateway.access.whole_bodies import MAX_FIELDS_BYTES
from gateway.app import create_app, create_idios_app
from gateway.settings import GatewaySettings
from tests.gateway.live import Live, everything, live
from tests.reliability.campaign import Sizes, Tell, drawn

_IDIOS = "/models/{model_name}"
#: Who may use which routes: anybody; who searches, which is anybody unless HASHLAKE_SEARCH_NEEDS_KEY; administrators.
RULES = {
    "anybody": {
        "GET": ["/", "/docs", "/redoc", "/healthz", "/readyz", "/metrics", "/ping"],
        "GET HEAD": ["/openapi.json", "/page/main.js", "/reference/docs.js", "/static-offline-docs/swagger-ui.css"],
    },
    "searching": {
        "GET HEAD": ["/images/{row}", "/thumbnails/{row}", "/api/collections/{name}/thumbnail"],
        "GET": ["/api/words", "/api/overview", "/api/map", "/api/map/{zoom}/{x}/{y}", "/api/aliases",
                "/api/collections",
                *(f"/api/collections/{{name}}{end}" for end in ("", "/images", "/duplicates", "/properties"))],
        "POST": ["/api/search", "/search_form", "/predictions/image-retrieval-v1.0", f"{_IDIOS}/search",
                 f"{_IDIOS}/compare", f"{_IDIOS}/urls", f"{_IDIOS}/dump"],
        "GET POST": [f"{_IDIOS}/count"],
    },
    "administrators": {
        "POST": [*(f"{_IDIOS}/{end}" for end in ("add", "search_add", "add_bulk", "restore", "remove")),
                 "/api/collections", "/api/collections/{name}/fold", "/api/collections/{name}/index", "/api/reindex",
                 "/api/collections/{name}/copy",
                 "/api/jobs/{id}/resume",
                 "/api/versions/{name}/promote", "/api/versions/{name}/verify"],
        "PUT": ["/api/aliases/{name}"],
        "DELETE": ["/api/aliases/{name}", "/api/collections/{name}", "/api/jobs/{id}", "/api/versions/{name}"],
        "GET": ["/api/jobs", "/api/jobs/{id}", "/api/jobs/{id}/events", "/api/jobs/{id}/log", "/api/machine",
                "/api/models", "/api/versions",
                "/api/versions/{name}", "/api/versions/{name}/skipped"],
    },
}  # fmt: skip
RULE_OF = {
    (method, path): rule
    for rule, routes in RULES.items()
    for methods, paths in routes.items()
    for method, path in itertools.product(methods.split(), paths)
}
PATHS = sorted({path for _, path in RULE_OF})
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
#: Idios' port has these, and asks no key.
IDIOS_PATHS = [path for path in PATHS if path.startswith(_IDIOS) or path == "/ping"]
#: It also has these, which tell nothing.
IDIOS_PAGES = ["/docs", "/redoc", "/openapi.json", "/reference/docs.js", "/static-offline-docs/swagger-ui.css"]


def routes_of(app: Any) -> Iterator[tuple[str, str]]:
    """Method and path of each route; of a folder of files, those of one file."""
    files = {rule.rpartition("/")[0]: rule for rule in PATHS if rule.count("/") == 2 and "." in rule}
    for route in app.routes:
        if (router := getattr(route, "original_router", None)) is not None:
            yield from routes_of(router)
        elif route.path in files:
            yield from (("GET", files[route.path]), ("HEAD", files[route.path]))
        else:
            yield from ((method, route.path) for method in route.methods)


def apps(folder: Path) -> tuple[FastAPI, FastAPI]:
    gateway = create_app(GatewaySettings(state=folder, index_store=folder, models=folder, datalake_root=folder))
    return gateway, create_idios_app(gateway)


def test_each_route_has_a_rule_and_says_so(tmp_path: Path) -> None:
    """If not: put the new route into RULES, and give it the dependency that its rule needs."""
    gateway, idios = apps(tmp_path)
    assert {*routes_of(gateway)} == RULE_OF.keys()
    roles: dict[str, list[str] | None] = {"anybody": None, "searching": [], "administrators": ["admin"]}
    for path, operations in gateway.openapi()["paths"].items():
        for method, operation in operations.items():
            role = roles[RULE_OF[method.upper(), path]]
            expected = None if role is None else [{"APIKeyHeader": role}, {"HTTPBearer": role}]
            assert operation.get("security") == expected, f"{method} {path}"
    assert {*routes_of(idios)} == {(method, path) for method, path in RULE_OF if path in (*IDIOS_PATHS, *IDIOS_PAGES)}
    for route in idios.routes:
        if hasattr(route, "include_context"):  # the others are IDIOS_PAGES
            assert require_own_site in [each.dependency for each in route.include_context.dependencies]


# --- Keys


@dataclass(frozen=True)
class Credential:
    """``worth``: what it is to a route that asks for a key: "admin", "search", "wrong", "none", or "two"."""

    name: str
    worth: str
    headers: tuple[str, ...] = ()
    query: str = ""


def credentials(server: Live) -> list[Credential]:
    """Each kind of key in each form that counts, and the admin's in forms that don't."""
    keys = {role: server.services.keys.create(role, role)[1] for role in ("admin", "search")}
    revoked, text = server.services.keys.create("old", "admin")
    server.services.keys.revoke(revoked.id)
    admin = keys["admin"]
    near = admin[:-1] + ("A" if admin[-1] != "A" else "B")
    wrong = {"revoked": text, "near": near, "strange": f"hlk_00000000_{'k' * 32}", "garbage": "' OR 1=1 --"}
    found = [Credential("none", "none")]
    for form in ("X-API-Key: ", "x-api-key: ", "Authorization: Bearer ", "authorization: bearer  "):
        found += [Credential(f"{form}{role}", role, (form + key,)) for role, key in keys.items()]
        found += [Credential(f"{form}{name}", "wrong", (form + key,)) for name, key in wrong.items()]
        found.append(Credential(f"{form}nothing", "none", (form.rstrip(),)))
    basic = base64.b64encode(f"admin:{admin}".encode()).decode()
    for header in (
        f"Authorization: Basic {basic}", f"Authorization: {admin}", f"Authorization: Token {admin}",
        f"Proxy-Authorization: Bearer {admin}", f"X-Forwarded-Authorization: Bearer {admin}", f"X_API_Key: {admin}",
        f"Cookie: X-API-Key={admin}; key={admin}; Authorization=Bearer {admin}", f"X-API-Token: {admin}",
    ):  # fmt: skip
        found.append(Credential(header[:40], "none", (header,)))
    for name in ("api_key", "key", "token", "access_token", "X-API-Key", "authorization"):
        found.append(Credential(f"?{name}", "none", query=f"?{name}={admin}"))
    found.append(Credential("twice", "admin", (f"X-API-Key: {admin}", f"Authorization: Bearer {admin}")))
    found.append(Credential("two", "two", (f"X-API-Key: {admin}", f"Authorization: Bearer {near}")))
    found.append(Credential("also two", "two", (f"X-API-Key: {keys['search']}", f"X-API-Key: {admin}")))
    return found


_callers = itertools.count()


def ask(server: Live, method: str, path: str, *headers: str, port: int | None = None, body: bytes = b"") -> bytes:
    """What is answered to a client with an address of its own: wrong keys of others don't count against it."""
    number = next(_callers)
    caller = f"127.{1 + number // 65536}.{number // 256 % 256}.{number % 256}"
    target = re.sub(r"\{[^}]*\}", "987654", path)
    own = () if any(header.lower().startswith("host:") for header in headers) else ("Host: localhost",)
    length = (f"Content-Length: {len(body)}",) if body or method == "POST" else ()
    head = "\r\n".join([f"{method} {target} HTTP/1.1", *own, *headers, *length, "Connection: close"])
    address = (server.host, port or server.port)
    with socket.create_connection(address, timeout=60, source_address=(caller, 0)) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        return everything(connection)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def asked(keys: list[Credential], sizes: Sizes) -> list[tuple[tuple[str, str], Credential]]:
    """Of the routes that there are with each key, and of the methods that a path doesn't have."""
    other = [each for each in itertools.product(METHODS, PATHS) if each not in RULE_OF]
    return drawn(itertools.product(RULE_OF, keys), sizes) + drawn(itertools.product(other, keys), sizes)


def refusal(method: str, path: str, credential: Credential, needs_key: bool) -> int | None:
    """The status with which the gateway refuses; None where it lets in."""
    rule = RULE_OF.get((method, path))
    if rule is None:
        return 405
    if rule == "anybody" or (rule == "searching" and not needs_key):
        return None
    if credential.worth == "search" and rule == "administrators":
        return 403
    return {"none": 401, "wrong": 401, "two": 400}.get(credential.worth)


@pytest.mark.parametrize("needs_key", [False, True], ids=["open", "needs_key"])
def test_each_key_opens_what_it_should(
    needs_key: bool, tmp_path: Path, sizes: Sizes, tell: Tell, caplog: pytest.LogCaptureFixture
) -> None:
    counts, wrong = Counter[str](), list[str]()
    with live(tmp_path, search_needs_key=needs_key) as server, caplog.at_level(logging.DEBUG):
        keys = credentials(server)
        (boss,) = (each for each in keys if each.name == "X-API-Key: admin")
        let_in = {(method, path): status(ask(server, method, path, *boss.headers)) for method, path in sorted(RULE_OF)}
        assert not [each for each in let_in.items() if each[1] in (400, 401, 403, 405, 429, 500)]
        before = files_in(tmp_path)
        for (method, path), key in asked(keys, sizes):
            answer = ask(server, method, path + key.query, *key.headers)
            expected = refusal(method, path, key, needs_key)
            counts["let in" if expected is None else str(expected)] += 1
            if status(answer) != (let_in[method, path] if expected is None else expected):
                wrong.append(f"{method} {path} with {key.name}: {status(answer)}, not {expected}")
            shown = [word for word in (*secrets_of(keys), str(tmp_path), "Traceback") if word.encode() in answer]
            wrong += [f"{method} {path} with {key.name} shows {word}" for word in shown]
        assert files_in(tmp_path) == before
    tell(f"{counts.total():,} requests: {dict(sorted(counts.items()))}; {len(wrong)} wrong")
    assert not wrong
    assert not [secret for secret in secrets_of(keys) if secret in caplog.text]


def files_in(folder: Path) -> set[Path]:
    """But for locks, and the journals that SQLite has beside its databases for a moment."""
    return {path for path in folder.rglob("*") if path.suffix not in (".lock", ".db-journal")}


def secrets_of(keys: list[Credential]) -> set[str]:
    """What no answer and no log may have."""
    return {header[-32:] for key in keys for header in key.headers if key.worth in ("admin", "search")}


def test_nothing_long_is_read_into_json_before_a_key_is_asked_for(tmp_path: Path) -> None:
    """A gateway that parsed this would find that it is none: 422. Parsing blocks everybody. What may have a picture
    may be long."""
    body = b"[" * (MAX_FIELDS_BYTES + 1)
    with live(tmp_path, search_needs_key=True) as server:
        for method, path in sorted(RULE_OF):
            if method == "POST":
                heard = status(ask(server, method, path, "Content-Type: application/json", body=body))
                assert heard == (413 if path.startswith("/api/") and path != "/api/search" else 401), path


# --- Names and sites

OWN = "https://gui.example.org"
HOSTS = {
    "localhost": True, "127.0.0.1:8000": True, "[::1]:8000": True, "gateway": True, "a.localhost": True,
    "search.example.org": True, "evil.example": False, "localhost.evil.example": False, "127.0.0.1.evil.example": False,
    "": False, "2130706433": False, "search.example.org.evil.example": False, "localhost@evil.example": False,
}  # fmt: skip
#: Whether the pages of each are the server's own, at each of the hosts; None: the site is listed.
SITES: dict[str, str | None] = {
    "http://localhost": "localhost", "http://127.0.0.1:8000": "127.0.0.1:8000", "http://[::1]:8000": "[::1]:8000",
    "http://gateway": "gateway", "https://search.example.org": "search.example.org", OWN: None,
    "http://evil.example": "evil.example", "https://gui.example.org.evil.example": "-", "http://gui.example.org": "-",
    "null": "-", "": "-", "file://": "-",
}  # fmt: skip


def test_each_name_and_each_site_at_each_door(tmp_path: Path, sizes: Sizes, tell: Tell) -> None:
    """Both doors: other names are 421. Idios' port: other sites are 403. The gateway: they may ask, and never read."""
    counts, wrong = Counter[str](), list[str]()
    given = {"allowed_hosts": "search.example.org", "allowed_origins": OWN}
    with live(tmp_path, **given) as server:
        doors = [(server.port, "GET", "/healthz"), (server.port, "POST", "/api/search"),
                 (server.port, "POST", "/predictions/image-retrieval-v1.0"), (server.port, "GET", "/page/main.js"),
                 (server.idios_port, "GET", "/ping"), (server.idios_port, "POST", "/models/x/remove")]  # fmt: skip
        usual = {door: status(ask(server, *door[1:], port=door[0])) for door in doors}
        for door, host, site in drawn(itertools.product(doors, HOSTS, [*SITES, "none"]), sizes):
            port, method, path = door
            origin = () if site == "none" else (f"Origin: {site}",)
            answer = ask(server, method, path, f"Host: {host}", *origin, port=port)
            expected = usual[door]
            if not HOSTS[host]:
                expected = 421
            elif (
                port == server.idios_port
                and path not in IDIOS_PAGES
                and site != "none"
                and SITES[site] not in (host, None)
            ):
                expected = 403
            counts[str(expected)] += 1
            reads = re.search(rb"(?i)access-control-allow-origin: (\S+)", answer)
            may_read = site == OWN and HOSTS[host]
            if status(answer) != expected or (reads[1].decode() if reads else None) != (OWN if may_read else None):
                wrong.append(f"{method} {path} at {host!r} from {site!r}: {status(answer)}, not {expected}; {reads}")
    tell(f"{counts.total():,} requests: {dict(sorted(counts.items()))}; {len(wrong)} wrong")
    assert not wrong


def test_idios_port_asks_no_key_and_has_no_other_route(tmp_path: Path, sizes: Sizes, tell: Tell) -> None:
    counts, wrong = Counter[int](), list[str]()
    with live(tmp_path) as server:
        keys = credentials(server)
        usual = {(method, path): status(ask(server, method, path, port=server.idios_port)) for method, path in RULE_OF}
        assert {path for (_, path), heard in usual.items() if heard in (200, 307, 422)} == {*IDIOS_PATHS, *IDIOS_PAGES}
        for (method, path), key in asked(keys, sizes):
            heard = status(ask(server, method, path + key.query, *key.headers, port=server.idios_port))
            counts[heard] += 1
            expected = usual.get((method, path), 405 if path in (*IDIOS_PATHS, *IDIOS_PAGES) else 404)
            if heard != expected:
                wrong.append(f"{method} {path} with {key.name}: {heard}, not {expected}")
    tell(f"{counts.total():,} requests: {dict(sorted(counts.items()))}; {len(wrong)} wrong")
    assert not wrong

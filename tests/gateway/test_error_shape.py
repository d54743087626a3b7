"""Every error of every route has one shape (contract/refusal.py): routes × what is usually wrong with requests, at the
gateway's address and the extractor's. Idios' clients know another, which their own port keeps.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from contract.refusal import ADVICE
from gateway.app import create_app, create_extractor_app, create_idios_app
from gateway.services import Services
from handler.errors import _TYPES, RequestError
from tests.gateway.tiny_app import Client, settings_in
from tests.handler.server import free_ports

FIELDS = {"code", "type", "reason", "message", "advice"}
_NOT_ERRORS = "/readyz"  # not ready is an answer, with its own fields


@pytest.fixture
def gateway(tmp_path: Path) -> FastAPI:
    (nobody,) = free_ports(1)
    settings = settings_in(tmp_path)
    return create_app(
        settings.model_copy(update={"inference_port": nobody, "extractor_port": nobody, "run_folder": tmp_path})
    )


def operations(app: FastAPI) -> Iterator[tuple[str, str, bool]]:
    """Method, address and whether a key is needed, of each route; nothing that an address names exists."""
    for path, routes in app.openapi()["paths"].items():
        for method, operation in routes.items():
            yield method.upper(), re.sub(r"{\w+}", "7", path), "admin" in str(operation.get("security"))


def keys(app: FastAPI) -> dict[str, str]:
    services: Services = app.state.services
    return {role: services.keys.create(role, role)[1] for role in ("admin", "search")}


def check(answer: httpx.Response, met: Counter[int], also: frozenset[str] = frozenset()) -> None:
    if answer.status_code < 400:
        return
    asked = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}"
    body = answer.json()
    assert body.keys() - also == FIELDS, asked
    assert body["code"] == answer.status_code, asked
    assert body["reason"] in ADVICE, asked
    assert body["advice"] == ADVICE[body["reason"]], asked
    assert body["message"], asked
    assert "\n" not in body["message"], asked
    if body["reason"] == "method_not_allowed":
        assert answer.headers["Allow"], asked
    met[answer.status_code] += 1


#: What is wrong with a request, beside its key: headers and body.
WRONG: list[dict[str, Any]] = [
    {},
    {"content": b'{"name": ', "headers": {"Content-Type": "application/json"}},
    {"content": b'{"name": 7}', "headers": {"Content-Type": "text/plain"}},
    {"content": b"[7]", "headers": {"Content-Type": "application/json"}},
    {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    {"content": b"x", "headers": {"Content-Length": f"{1 << 31}", "Content-Type": "application/json"}},
    {"headers": {"Host": "stranger.example.org"}},
    {"params": {"limit": "many", "offset": "-1", "rows": "x", "pictures": "x", "filter": "{", "max_distance": "x"}},
]


def test_all_routes_of_the_gateway(gateway: FastAPI) -> None:
    met: Counter[int] = Counter()
    also = frozenset({"detail"})
    with Client(gateway) as client, client.running(gateway.state.services.running()):
        have = keys(gateway)
        for method, path, _ in operations(gateway):
            if path == _NOT_ERRORS:
                continue
            for key in (None, have["search"], have["admin"]):
                for wrong in WRONG if key == have["admin"] else WRONG[:1]:
                    told = {"X-API-Key": key} if key else {}
                    answer = client.request(method, path, **(wrong | {"headers": told | wrong.get("headers", {})}))
                    check(answer, met, also if path.startswith("/models/") else frozenset())
            check(client.request("PATCH", path, headers={"X-API-Key": have["admin"]}), met)
        check(client.get("/nowhere"), met)
        for _ in range(12):
            check(client.get("/api/jobs", X_API_Key="hlk_wrong"), met)
    assert met.keys() >= {400, 401, 403, 404, 405, 413, 421, 422, 429, 503}, met


def test_all_routes_of_the_extractor(gateway: FastAPI) -> None:
    met: Counter[int] = Counter()
    extractor = create_extractor_app(gateway)
    with Client(extractor) as client, client.running(gateway.state.services.running()):
        have = keys(gateway)
        for method, path, _ in operations(extractor):
            if path == "/models":  # asks a process of its own, and has no errors
                continue
            for key in (None, have["search"], have["admin"]):
                for wrong in WRONG if key == have["admin"] else WRONG[:1]:
                    told = {"X-API-Key": key} if key else {}
                    headers = {"headers": told | wrong.get("headers", {})}
                    check(client.request(method, path, **(wrong | headers)), met)
            check(client.request("PATCH", path), met)
        check(client.get("/nowhere"), met)
    assert met.keys() >= {400, 403, 404, 405, 413, 421, 422}, met


def test_idios_clients_get_what_they_know(gateway: FastAPI) -> None:
    with Client(create_idios_app(gateway)) as client, client.running(gateway.state.services.running()):
        for method, path, _ in operations(gateway):
            if path.startswith("/models/"):
                answer = client.request(method, path, json={"url": 7, "filter": 7})
                assert answer.status_code < 400 or answer.json().keys() == {"detail"}, answer.text
        assert client.get("/nowhere").json() == {"detail": "Not Found"}


def test_at_the_gateway_detail_is_said_in_words_too(gateway: FastAPI) -> None:
    with Client(gateway) as client:
        answer = client.request("POST", "/models/shoes/search", json={"text": "boot"}).json()
        assert answer["message"] == "model_name: " + answer["detail"][0]["msg"]
        assert answer["reason"] == "no_such_collection"


def test_what_is_no_json_is_said_to_be_none(gateway: FastAPI) -> None:
    with Client(gateway) as client:
        headers = {"X-API-Key": keys(gateway)["admin"]}
        typed = headers | {"Content-Type": "application/json"}
        broken = client.request("POST", "/api/reindex", headers=typed, content=b'{"mode": }')
        assert (broken.status_code, broken.json()["message"]) == (
            400,
            "the body is not JSON: Expecting value at character 9",
        )
        untyped = client.request("POST", "/api/reindex", headers=headers, content=b'{"mode": "default"}')
        assert (untyped.status_code, untyped.json()["message"]) == (
            422,
            "the body must be a JSON object, and come with Content-Type: application/json",
        )


@pytest.mark.parametrize("status", [*_TYPES], ids=lambda each: each.name)
def test_a_worker_s_errors(status: Any) -> None:
    body = RequestError(status, "no").body()
    assert body.keys() == FIELDS
    assert (body["code"], body["message"], body["advice"]) == (status, "no", ADVICE[str(body["reason"])])


def test_the_document_has_an_example_for_each_status(gateway: FastAPI) -> None:
    for path, routes in gateway.openapi()["paths"].items():
        for method, operation in routes.items():
            for status, answer in operation["responses"].items():
                if status < "400" or path == _NOT_ERRORS:
                    continue
                example = answer["content"]["application/json"]["example"]
                assert example["code"] == int(status), f"{method} {path} {status}"
                assert example.keys() - {"detail"} == FIELDS

"""Where collections are only read, nothing changes them; they can still be searched, listed and counted."""

from pathlib import Path
from typing import Any

import pytest

from contract.model import ModelIdentity
from gateway.collections import browsing, managing
from gateway.idios import changing, listing
from searcher.collections import Collections
from tests.gateway.tiny_app import Client, settings_in, tiny_app

MODEL = ModelIdentity(name="m", sha256="0" * 64, bits=64, precision="float32", preprocessing={})


@pytest.fixture
def client(tmp_path: Path) -> Client:
    settings = settings_in(tmp_path).model_copy(update={"collections_read_only": True})
    Collections(settings.index_store).create("shoes", MODEL)
    routers = (browsing.router, managing.router, listing.router, changing.router)
    return Client(tiny_app(settings, *routers))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/models/shoes/add", {"url": "http://example.org/1.png"}),
        ("POST", "/models/shoes/search_add", {"url": "http://example.org/1.png"}),
        ("POST", "/models/shoes/add_bulk", [{"url": "http://example.org/1.png"}]),
        ("POST", "/models/shoes/restore", []),
        ("POST", "/models/shoes/remove", {"url": "http://example.org/1.png"}),
        ("POST", "/api/collections", {"name": "hats"}),
        ("POST", "/api/collections/shoes/fold", None),
        ("DELETE", "/api/collections/shoes", None),
    ],
)
def test_changes_are_refused(client: Client, method: str, path: str, body: Any) -> None:
    with client:
        answer = client.request(method, path, json=body)
    assert answer.status_code == 403
    assert answer.json().get("detail", answer.json().get("message")) == "the collections of this server are read-only"


def test_reading_goes_on(client: Client) -> None:
    with client:
        assert client.request("GET", "/models/shoes/count").json() == 0
        assert client.request("GET", "/api/collections/shoes").json()["count"] == 0

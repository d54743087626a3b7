"""Searches go first, by whichever door of the gateway they come."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseServer, ThreadingUnixStreamServer
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from contract.names import DEFAULT_COLLECTION, MODEL_NAME, PREDICTIONS
from contract.run_folder import RunFolder
from embedding.torchscript import TorchScriptEmbedder
from gateway.app import create_app, create_idios_app
from gateway.settings import GatewaySettings
from gateway.torchserve.search_activity import LINGER_SECONDS, SearchActivity
from searcher.versions.store import IndexStore
from tests.versions import publish


def test_busy_while_somebody_searches_and_a_second_longer() -> None:
    now = 100.0
    searches = SearchActivity(lambda: now)
    assert not searches.busy
    with searches.searching():
        now += 60  # a search may take longer than a second
        assert searches.busy
        with searches.searching():
            pass
        now += 60
        assert searches.busy
    now += LINGER_SECONDS - 0.1
    assert searches.busy
    now += 0.2
    assert not searches.busy


def test_a_search_that_fails_has_ended() -> None:
    now = 100.0
    searches = SearchActivity(lambda: now)
    with pytest.raises(OSError), searches.searching():
        raise OSError
    now += 2
    assert not searches.busy


class FakeServer(BaseHTTPRequestHandler):
    """A TorchServe that notes, of each prediction, whether the gateway knew that somebody was searching."""

    app: FastAPI
    sha256: str
    heard: list[bool]

    def do_GET(self) -> None:
        self._answer([{"customizedMetadata": {"sha256": self.sha256}, "modelName": MODEL_NAME, "workers": []}])

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.heard.append(self.app.state.services.torchserve.searches.busy)
        if "hash" in asked:
            self._answer({"model": {}, "hashed": []})
        else:
            answer: dict[str, Any] = {"index_database_version": "1", "relevant": [], "metadata": [], "distances": []}
            made_with = {"name": "grid", "sha256": self.sha256, "spaces": [{"name": "code", "width": 16}]}
            self._answer(answer | {"rows": [], "codes": {"code": []}, "model": made_with})

    def _answer(self, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Hashlake-Code", "00ff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def listening(server: BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


DOORS: list[tuple[str, bool, str, dict[str, Any]]] = [
    ("predictions", False, PREDICTIONS, {"json": {"text": "Dress"}}),
    ("a collection", False, PREDICTIONS, {"json": {"text": "Dress", "collection": DEFAULT_COLLECTION}}),
    ("api", False, "/api/search", {"data": {"text": "Dress"}}),
    ("idios", False, f"/models/{DEFAULT_COLLECTION}/search", {"json": {"text": "Dress"}}),
    ("idios' own port", True, f"/models/{DEFAULT_COLLECTION}/search", {"json": {"text": "Dress"}}),
]


@pytest.mark.parametrize(("idios", "path", "body"), [row[1:] for row in DOORS], ids=[row[0] for row in DOORS])
def test_every_door_is_a_search(
    tmp_path: Path, grid: TorchScriptEmbedder, idios: bool, path: str, body: dict[str, Any]
) -> None:
    handler = type("Handler", (FakeServer,), {"heard": [], "sha256": grid.sha256})
    for name in ("index_store", "model_store", "models", "state", "lake"):
        (tmp_path / name).mkdir()
    publish(IndexStore(tmp_path / "index_store"), "1", grid, {"a.png": 1}, tmp_path / "lake")

    async def test(port: int) -> None:
        settings = GatewaySettings(
            inference_port=port, run_folder=tmp_path / "run", datalake_root=tmp_path / "lake",
            **{name: tmp_path / name for name in ("index_store", "model_store", "models", "state")},
        )  # fmt: skip
        handler.app = gateway = create_app(settings)
        app = create_idios_app(gateway) if idios else gateway
        searches = gateway.state.services.torchserve.searches
        transport = httpx.ASGITransport(app)
        async with (
            gateway.router.lifespan_context(gateway),
            httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=60) as client,
        ):
            await gateway.state.services.torchserve.hash([b"a picture"])
            assert (handler.heard, searches.busy) == ([False], False)
            answer = await client.post(path, **body)
        assert answer.status_code == 200, answer.text
        assert handler.heard == [False, True]
        assert searches.busy

    inference = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    run = RunFolder(tmp_path / "run", inference.server_port)
    run.make()
    management = ThreadingUnixStreamServer(str(run.management), handler)
    with listening(inference), listening(management):
        asyncio.run(asyncio.wait_for(test(inference.server_port), 60))

"""``POST /predictions/…`` is answered before FastAPI's routing, and yet as every other route."""

import asyncio
from pathlib import Path

import httpx

from contract.names import PREDICTIONS
from gateway.access.keys import KEYS_FILE, KeyStore
from gateway.app import create_app
from tests.gateway.tiny_app import settings_in
from tests.handler.server import free_ports


def ask(folder: Path, *requests: tuple[str, dict[str, str]], needs_key: bool) -> tuple[list[httpx.Response], str]:
    """The answers to empty requests, each a method with headers, and the metrics after them; no TorchServe listens."""
    (port,) = free_ports(1)
    settings = settings_in(folder).model_copy(update={"inference_port": port, "search_needs_key": needs_key})
    app = create_app(settings)

    async def test() -> tuple[list[httpx.Response], str]:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
        ):
            answers = [await client.request(method, PREDICTIONS, headers=headers) for method, headers in requests]
            return answers, (await client.get("/metrics")).text

    return asyncio.run(asyncio.wait_for(test(), 60))


def test_a_key_is_asked_for_where_one_is_needed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    _, key = KeyStore(tmp_path / "state" / KEYS_FILE).create("phone", "search")
    requests = [("POST", {}), ("POST", {"X-API-Key": "hlk_1"}), ("POST", {"X-API-Key": key})]
    (none, wrong, right), _ = ask(tmp_path, *requests, needs_key=True)
    assert (none.status_code, none.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert none.json()["message"].startswith("this takes an API key")
    assert (wrong.status_code, wrong.json()["message"]) == (401, "the API key is unknown or revoked")
    assert (right.status_code, right.json()["message"]) == (503, "the search server cannot be reached")
    (open_to_all,), _ = ask(tmp_path, ("POST", {}), needs_key=False)
    assert open_to_all.status_code == 503


def test_it_is_counted_by_its_route_and_other_methods_are_refused(tmp_path: Path) -> None:
    (posted, got), metrics = ask(tmp_path, ("POST", {}), ("GET", {}), needs_key=False)
    assert (posted.status_code, got.status_code) == (503, 405)
    counted = (
        'hashlake_gateway_request_seconds_count{method="POST",route="/predictions/image-retrieval-v1.0",status="503"}'
    )
    assert f"{counted} 1.0" in metrics

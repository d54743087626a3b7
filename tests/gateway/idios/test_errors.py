"""What a route that Idios has says when it is not let come to its end."""

import asyncio
import json
from typing import Any

from fastapi import APIRouter, FastAPI

from gateway.idios.errors import IdiosRoute


def test_a_gateway_that_stops_says_so() -> None:
    """A server that has waited long enough for what is under way cancels it."""
    begun = asyncio.Event()
    router = APIRouter(route_class=IdiosRoute)

    @router.post("/add_bulk")
    async def add_bulk() -> None:
        begun.set()
        await asyncio.Event().wait()

    app = FastAPI()
    app.include_router(router)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask_and_stop() -> None:
        scope = {"type": "http", "method": "POST", "path": "/add_bulk", "headers": [], "query_string": b""}
        answering = asyncio.create_task(app(scope, receive, send))
        await begun.wait()
        answering.cancel()
        await answering

    asyncio.run(ask_and_stop())
    assert sent[0]["status"] == 503
    assert json.loads(sent[1]["body"])["detail"] == "the gateway is stopping; a part of this may have been done"

"""Bodies that are too long, announced or not, and what an application that reads them notices."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Form
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import gateway.body_limit
from gateway.body_limit import BodyLimit

LIMIT = 1000
REFUSAL = {"code": 413, "type": "RequestEntityTooLarge", "message": "the request is longer than 1,000 bytes"}


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.body_limit, "MAX_BODY_BYTES", LIMIT)


def post(app: ASGIApp, **options: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            return await client.post("/", **options)

    return asyncio.run(ask())


def counting() -> tuple[ASGIApp, list[int]]:
    """An application that answers the length of its body, and the lengths that it has met."""
    met: list[int] = []

    async def length(request: Request) -> PlainTextResponse:
        body = await request.body()
        met.append(len(body))
        return PlainTextResponse(str(len(body)))

    app = Starlette()
    app.add_route("/", length, ["POST"])
    return BodyLimit(app), met


async def chunks(total: int) -> AsyncIterator[bytes]:
    for start in range(0, total, 300):
        yield b"x" * min(300, total - start)


@pytest.mark.parametrize("content", [lambda: b"x" * LIMIT, lambda: chunks(LIMIT)], ids=["whole", "chunked"])
def test_a_body_at_the_limit_passes(content: Callable[[], Any]) -> None:
    app, met = counting()
    answer = post(app, content=content())
    assert (answer.status_code, answer.text, met) == (200, str(LIMIT), [LIMIT])


@pytest.mark.parametrize("content", [lambda: b"x" * (LIMIT + 1), lambda: chunks(LIMIT + 1)], ids=["whole", "chunked"])
def test_a_longer_body_is_413_in_our_shape(content: Callable[[], Any]) -> None:
    app, met = counting()
    answer = post(app, content=content())
    assert (answer.status_code, answer.json(), met) == (413, REFUSAL, [])
    assert answer.headers["connection"] == "close"


def test_a_client_that_is_still_sending_gets_the_answer_before_the_connection_closes() -> None:
    """As much again is thrown away, and no more."""
    read: list[int] = []
    app, met = counting()
    scope = {"type": "http", "headers": [(b"content-length", b"1001")]}
    sent: list[Message] = []

    async def receive() -> Message:
        assert sent[1]["body"] and sent[1]["more_body"]
        read.append(300)
        return {"type": "http.request", "body": b"x" * 300, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert (sum(read), met) == (1200, [])
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"]) == REFUSAL
    assert sent[2:] == [{"type": "http.response.body", "body": b""}]


@pytest.mark.parametrize("length", ["", "many", "-1", "²"])
def test_a_length_that_is_no_number_does_not_count(length: str) -> None:
    app, met = counting()
    answer = post(app, content=b"xyz", headers=[(b"content-length", length.encode())])
    assert (answer.status_code, met) == (200, [3])


def test_an_application_that_answers_for_itself_comes_too_late() -> None:
    """FastAPI makes a 400 of whatever happens while it reads a form."""
    app = FastAPI()

    @app.post("/")
    async def form(text: Annotated[str, Form()]) -> str:
        return text

    body = b"text=" + b"x" * LIMIT

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = post(BodyLimit(app), content=pieces(), headers=kind)
    assert (answer.status_code, answer.json()) == (413, REFUSAL)
    assert post(BodyLimit(app), content=body[:LIMIT], headers=kind).json() == "x" * (LIMIT - 5)


def test_an_answer_that_has_begun_is_finished() -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    answer = post(BodyLimit(echo), content=chunks(LIMIT + 500))
    assert (answer.status_code, answer.content) == (200, b"x" * (LIMIT + 500))


def test_what_is_no_http_passes() -> None:
    seen = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Any:
        raise AssertionError

    asyncio.run(BodyLimit(app)({"type": "lifespan"}, nothing, nothing))
    assert seen == ["lifespan"]

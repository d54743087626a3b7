"""Bodies that are too long, too slow, too many, or break off; and what an application that reads them notices."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Form
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import gateway.access.body_budget
import gateway.access.whole_bodies
import gateway.memory
from contract.amounts import size
from contract.refusal import error_body
from gateway.access.body_budget import SMALL_BYTES, BodyBudget
from gateway.access.whole_bodies import WholeBodies

LIMIT = 1000
REFUSAL = error_body(413, "the request is longer than 1,000 bytes").model_dump()
FULL = error_body(503, "too many large requests at once: try again").model_dump()
SLOW = error_body(408, "the body of the request came too slowly").model_dump()


@pytest.fixture(autouse=True)
def _limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.access.whole_bodies, "MAX_BODY_BYTES", LIMIT)


@pytest.fixture
def budget() -> BodyBudget:
    return BodyBudget(100 * LIMIT)


def post(app: ASGIApp, path: str = "/", **options: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            return await client.post(path, **options)

    return asyncio.run(ask())


def counting(budget: BodyBudget) -> tuple[ASGIApp, list[int]]:
    """An application that answers the length of its body, and the lengths that it has met."""
    met: list[int] = []

    async def length(request: Request) -> PlainTextResponse:
        body = await request.body()
        met.append(len(body))
        return PlainTextResponse(str(len(body)))

    app = Starlette()
    for path in ("/", "/api/search", "/api/reindex"):
        app.add_route(path, length, ["POST"])
    return WholeBodies(app, budget), met


async def chunks(total: int) -> AsyncIterator[bytes]:
    for start in range(0, total, 300):
        yield b"x" * min(300, total - start)


@pytest.mark.parametrize("content", [lambda: b"x" * LIMIT, lambda: chunks(LIMIT)], ids=["whole", "chunked"])
def test_a_body_at_the_limit_passes(content: Callable[[], Any], budget: BodyBudget) -> None:
    app, met = counting(budget)
    answer = post(app, content=content())
    assert (answer.status_code, answer.text, met) == (200, str(LIMIT), [LIMIT])


@pytest.mark.parametrize("content", [lambda: b"x" * (LIMIT + 1), lambda: chunks(LIMIT + 1)], ids=["whole", "chunked"])
def test_a_longer_body_is_413_in_our_shape(content: Callable[[], Any], budget: BodyBudget) -> None:
    app, met = counting(budget)
    answer = post(app, content=content())
    assert (answer.status_code, answer.json(), met) == (413, REFUSAL, [])
    assert answer.headers["connection"] == "close"


def test_a_client_that_is_still_sending_gets_the_answer_before_the_connection_closes(budget: BodyBudget) -> None:
    """As much again is thrown away, and no more."""
    read: list[int] = []
    app, met = counting(budget)
    scope = {"type": "http", "path": "/", "headers": [(b"content-length", b"1001")]}
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


@pytest.mark.parametrize("length", ["1001", "0" * 10 + "1001", "9" * 5000])
def test_an_announced_length_is_enough(length: str, budget: BodyBudget) -> None:
    app, met = counting(budget)
    answer = post(app, content=b"xyz", headers=[(b"content-length", length.encode())])
    assert (answer.status_code, met) == (413, [])


@pytest.mark.parametrize("length", ["", "many", "-1", "²"])
def test_a_length_that_is_no_number_does_not_count(length: str, budget: BodyBudget) -> None:
    app, met = counting(budget)
    answer = post(app, content=b"xyz", headers=[(b"content-length", length.encode())])
    assert (answer.status_code, met) == (200, [3])


def test_a_form_that_is_too_long_is_413(budget: BodyBudget) -> None:
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
    answer = post(WholeBodies(app, budget), content=pieces(), headers=kind)
    assert (answer.status_code, answer.json()) == (413, REFUSAL)
    assert post(WholeBodies(app, budget), content=body[:LIMIT], headers=kind).json() == "x" * (LIMIT - 5)


@pytest.mark.parametrize(
    ("path", "kind", "most"),
    [
        ("/api/search", "application/json", LIMIT),
        ("/api/reindex", "application/json", 100),
        ("/api/search", "", 100),
        ("/api/search", "application/x-www-form-urlencoded", 100),
        ("/api/search", "multipart/form-data; boundary=x", LIMIT),
        ("/", "application/json", LIMIT),
    ],
)
def test_what_has_no_picture_is_short(
    path: str, kind: str, most: int, budget: BodyBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most JSON is parsed before a key is asked for, and takes many times its bytes."""
    monkeypatch.setattr(gateway.access.whole_bodies, "MAX_FIELDS_BYTES", 100)
    for length in (most, most + 1):
        app, met = counting(budget)
        answer = post(app, path, content=b"x" * length, headers={"Content-Type": kind})
        assert (answer.status_code, met) == ((200, [length]) if length == most else (413, []))
    assert answer.json()["message"] == f"the request is longer than {size(most)}"


class Wire:
    """One request that a test sends piece by piece; ``sent`` is what is answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
        self.answered = asyncio.create_task(app(scope, self._messages.get, self._send))  # type: ignore[arg-type]

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    def put(self, body: bytes, more: bool = True) -> None:
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    async def give(self, body: bytes, more: bool = True) -> None:
        """Send a piece, and let it be read."""
        self.put(body, more)
        while not self._messages.empty():
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    @property
    def answer(self) -> tuple[int, Any]:
        return self.sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in self.sent[1:]))


def test_the_application_hears_of_a_request_when_it_is_whole(budget: BodyBudget) -> None:
    async def test() -> None:
        app, met = counting(budget)
        half = Wire(app)
        await half.give(b"x" * 300)
        assert (met, budget.held) == ([], 300)
        await half.give(b"x" * 300, more=False)
        await half.answered
        assert (met, half.answer, budget.held) == ([600], (200, 600), 0)

    asyncio.run(test())


def test_tiny_pieces_are_joined(budget: BodyBudget) -> None:
    """Each would be an object of its own otherwise."""
    lengths: list[int] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            lengths.append(len(message["body"]))
            more = message["more_body"]
        await PlainTextResponse("")({"type": "http"}, receive, send)

    async def test() -> None:
        tiny = Wire(WholeBodies(app, budget))
        for _ in range(500):
            tiny.put(b"x")
        tiny.put(b"", more=False)
        await tiny.answered

    asyncio.run(test())
    assert lengths == [500]


def test_a_client_that_leaves_is_never_heard_of(budget: BodyBudget) -> None:
    async def test() -> None:
        app, met = counting(budget)
        half = Wire(app)
        await half.give(b"x" * 300)
        half.leave()
        await half.answered
        assert (met, half.sent[0]["status"], budget.held) == ([], 400, 0)

    asyncio.run(test())


def test_bodies_beyond_the_budget_are_503_and_its_room_comes_back() -> None:
    async def test() -> None:
        budget = BodyBudget(1500)
        app, met = counting(budget)
        first, second = Wire(app), Wire(app)
        await first.give(b"x" * 1000)
        await second.give(b"x" * 400)
        assert budget.held == 1400
        await second.give(b"x" * 200, more=False)
        assert (second.answer, budget.held, met) == ((503, FULL), 1000, [])
        assert (b"retry-after", b"1") in second.sent[0]["headers"]
        bodiless = Wire(app)
        await bodiless.give(b"", more=False)  # as GET has
        await bodiless.answered
        await first.give(b"", more=False)
        await first.answered
        assert (met, budget.held) == ([0, 1000], 0)
        again = Wire(app)
        await again.give(b"x" * 600, more=False)
        await again.answered
        assert (met, budget.held) == ([0, 1000, 600], 0)

    asyncio.run(test())


def test_the_rest_of_the_budget_is_for_small_bodies() -> None:
    budget = BodyBudget(16 * SMALL_BYTES)
    assert budget.take(SMALL_BYTES) and budget.take(13 * SMALL_BYTES, before=SMALL_BYTES)
    assert not budget.take(1, before=14 * SMALL_BYTES)
    assert budget.take(SMALL_BYTES) and budget.take(SMALL_BYTES)
    assert not budget.take(1)
    assert budget.take(0)


def test_bodies_that_stop_or_trickle_are_408(monkeypatch: pytest.MonkeyPatch, budget: BodyBudget) -> None:
    """Fewer bytes in the time than there must be don't help."""
    monkeypatch.setattr(gateway.access.whole_bodies, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(gateway.access.whole_bodies, "LEAST_BYTES", 100)

    async def test() -> None:
        app, met = counting(budget)
        stopped, trickling = Wire(app), Wire(app)
        await stopped.give(b"x" * 10)
        while not trickling.answered.done():
            trickling.put(b"x")
            await asyncio.sleep(0.001)
        await stopped.answered
        assert (stopped.answer, trickling.answer) == ((408, SLOW), (408, SLOW))
        assert (b"connection", b"close") in stopped.sent[0]["headers"]
        assert (met, budget.held) == ([], 0)

    asyncio.run(test())


def test_a_body_that_goes_on_has_more_time(monkeypatch: pytest.MonkeyPatch, budget: BodyBudget) -> None:
    monkeypatch.setattr(gateway.access.whole_bodies, "LEAST_BYTES", 100)
    given: list[float] = []

    class Patience(asyncio.Timeout):
        def reschedule(self, when: float | None) -> None:
            given.append((when or 0.0) - asyncio.get_running_loop().time())
            super().reschedule(when)

    monkeypatch.setattr(gateway.access.whole_bodies.asyncio, "timeout", lambda _seconds: Patience(None))

    async def test() -> None:
        app, met = counting(budget)
        steady = Wire(app)
        for length in (60, 60, 60, 60, 0):
            await steady.give(b"x" * length, more=length > 0)
        await steady.answered
        assert met == [240]

    asyncio.run(test())
    assert [round(seconds, -1) for seconds in given[1:]] == [20, 20]  # the first is the beginning


def test_a_body_has_a_time_by_which_it_must_be_whole(monkeypatch: pytest.MonkeyPatch, budget: BodyBudget) -> None:
    monkeypatch.setattr(gateway.access.whole_bodies, "BODY_SECONDS", 0.0)
    monkeypatch.setattr(gateway.access.whole_bodies, "LEAST_BYTES", 100)

    async def test() -> None:
        app, met = counting(budget)
        endless = Wire(app)
        await endless.give(b"x" * 100)
        await endless.answered
        assert (endless.answer, met) == ((408, SLOW), [])

    asyncio.run(test())


def test_what_is_no_http_passes(budget: BodyBudget) -> None:
    seen = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Any:
        raise AssertionError

    asyncio.run(WholeBodies(app, budget)({"type": "lifespan"}, nothing, nothing))
    assert seen == ["lifespan"]


def test_after_a_burst_memory_goes_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.access.body_budget, "_REST_SECONDS", 0.0)
    given_back = threading.Semaphore(0)
    monkeypatch.setattr(gateway.memory, "give_back", given_back.release)

    async def burst(budget: BodyBudget, bodies: int, size: int) -> None:
        for _ in range(bodies):
            assert budget.take(size)
        for _ in range(bodies):
            budget.give_back(size)

    async def test() -> None:
        budget = BodyBudget(256 * SMALL_BYTES)
        await burst(budget, 8, SMALL_BYTES)
        await asyncio.sleep(0)
        assert not given_back.acquire(blocking=False)
        await burst(budget, 8, 16 * SMALL_BYTES)
        assert await asyncio.to_thread(given_back.acquire, timeout=60)
        await burst(budget, 8, SMALL_BYTES)
        await asyncio.sleep(0.01)
        assert not given_back.acquire(blocking=False)

    asyncio.run(test())


def test_what_outlives_its_request_counts_too() -> None:
    async def test() -> None:
        budget = BodyBudget(1500)
        with budget.holding(2000):
            assert not budget.take(1) and budget.take(0)
        assert budget.held == 0 and budget.take(1)

    asyncio.run(test())


def test_free_memory_goes_back_to_the_system() -> None:
    """In a process of its own: the first functions change how it allocates."""
    code = (
        "import gateway.memory as memory, threading, psutil\n"
        "memory.share_arenas()\n"
        "used = lambda: psutil.Process().memory_info().rss >> 20\n"
        "def work(): pieces.append([b'x' * 60_000 for _ in range(500)])\n"
        "pieces, before = [], used()\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "[each.start() for each in threads]; [each.join() for each in threads]\n"
        "peak, end = used(), pieces[-1][-1]\n"
        "pieces.clear(); memory.give_back()\n"
        "assert peak - before > 200 and used() - before < 40, (before, peak, used())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

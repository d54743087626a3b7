"""HTTP to TorchServe: bodies of any length go out whole and with their length, and what breaks off is said so."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from multidict import CIMultiDict
from yarl import URL

import gateway.torchserve.http
from gateway.torchserve.http import PIECE_BYTES, Answer, Busy, HttpClient, Unreachable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\n{}"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ask(serve: Serve, body: list[bytes], seconds: float = 30.0, **headers: str) -> Answer:
    async def test() -> Answer:
        served = asyncio.Event()

        async def serve_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve(reader, writer)
            writer.close()
            await writer.wait_closed()
            served.set()

        server = await asyncio.start_server(serve_once, "127.0.0.1", 0)
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a")
        async with server:
            try:
                async with HttpClient() as client:
                    return await client.request("POST", url, headers=CIMultiDict(headers), body=body, seconds=seconds)
            finally:
                await served.wait()

    return asyncio.run(asyncio.wait_for(test(), 60))


@pytest.mark.parametrize(
    "body",
    [[], [b"x"], [b"ab", b"cd"], [bytes(PIECE_BYTES), b"end"], [bytes(3 * PIECE_BYTES + 1)]],
    ids=lambda body: f"{[len(part) for part in body]}",
)
def test_a_body_arrives_whole_and_with_its_length(body: list[bytes]) -> None:
    heard: list[tuple[str, bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heard.append((head, await reader.readexactly(sum(map(len, body)))))
        writer.write(OK)
        await writer.drain()

    answer = ask(serve, body, X_B="3")
    ((head, got),) = heard
    assert got == b"".join(body)
    lines = {line.lower() for line in head.split("\r\n")[1:] if line}
    assert {line for line in lines if not line.startswith("host")} == {f"content-length: {len(got)}", "x_b: 3"}
    assert (answer.status_code, answer.content, answer.json(), answer.is_error) == (200, b"{}", {}, False)
    assert [value for name, value in answer.raw_headers if name == b"X-A"] == [b"1", b"2"]


def test_what_breaks_off_is_unreachable() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK[:-1])

    with pytest.raises(Unreachable):
        ask(serve, [b"x"])


def test_what_says_nothing_is_unreachable_after_a_while() -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(Unreachable):
        ask(serve, [b"x"], seconds=0.1)


def test_where_nobody_listens() -> None:
    async def test() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            async with HttpClient() as client:
                with pytest.raises(Unreachable):
                    await client.request("GET", URL(f"http://127.0.0.1:{free.getsockname()[1]}/"))

    asyncio.run(test())


def test_where_too_many_requests_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more waits a moment, and the next one gets the place of whoever is answered."""
    monkeypatch.setattr(gateway.torchserve.http, "_MOST_REQUESTS", 2)
    monkeypatch.setattr(gateway.torchserve.http, "_ROOM_SECONDS", 0.02)

    async def test() -> None:
        heard, answering = asyncio.Semaphore(0), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            heard.release()
            await answering.wait()
            writer.write(OK)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a")
        async with server, HttpClient() as client:
            asking = [asyncio.create_task(client.request("GET", url)) for _ in range(2)]
            await heard.acquire()
            await heard.acquire()
            with pytest.raises(Busy):
                await client.request("GET", url)
            answering.set()
            assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200, 200]
            assert (await client.request("GET", url)).status_code == 200

    asyncio.run(asyncio.wait_for(test(), 60))


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [(503, {}, {"Retry-After": "1"}), (503, {"Retry-After": "7"}, {"Retry-After": "7"}), (200, {}, {}), (500, {}, {})],
)
def test_when_to_ask_again(status: int, headers: dict[str, str], told: dict[str, str]) -> None:
    assert Answer(status, (), headers, b"").retry_after == told

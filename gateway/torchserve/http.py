"""HTTP to TorchServe: whole bodies out, whole answers back, over kept-alive connections.

A body is complete here before it goes to TorchServe, and an answer before it goes to the client. TorchServe does the
same on its side, so streaming would save nothing, and a slow client would hold one of its connections. It uses aiohttp,
since a request costs a tenth of httpx's processor time (benchmarks/RESULTS.md, Passing through the gateway).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

#: Longer bodies are written in pieces, so that other requests get their turn, and the connection's buffer stays small.
PIECE_BYTES = 1024 * 1024
#: A worker answers within 60 s or is replaced (handler/model-config.yaml).
ANSWER_SECONDS = 90.0
_CONNECT_SECONDS = 5.0
#: More than TorchServe's queue and workers take at once.
_MOST_REQUESTS = 200
#: How long a request waits for one of these to end.
_ROOM_SECONDS = 0.5
_KEEP_SECONDS = 15.0


class Unreachable(Exception):
    """Nothing answers at the address, or the answer breaks off."""


class Busy(Unreachable):
    """So many requests are under way that there is no room for another one."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; ``raw_headers`` as they came, ``headers`` by name, in any case."""

    status_code: int
    raw_headers: Sequence[tuple[bytes, bytes]]
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_error(self) -> bool:
        return self.status_code >= HTTPStatus.BAD_REQUEST

    @property
    def retry_after(self) -> dict[str, str]:
        """The header that tells when to ask again, if TorchServe or a worker had no room: its own, or a second."""
        if self.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
            return {}
        return {"Retry-After": self.headers.get("Retry-After", "1")}

    def json(self) -> Any:
        """Returns the content, parsed as JSON. Raises ValueError."""
        return json.loads(self.content)


class HttpClient:
    """A pool of HTTP connections: over TCP, or to the Unix socket ``path`` whatever host is asked. Belongs to the event
    loop in which it is entered."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    async def __aenter__(self) -> Self:
        self._room = asyncio.Semaphore(_MOST_REQUESTS)
        keep: dict[str, Any] = {"limit": 0, "keepalive_timeout": _KEEP_SECONDS}
        self._session = aiohttp.ClientSession(
            connector=(
                aiohttp.TCPConnector(**keep) if self._path is None else aiohttp.UnixConnector(str(self._path), **keep)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: CIMultiDict[str] | None = None,
        body: Sequence[bytes] = (),
        seconds: float = ANSWER_SECONDS,
    ) -> Answer:
        """Sends ``body``, which may be in several pieces, and returns the answer. Raises Unreachable if nothing comes
        for ``seconds``, or there is no answer; and Busy, which is one, soon if too many others are waiting."""
        length = sum(map(len, body))
        data: bytes | AsyncIterator[bytes] = b"".join(body)
        if length > PIECE_BYTES:
            headers = CIMultiDict(headers or ())
            headers["Content-Length"] = str(length)
            data = _pieces(body)
        try:
            async with (
                self._place(),
                self._session.request(
                    method, url, headers=headers, data=data, timeout=_timeout(seconds), allow_redirects=False
                ) as response,
            ):
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(str(error)) from error
        return Answer(response.status, response.raw_headers, response.headers, content)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_ROOM_SECONDS):
                await self._room.acquire()
        except TimeoutError as error:
            raise Busy("too many requests are under way") from error
        try:
            yield
        finally:
            self._room.release()


async def _pieces(body: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in body:
        for start in range(0, len(part), PIECE_BYTES):
            yield part[start : start + PIECE_BYTES]


@lru_cache(16)
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=seconds)

"""Reads each request's body to its end before anything else is done for the request.

    Content-Length, then each piece as it arrives ─▶ 413 beyond MAX_BODY_BYTES, or MAX_FIELDS_BYTES of JSON
                                                  ─▶ 503 beyond the budget of all bodies together
                                                  ─▶ 408 if the pieces come too slowly
    the whole body ─▶ the application             ─▶ none if the client leaves before

So a client that sends half a request holds a connection and what it has sent, for a while, and nothing else: no thread,
no connection to TorchServe. No route meets a client that leaves in the middle of a body.
"""

import asyncio
import contextlib
from collections import deque
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contract.amounts import size
from gateway.access.body_budget import BodyBudget
from gateway.errors import RequestRefused
from gateway.statuses import error_response

#: As in config.properties: enough for a picture of 32 MiB in base64.
MAX_BODY_BYTES = 64 * 1024 * 1024
#: Of what is no picture: the longest URL and metadata are shorter, even with every character escaped. Parsing longer
#: JSON takes a second per two megabytes, in which nothing else is done, and many times its bytes of memory.
MAX_FIELDS_BYTES = 1024 * 1024
#: Within this time the next so many bytes, or the rest, must have come: 8 KiB/s.
PATIENCE_SECONDS = 20.0
LEAST_BYTES = 160 * 1024
#: And the whole body within this time.
BODY_SECONDS = 600.0
_LINGER_SECONDS = 30.0
#: Pieces are kept as they came, and joined below this length: many tiny ones would take a hundred times their bytes.
_PIECE_BYTES = 16 * 1024
_CLOSE = {"Connection": "close"}


class WholeBodies:
    """ASGI middleware that passes requests on once their bodies are complete, within ``budget``."""

    def __init__(self, app: ASGIApp, budget: BodyBudget) -> None:
        self._app = app
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reading = _Reading(receive, self._budget, _most_bytes(scope))
        try:
            await reading.whole(Headers(scope=scope).get("content-length", ""))
            await self._app(scope, reading.receive, send)
        except _ClientGone:
            # Nobody reads it; it is for the metrics.
            await Response(status_code=HTTPStatus.BAD_REQUEST)(scope, receive, send)
        except _BodyRefused as error:
            reading.forget()
            await _refuse(error, scope, receive, send)
        finally:
            reading.forget()


class _ClientGone(Exception):
    pass


class _BodyRefused(RequestRefused):
    """A body that isn't read to its end. ``linger``: the client may be sending the rest, so the answer must wait for
    it: if the connection closes meanwhile, the client gets a reset and never sees the answer."""

    def __init__(self, status: HTTPStatus, message: str, *, linger: bool) -> None:
        super().__init__(status, message, _CLOSE)
        self.linger = linger


def _most_bytes(scope: Scope) -> int:
    """Returns how long the body may be. What programs send to /api/ is JSON, which is parsed before anybody asks for a
    key, or a form with a picture; JSON of /api/search may have one too, and is parsed after."""
    path, kind = scope["path"], Headers(scope=scope).get("content-type", "").lower()
    with_picture = ("multipart/form-data", "application/json") if path == "/api/search" else ("multipart/form-data",)
    return MAX_FIELDS_BYTES if path.startswith("/api/") and not kind.startswith(with_picture) else MAX_BODY_BYTES


class _Reading:
    """One request's body: read by ``whole``, given to the application by ``receive``."""

    def __init__(self, receive: Receive, budget: BodyBudget, most: int) -> None:
        self._receive = receive
        self._budget = budget
        self._most = most
        self._pieces: deque[bytes | bytearray] = deque()
        self._length = 0

    async def whole(self, announced: str) -> None:
        """Returns when the body is complete. Raises _BodyRefused, and _ClientGone."""
        if announced.isascii() and announced.isdigit() and int(announced[:18]) > self._most:
            raise self._too_long()
        loop = asyncio.get_running_loop()
        latest, mark = loop.time() + BODY_SECONDS, LEAST_BYTES
        try:
            async with asyncio.timeout(PATIENCE_SECONDS) as patience:
                while await self._more():
                    if self._length >= mark:
                        mark = self._length + LEAST_BYTES
                        patience.reschedule(min(loop.time() + PATIENCE_SECONDS, latest))
        except TimeoutError as error:
            raise _BodyRefused(
                HTTPStatus.REQUEST_TIMEOUT, "the body of the request came too slowly", linger=False
            ) from error

    async def _more(self) -> bool:
        """Reads the next piece. Returns whether there is a further one."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        piece = message.get("body", b"")
        size = len(piece)
        if self._length + size > self._most:
            raise self._too_long()
        if not self._budget.take(size, before=self._length):
            raise _BodyRefused(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests at once: try again", linger=True
            )
        self._length += size
        last = self._pieces[-1] if self._pieces else b""
        if size >= _PIECE_BYTES:
            self._pieces.append(piece)
        elif isinstance(last, bytearray) and len(last) < _PIECE_BYTES:
            last += piece
        else:
            self._pieces.append(bytearray(piece))
        return bool(message.get("more_body", False))

    def _too_long(self) -> _BodyRefused:
        message = f"the request is longer than {size(self._most)}"
        return _BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, linger=True)

    async def receive(self) -> Message:
        """As ASGI's receive: the body, then whatever follows it."""
        if not self._pieces:
            return await self._receive()
        piece = bytes(self._pieces.popleft())
        return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}

    def forget(self) -> None:
        """The body is no longer needed. May be called again."""
        self._pieces.clear()
        self._budget.give_back(self._length)
        self._length = 0


async def _refuse(error: _BodyRefused, scope: Scope, receive: Receive, send: Send) -> None:
    async def unfinished(message: Message) -> None:
        await send({**message, "more_body": message["type"] == "http.response.body"})

    await error_response(error)(scope, receive, unfinished)
    if error.linger:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                await _discard(receive)
    await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    """Read and drop the rest of the body, MAX_BODY_BYTES at most."""
    discarded, more = 0, True
    while more and discarded < MAX_BODY_BYTES:
        message = await receive()
        discarded += len(message.get("body", b""))
        more = message.get("more_body", False)

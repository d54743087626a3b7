"""No request body is longer than what TorchServe takes; FastAPI would read a body of any length before it looks at
the key."""

import asyncio
import contextlib
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import error_body

#: As in config.properties: a picture of 32 MiB as base64, and some.
MAX_BODY_BYTES = 64 * 1024 * 1024
_LINGER_SECONDS = 30.0


class _TooLong(Exception):
    pass


class BodyLimit:
    """ASGI middleware: 413 where a body is, or gets, longer than MAX_BODY_BYTES."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > MAX_BODY_BYTES:
            await _refuse(scope, receive, send)
            return
        received, answering, refused = 0, False, False

        async def counted() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES and not answering:
                refused = True
                await _refuse(scope, receive, send)
                raise _TooLong
            return message

        async def once(message: Message) -> None:
            nonlocal answering
            answering = True
            if not refused:  # what the application makes of the exception comes too late
                await send(message)

        with contextlib.suppress(_TooLong):
            await self._app(scope, counted, once)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and only then stop reading: a client that is still sending when the connection closes is reset by it, and
    never sees why."""
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    body = error_body(status, f"the request is longer than {MAX_BODY_BYTES:,} bytes")

    async def unfinished(message: Message) -> None:
        await send({**message, "more_body": message["type"] == "http.response.body"})

    await JSONResponse(body.model_dump(), status, {"Connection": "close"})(scope, receive, unfinished)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            await _discard(receive)
    await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    """As much again as a body may have, or to its end."""
    discarded, more = 0, True
    while more and discarded < MAX_BODY_BYTES:
        message = await receive()
        discarded += len(message.get("body", b""))
        more = message.get("more_body", False)

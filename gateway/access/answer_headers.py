"""Headers that tell browsers what an answer may do: every answer has them, errors too."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: An answer shown by itself loads nothing, and no site shows it within a page of its own.
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
#: Our page loads this server's own files, and pictures that its script makes.
PAGE = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'"
#: Swagger's script writes styles into the page.
DOCS = f"{PAGE}; style-src 'self' 'unsafe-inline'"


class AnswerHeaders:
    """ASGI middleware that adds them. A route may set another policy for its own page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Content-Security-Policy", NOTHING)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)

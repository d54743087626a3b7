"""This server's own addresses behind a proxy that strips a prefix: ``/hashlake/api/search`` ─▶ ``/api/search``.

The page and /docs use relative addresses, and so do redirects; they work below any prefix. Links in answers begin with
HASHLAKE_ROOT_PATH, since programs put them behind the name of the host.
"""

import posixpath
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ROOT = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def parse_root(text: str) -> str:
    """Returns the prefix in ``text`` as ``/hashlake``; the empty text for none. Raises ValueError for what is none."""
    root = f"/{text.strip().strip('/')}".removesuffix("/")
    if not _ROOT.fullmatch(root):
        raise ValueError("it is no path like /hashlake")
    return root


class RelativeRedirects:
    """ASGI middleware. Routers redirect to a path with or without a slash at the end, by a whole URL: with the host and
    scheme that the proxy speaks, and without its prefix. They become relative to the address that was asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def relative(message: Message) -> None:
            if message["type"] == "http.response.start" and 300 <= message["status"] < 400:
                headers = MutableHeaders(scope=message)
                to = urlsplit(headers.get("location", ""))
                if to.netloc and to.netloc == Headers(scope=scope).get("host"):
                    headers["location"] = _relative(to.path, scope["path"]) + (f"?{to.query}" if to.query else "")
            await send(message)

        await self._app(scope, receive, relative)


def _relative(path: str, asked: str) -> str:
    """Returns ``path`` relative to the address ``asked``."""
    folder, name = posixpath.split(path)
    return f"./{posixpath.relpath(folder, posixpath.dirname(asked))}/{name}"

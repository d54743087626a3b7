"""Sending a file over HTTP: its type by its first bytes, its name, and whether the client has it already."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.access.body_budget import BodyBudget
from gateway.errors import RequestRefused
from pictures.formats import recognised

_TAG = re.compile(r'(?:W/)?("[^"]*")')
_CHUNK = 256 * 1024


def content_type(head: bytes) -> str:
    """Returns the media type of an image file that begins with ``head``, or application/octet-stream.

    The file's name doesn't count: a web page named like a picture goes out as plain bytes.
    """
    known = recognised(head)
    return known.media_type if known else "application/octet-stream"


def content_disposition(path: str) -> str:
    """Returns the header that has a browser show the file, and save it under the last part of ``path`` (RFC 6266, with
    the name as in RFC 5987)."""
    name = PurePosixPath(path).name
    plain = re.sub(r"[^0-9A-Za-z ._-]", "_", name)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def client_has(etag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match names ``etag``, which is in quotes."""
    asked = (if_none_match or "").strip()
    return asked == "*" or etag in _TAG.findall(asked)


class HeldBytes(BytesIO):
    """A file of ``data``, which counts in ``bodies`` until it is closed: clients that read slowly cannot take this
    process's memory. To be closed in the event loop."""

    def __init__(self, data: bytes, bodies: BodyBudget) -> None:
        """Raises RequestRefused (503) if there is no room."""
        if not bodies.take(len(data)):
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "too many pictures are sent at once: try again")
        super().__init__(data)
        self._bodies = bodies
        self._size = len(data)

    def close(self) -> None:
        if not self.closed:
            self._bodies.give_back(self._size)
        super().close()


class OpenFileResponse(StreamingResponse):
    """Sends ``size`` bytes of an open file, a piece at a time; for HEAD, only the headers. Always closes the file."""

    def __init__(self, file: BinaryIO, size: int, headers: dict[str, str]) -> None:
        self._file = file
        super().__init__(_pieces(file, size), headers={**headers, "Content-Length": str(size)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            if scope["method"] == "HEAD":
                await Response(headers=self.headers)(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yields at most ``size`` bytes, even if the file grows; if it shrinks, the server notices the short answer."""
    while size > 0 and (piece := file.read(min(_CHUNK, size))):
        size -= len(piece)
        yield piece

"""A file as HTTP sends it: what it is by its first bytes, what it is called, whether the client has it already."""

import re
from collections.abc import Iterator
from io import BufferedReader
from pathlib import PurePosixPath
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

#: As many first bytes as ``content_type`` needs.
HEAD = 64

_SIGNATURES = (
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "image/bmp"),
    (re.compile(rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]"), "image/tiff"),
    (re.compile(rb"....ftyp(....){0,12}?avi[fs]", re.DOTALL), "image/avif"),
)
_TAG = re.compile(r'(?:W/)?("[^"]*")')
_CHUNK = 256 * 1024


def content_type(head: bytes) -> str:
    """The type of an image file that begins with ``head``; anything else is only bytes.

    Neither the file's name nor a guess counts: a page that calls itself a picture must not become one.
    """
    return next((kind for signature, kind in _SIGNATURES if signature.match(head)), "application/octet-stream")


def content_disposition(path: str) -> str:
    """Show it, and call it as ``path`` ends when it is saved (RFC 6266, with the name as in RFC 5987)."""
    name = PurePosixPath(path).name
    plain = re.sub(r"[^0-9A-Za-z ._-]", "_", name)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def client_has(etag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match names ``etag``, which is in quotes."""
    asked = (if_none_match or "").strip()
    return asked == "*" or etag in _TAG.findall(asked)


class OpenFileResponse(StreamingResponse):
    """The ``size`` bytes of an open file, a piece at a time; only the headers for HEAD. The file is closed whatever
    happens."""

    def __init__(self, file: BufferedReader, size: int, headers: dict[str, str]) -> None:
        self._file = file
        super().__init__(_pieces(file, size), headers={**headers, "Content-Length": str(size)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            if scope["method"] == "HEAD":
                await Response(headers=self.headers)(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)


def _pieces(file: BufferedReader, size: int) -> Iterator[bytes]:
    """No more than was announced, if the file grows; if it shrinks, the server sees that the answer is too short."""
    while size > 0 and (piece := file.read(min(_CHUNK, size))):
        size -= len(piece)
        yield piece

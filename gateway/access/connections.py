"""HTTP connections that end when the client lets them wait; uvicorn's own have no deadline but that of keep-alive.

connected, or the next request's first byte ─▶ the header is complete within HEADER_SECONDS, MAX_HEADER_…
a body                                      ─▶ WholeBodies has its deadlines
an answer                                   ─▶ the client takes some of it every UNREAD_SECONDS
kept alive without a request                ─▶ closed after KEEP_ALIVE_SECONDS
many that wait for their clients            ─▶ those that have waited longest make room for new ones
"""

import json
import resource
from asyncio import BaseTransport, TimerHandle, Transport
from http import HTTPStatus
from itertools import count
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from contract.refusal import error_body
from gateway.access.answer_headers import NOTHING

HEADER_SECONDS = 10.0
MAX_HEADER_BYTES = 64 * 1024
#: Short ones take many times their bytes.
MAX_HEADER_FIELDS = 200
#: In this time a client must take so many bytes of an answer that waits for it: 1 KiB/s.
UNREAD_SECONDS = 60.0
LEAST_BYTES = 60 * 1024
#: Longer than proxies keep theirs (nginx: 60 s): whoever closes first never meets the other's next request.
KEEP_ALIVE_SECONDS = 75
_MOST_CONNECTIONS = 10_000
#: In which order connections began to wait: the loop's clock stands still while it accepts many at once.
_MOMENTS = count(1)


def allow_many_files() -> None:
    """Raise this process's limit of open files, connections among them, as far as it may: shells set it to 1,024."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _MOST_CONNECTIONS
    if now != resource.RLIM_INFINITY and now < wanted:
        new = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (new, most))


def most_connections() -> int:
    """Returns how many connections may be open. Others of the process's files need room too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, files * 3 // 4)


class Connection(HttpToolsProtocol):
    """One connection of a uvicorn server."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_timer: TimerHandle | None = None
        self._unread_timer: TimerHandle | None = None
        self._since = next(_MOMENTS)
        #: Bytes of a header, or of what follows a body, that has come so far.
        self._header_bytes = 0

    @property
    def waiting_since(self) -> int | None:
        """The moment since which it waits for its client, whose request isn't complete or not begun; None while a
        request is being answered."""
        cycle = self.cycle
        waits = self._header_timer is not None or cycle is None or cycle.more_body or cycle.response_complete
        return self._since if waits else None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))
        if len(self.connections) > most_connections():
            self._make_room()
        self._await_header()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._header_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_header()
        self._header_bytes += len(data)
        super().data_received(data)
        if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self._end_with(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's header is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= MAX_HEADER_FIELDS:
            raise ValueError  # ends in send_400_response
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._header_bytes = 0
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._header_bytes = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        if self.headers and len(self.headers) >= MAX_HEADER_FIELDS:
            self._end_with(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request's header has too many fields")
        else:
            self._end_with(HTTPStatus.BAD_REQUEST, "this is no HTTP request")

    def on_response_complete(self) -> None:
        self._since = next(_MOMENTS)
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        super().resume_writing()

    def _await_header(self) -> None:
        self._since, self._header_bytes = next(_MOMENTS), 0
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _await_reader(self, unread: int) -> None:
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self._require_reader, unread)

    def _require_reader(self, unread: int) -> None:
        left = self.transport.get_write_buffer_size()
        if unread - left < LEAST_BYTES:
            self.transport.abort()  # close() would wait for the reader
        else:
            self._await_reader(left)

    def _cancel_timers(self) -> None:
        for timer in (self._header_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        self._header_timer = self._unread_timer = None

    def _make_room(self) -> None:
        """End the older half of the connections that wait for their clients."""
        others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
        waiting = [each for each in others if each.waiting_since is not None]
        waiting.sort(key=lambda each: each.waiting_since or 0)
        for each in waiting[: (len(waiting) + 1) // 2]:
            each.transport.abort()

    def _end_with(self, status: HTTPStatus, message: str) -> None:
        body = json.dumps(error_body(status, message).model_dump()).encode()
        head = (
            f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Content-Type-Options: nosniff\r\nContent-Security-Policy: {NOTHING}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()

"""HTTP/1.1 connections to addresses that have been checked: one question at a time, kept open for the next one.

h11 knows the protocol and asyncio the sockets. In between there is nothing that looks up names, follows redirects,
keeps cookies or reads proxies from the environment; and a picture costs an eighth of httpx's processor time.
"""

import asyncio
import ssl
import time
from collections.abc import Sequence
from typing import Self

import h11

from gateway.addresses import Address
from gateway.links import Link

#: For each address that is tried, with the TLS handshake.
CONNECT_SECONDS = 5.0
#: Between two pieces of an answer.
SILENCE_SECONDS = 10.0
#: An idle connection is used again for so long. Servers close theirs after 5 s or later.
KEEP_SECONDS = 4.0
#: Bytes of the answer's head.
_MOST_HEAD = 64 * 1024
#: "100 Continue" and its like, of which nobody sends more than one or two.
_MOST_INTERIM = 10
_PIECE = 64 * 1024
#: An answer in crumbs costs much work for few bytes: past so many pieces, they must have so many bytes on average.
_MOST_CRUMBS, _CRUMB = 2000, 256


class BrokenConnection(Exception):
    """The message says what the server did, as "sends no proper HTTP answer": its name goes before it."""


class SilentServer(BrokenConnection):
    """It keeps the connection open, and sends nothing."""


class Connection:
    """One to the server of a link's scheme, host and port, which are its ``origin``."""

    def __init__(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.origin = link.origin
        self.idle_since = 0.0
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD)

    @classmethod
    async def open(cls, link: Link, addresses: Sequence[Address], tls: ssl.SSLContext | None) -> Self:
        """To the first of ``addresses`` that answers, and to nothing else. TLS is with the name of the link's host.

        Raises BrokenConnection when no address answers, and when TLS fails: a certificate isn't that host's, for one.
        """
        assert (tls is not None) == (link.scheme == "https")
        name = str(link.host) if tls else None
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    reader, writer = await asyncio.open_connection(
                        str(address), link.port, limit=_PIECE, ssl=tls, server_hostname=name
                    )
                return cls(link, reader, writer)
            except ssl.SSLCertVerificationError as error:
                raise BrokenConnection(f"has a certificate that cannot be trusted: {error.verify_message}") from error
            except ssl.SSLError as error:
                raise BrokenConnection("speaks no proper TLS") from error
            except (OSError, TimeoutError):
                continue
        raise BrokenConnection("cannot be reached")

    async def ask(self, link: Link, headers: Sequence[tuple[str, str]]) -> h11.Response:
        """Send GET for ``link``, and read the answer up to its body. Raises BrokenConnection."""
        request = h11.Request(method="GET", target=link.target, headers=[("Host", link.authority), *headers])
        self._writer.write((self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b""))
        for _ in range(_MOST_INTERIM):
            if isinstance(event := await self._event(), h11.Response):
                return event
        raise BrokenConnection("sends no proper HTTP answer")

    async def body(self, most: int) -> bytes:
        """The answer's body. Raises BrokenConnection, also when there are over ``most`` bytes."""
        pieces: list[bytes] = []
        length = 0
        while isinstance(event := await self._event(), h11.Data):
            pieces.append(event.data)
            length += len(event.data)
            if length > most:
                raise BrokenConnection(f"sends more than {most:,} bytes")
            if len(pieces) > max(_MOST_CRUMBS, length // _CRUMB):
                raise BrokenConnection("sends its answer in pieces that are too small")
        return b"".join(pieces)

    def again(self) -> bool:
        """Get ready for the next question. False: this connection cannot be asked again."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False  # not read to the end, or the server wants it closed
        if self._http.trailing_data != (b"", False) or self._reader.at_eof():
            return False
        self._http.start_next_cycle()
        return True

    def close(self) -> None:
        self._writer.transport.abort()

    async def _event(self) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout(SILENCE_SECONDS):
                    self._http.receive_data(await self._reader.read(_PIECE))
        except TimeoutError as error:
            raise SilentServer(f"sent nothing for {SILENCE_SECONDS:g} s") from error
        except OSError as error:
            raise BrokenConnection("broke the connection off") from error
        except h11.RemoteProtocolError as error:
            raise BrokenConnection(
                "broke the connection off" if self._reader.at_eof() else "sends no proper HTTP answer"
            ) from error
        return event


class IdleConnections:
    """Those that may be asked again, the last used one last; no more than ``most``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[Connection] = []
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, link: Link) -> Connection | None:
        """One to the link's origin, if there is one; it isn't kept any more."""
        for place in reversed(range(len(self._kept))):
            if self._kept[place].origin == link.origin:
                return self._kept.pop(place)
        return None

    def keep(self, connection: Connection) -> None:
        """Until it is taken, or for KEEP_SECONDS. One that cannot be asked again is closed."""
        if not connection.again():
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._kept.append(connection)
        if len(self._kept) > self._most:
            self._kept.pop(0).close()
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._close_old)

    def close(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        while self._kept:
            self._kept.pop().close()

    def _close_old(self) -> None:
        now = time.monotonic()
        while self._kept and now - self._kept[0].idle_since >= KEEP_SECONDS:
            self._kept.pop(0).close()
        self._sweep = None
        if self._kept:
            wait = self._kept[0].idle_since + KEEP_SECONDS - now
            self._sweep = asyncio.get_running_loop().call_later(wait, self._close_old)

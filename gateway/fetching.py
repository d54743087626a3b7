"""Downloading pictures by URLs that clients name.

    URL ─▶ parts (links) ─▶ may the host be asked? ─▶ its addresses, looked up once ─▶ may each be reached? (addresses)
        ─▶ a connection to exactly those (connections) ─▶ the body, within the limits; a redirect starts over

So an answer of the name server that changes between two look-ups changes nothing: there is no second look-up. What a
refusal says is for the client: it doesn't tell a name that nobody knows from one of the network behind this machine.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from importlib.metadata import version
from ipaddress import ip_address
from typing import Self
from urllib.parse import urljoin

import certifi
import h11

from gateway.addresses import Address, Reach
from gateway.connections import BrokenConnection, Connection, IdleConnections, SilentServer
from gateway.links import Link, parse_link

#: Threads that wait for name servers. Slow ones hold up other look-ups, and nothing else of the gateway.
_LOOKUPS = 16
#: A name may stand for hundreds of addresses; so many are tried.
_TRIED_ADDRESSES = 4
_REDIRECTS = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}
#: Compressed answers aren't asked for, and not unpacked: pictures are compressed already, and small bodies may unpack
#: to endless ones. Other values of Content-Encoding are mistakes that are common and harmless.
_COMPRESSIONS = {"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"}


class FetchRefused(Exception):
    """A picture that isn't downloaded; the message says why, in one line, for the client."""


@dataclass(frozen=True)
class FetchLimits:
    """``bytes`` of the picture, ``seconds`` for all of a download, with its redirects; ``per_host`` and ``in_all``
    downloads at one time, others wait (which doesn't count as time). As many connections may be idle besides."""

    reach: Reach = field(default_factory=Reach)
    bytes: int = 32 * 1024 * 1024
    seconds: float = 20.0
    redirects: int = 5
    per_host: int = 8
    in_all: int = 24  # each of up to 32 MiB, in memory


@dataclass(frozen=True)
class Fetched:
    """A file, and what the server says of its version (ETag and Last-Modified, as it spelled them)."""

    data: bytes
    etag: str | None
    last_modified: str | None


class Fetcher:
    """Downloads within ``limits``; to be used in one event loop. Certificates are trusted as the system trusts them
    (SSL_CERT_FILE adds a private authority), and those of certifi."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
        self._headers = (
            ("User-Agent", f"hashlake/{version('hashlake')}"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
        )
        self._idle = IdleConnections(limits.in_all)
        self._all = asyncio.Semaphore(limits.in_all)
        self._hosts: dict[str | Address, _Turns] = {}
        self._lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="look-up")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Reading all authorities takes a while, and those who fetch by http alone don't need it.
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        return context

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._idle.close()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def fetch(self, url: str) -> Fetched:
        """The file at ``url``. Raises FetchRefused."""
        came_by = ""
        seconds = self._limits.seconds
        for _ in range(self._limits.redirects + 1):
            try:
                link = self._allowed(url)
                answer, seconds = await self._in_turn(link, seconds)
            except FetchRefused as error:
                raise FetchRefused(f"{came_by}{error}") from error
            if isinstance(answer, Fetched):
                return answer
            url = answer
            came_by = f"{link.host} redirects, and "
        raise FetchRefused(f"there are more than {self._limits.redirects} redirects")

    def _allowed(self, url: str) -> Link:
        try:
            link = parse_link(url)
        except ValueError as error:
            raise FetchRefused(str(error)) from error
        if not self._limits.reach.host(link.host):
            raise FetchRefused(f"the host {link.host} may not be asked")
        return link

    async def _in_turn(self, link: Link, seconds: float) -> tuple[Fetched | str, float]:
        """What ``_ask`` finds within ``seconds`` from when it is the link's turn, and the seconds that are left."""
        clock = asyncio.get_running_loop().time
        try:
            async with self._turn(link.host):
                began = clock()
                async with asyncio.timeout(seconds):
                    answer = await self._ask(link)
                return answer, seconds - (clock() - began)
        except TimeoutError as error:
            raise FetchRefused(f"{link.host} took longer than {self._limits.seconds:g} s") from error
        except BrokenConnection as error:
            raise FetchRefused(f"{link.host} {error}") from error

    async def _ask(self, link: Link) -> Fetched | str:
        """The file, or the URL that ``link`` redirects to."""
        connection, head = await self._head(link)
        try:
            return await self._answer(link, connection, head)
        finally:
            self._idle.keep(connection)

    async def _head(self, link: Link) -> tuple[Connection, h11.Response]:
        """The beginning of the answer, and the connection with the rest of it."""
        if connection := self._idle.take(link):
            try:
                return connection, await self._asked(connection, link)
            except SilentServer:
                raise
            except BrokenConnection:
                pass  # the server has closed it meanwhile, as it may
        tls = self._tls if link.scheme == "https" else None
        connection = await Connection.open(link, await self._addresses(link), tls)
        return connection, await self._asked(connection, link)

    async def _asked(self, connection: Connection, link: Link) -> h11.Response:
        try:
            return await connection.ask(link, self._headers)
        except BaseException:
            connection.close()
            raise

    async def _addresses(self, link: Link) -> list[Address]:
        """The addresses of the link's host, every one of which may be reached."""
        if not isinstance(host := link.host, str):
            return [host]  # which has been judged already
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._lookups, lambda: socket.getaddrinfo(host, link.port, type=socket.SOCK_STREAM)
            )
        except OSError:
            found = []
        addresses = list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))
        if not addresses or not all(self._limits.reach.address(address) for address in addresses):
            raise FetchRefused(f"the host {host} is unknown, or its address may not be reached")
        return addresses[:_TRIED_ADDRESSES]

    async def _answer(self, link: Link, connection: Connection, head: h11.Response) -> Fetched | str:
        headers = {name: value.decode(errors="replace") for name, value in head.headers}
        if head.status_code in _REDIRECTS and b"location" in headers:
            try:
                return urljoin(str(link), headers[b"location"])
            except ValueError as error:  # brackets that don't fit
                raise FetchRefused(f"{link.host} redirects to what is no URL") from error
        if head.status_code != HTTPStatus.OK:
            raise FetchRefused(f"{link.host} answers with status {head.status_code}")
        encodings = headers.get(b"content-encoding", "").lower().split(",")
        if _COMPRESSIONS.intersection(encoding.strip() for encoding in encodings):
            raise FetchRefused(f"{link.host} sends compressed data, which wasn't asked for")
        if int(headers.get(b"content-length", 0)) > self._limits.bytes:  # h11 has seen that it is a number
            raise BrokenConnection(f"sends more than {self._limits.bytes:,} bytes")
        data = await connection.body(self._limits.bytes)
        return Fetched(data, headers.get(b"etag"), headers.get(b"last-modified"))

    @asynccontextmanager
    async def _turn(self, host: str | Address) -> AsyncIterator[None]:
        """Wait until another download from ``host`` may begin, and hold its place."""
        turns = self._hosts.setdefault(host, _Turns(asyncio.Semaphore(self._limits.per_host)))
        turns.users += 1
        try:
            async with turns.free, self._all:
                yield
        finally:
            turns.users -= 1
            if not turns.users:
                del self._hosts[host]


@dataclass
class _Turns:
    """Downloads from one host: places that are ``free``, and how many have one or wait for one."""

    free: asyncio.Semaphore
    users: int = 0

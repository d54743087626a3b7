"""HTTP sessions that reach only checked addresses, one for each host. aiohttp speaks the protocol.

    host's name ─▶ CheckedResolver: looked up once, every address checked ─▶ a connection to exactly these

The sessions follow no redirects, keep no cookies, unpack no bodies, and read no proxies from the environment.
"""

import asyncio
import socket
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, ip_address

import aiohttp
import certifi
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_reqrep import ClientResponse
from aiohttp.connector import Connection

from sources.fetching.addresses import Address, Reach

#: Time to connect to each address that is tried, including the TLS handshake.
CONNECT_SECONDS = 5.0
#: Longest wait between two pieces of an answer.
SILENCE_SECONDS = 10.0
#: How long an idle connection is kept for reuse. Servers close theirs after 5 s or later.
KEEP_SECONDS = 4.0
#: Threads that wait for name servers. Slow servers delay other look-ups, but nothing else in the gateway.
_LOOKUPS = 16
#: A name may have hundreds of addresses; only this many are tried.
_TRIED_ADDRESSES = 4
#: Longest line in the answer's head, in bytes.
_MOST_HEAD = 64 * 1024
#: Most heads of one answer: "100 Continue" and the like, of which servers send one or two, and then the final one.
_MOST_HEADS = 10
_PIECE = 64 * 1024


class OutOfReach(Exception):
    """A host that is unknown, or has an address that may not be reached."""


class EndlessHeads(Exception):
    """A server that sends interim answers ("100 Continue") without end."""


class CheckedResolver(AbstractResolver):
    """Looks up the addresses of a host, and refuses the host unless ``reach`` allows all of them."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._threads = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="look-up")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Returns the first 4 addresses. Raises OutOfReach if ``host`` has none, or any that may not be reached."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
            )
        except OSError:
            found = []
        addresses = list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))
        if not addresses or not all(self._reach.address(address) for address in addresses):
            raise OutOfReach(host)
        return [_resolved(host, address, port) for address in addresses[:_TRIED_ADDRESSES]]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass
class _Host:
    """A host's ``session`` with its connections, its ``free`` places, and how many users have or await a place."""

    session: aiohttp.ClientSession
    free: asyncio.Semaphore
    users: int = 0


class HostSessions:
    """A session for each host in use, with ``per_host`` downloads at a time, and for the ``idle`` hosts used last.
    Trusts the system's certificate authorities (SSL_CERT_FILE adds a private one) and those of certifi."""

    def __init__(self, reach: Reach, headers: Mapping[str, str], per_host: int, idle: int) -> None:
        self._resolver = CheckedResolver(reach)
        self._headers = headers
        self._per_host = per_host
        self._most_idle = idle
        self._hosts: OrderedDict[str | Address, _Host] = OrderedDict()

    @asynccontextmanager
    async def turn(self, host: str | Address) -> AsyncIterator[aiohttp.ClientSession]:
        """Waits for a free place at ``host``; yields its session."""
        known = self._hosts.get(host)
        if known is None:
            known = self._hosts[host] = _Host(self._session(), asyncio.Semaphore(self._per_host))
        known.users += 1
        try:
            async with known.free:
                yield known.session
        finally:
            known.users -= 1
            self._hosts.move_to_end(host)
            await self._close_oldest()

    async def close(self) -> None:
        for each in self._hosts.values():
            await each.session.close()
        await self._resolver.close()

    async def _close_oldest(self) -> None:
        """Close the sessions of the hosts asked longest ago."""
        idle = [host for host, each in self._hosts.items() if not each.users]
        for host in idle[: max(0, len(idle) - self._most_idle)]:
            await self._hosts.pop(host).session.close()

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            use_dns_cache=False,
            limit=self._per_host,
            keepalive_timeout=KEEP_SECONDS,
            happy_eyeballs_delay=None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=_Response,
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_PIECE,
            max_line_size=_MOST_HEAD,
            max_field_size=_MOST_HEAD,
        )

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The TLS settings for https, made at first use: loading all authorities takes a while, and http needs none."""
        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
        return context


class _Response(ClientResponse):
    """A response that limits interim answers: aiohttp would read "100 Continue" for as long as it comes."""

    async def start(self, connection: Connection) -> "ClientResponse":
        protocol = connection.protocol
        assert protocol is not None
        read, heads = protocol.read, 0

        async def counted() -> object:
            nonlocal heads
            heads += 1
            if heads > _MOST_HEADS:
                raise EndlessHeads
            return await read()

        protocol.read = counted  # type: ignore[method-assign, assignment]
        try:
            return await super().start(connection)
        finally:
            protocol.read = read  # type: ignore[method-assign]


def _resolved(host: str, address: Address, port: int) -> ResolveResult:
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(
        hostname=host, host=str(address), port=port, family=family, proto=socket.IPPROTO_TCP, flags=flags
    )

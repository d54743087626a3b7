"""Who may do what: FastAPI dependencies that let a request with the right API key pass, and refuse the others.

    key = presented_key(request)     X-API-Key, or Authorization: Bearer
    400 two different keys    401 no key, or one that is unknown or revoked    403 a search key where an admin's is due
    429 an address that tried too many wrong keys    503 the file of the keys cannot be read

A route takes ``Annotated[ApiKey, Depends(require_admin)]`` or ``Annotated[ApiKey | None, Depends(require_search)]``.
The application's state gives ``keys`` (KeyStore), ``failed_tries`` (FailedTries) and ``settings``.
"""

import ipaddress
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from anyio import to_thread
from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from gateway.errors import GatewayError, RequestRefused
from gateway.keys import ApiKey, KeyStore

_log = logging.getLogger(__name__)

# What the OpenAPI document says of the two ways to send a key; presented_key reads both itself.
_Header = Annotated[str | None, Security(APIKeyHeader(name="X-API-Key", auto_error=False))]
_Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class FailedTries:
    """The wrong keys of the last minute, per client address: after 10 of them the address has to wait.

    A sliding window: as soon as the oldest of the 10 is a minute old, one more try is free. Kept in memory, for the
    4,096 addresses that failed last. Threads may share it; tries that are under way at the same time are not counted
    before they fail, so a few more than 10 can happen, as many as requests are answered at once.
    """

    LIMIT = 10
    SECONDS = 60.0
    ADDRESSES = 4096

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}  # per address, in the order of their last failures
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._times)

    def wait(self, address: str) -> float:
        """Seconds until ``address`` may try a key; 0 when it may now."""
        with self._lock:
            times = self._times.get(address)
            if times is None or len(times) < self.LIMIT:
                return 0.0
            return max(0.0, times[0] + self.SECONDS - self._clock())

    def add(self, address: str) -> None:
        """``address`` tried a wrong key just now."""
        with self._lock:
            times = self._times.pop(address, None) or deque(maxlen=self.LIMIT)
            times.append(self._clock())
            self._times[address] = times
            if len(self._times) > self.ADDRESSES:
                del self._times[next(iter(self._times))]


def presented_key(request: Request) -> str | None:
    """The key that the request brings, whatever it is worth; None without one.

    It stands in ``X-API-Key``, or behind ``Authorization: Bearer``; in both when they agree. RequestRefused (400) for
    different ones: nobody can say which was meant.
    """
    presented = set(request.headers.getlist("X-API-Key"))
    for authorization in request.headers.getlist("Authorization"):
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() == "bearer":  # another scheme is a proxy's business
            presented.add(credentials.strip())
    presented.discard("")
    if len(presented) > 1:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "the request brings several API keys: send one")
    return presented.pop() if presented else None


def client_address(request: Request) -> str:
    """Where the connection comes from: an IPv4 address, or the /64 network of an IPv6 one, which a client has whole.

    X-Forwarded-For is not looked at: any client can write it. Behind a proxy that is trusted, the server that runs
    this application (uvicorn, ``--forwarded-allow-ips``) is told so and sets the connection's address by it.
    """
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket has none
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), 64), strict=False))


# A key is looked up in the thread pool, where SQLite may block.


def require_admin(request: Request, _header: _Header, _bearer: _Bearer) -> ApiKey:
    """The admin key that the request brings. RequestRefused without one."""
    key = _valid_key(request)
    if key.role != "admin":
        raise RequestRefused(HTTPStatus.FORBIDDEN, "this takes an admin key, and the request brings a search key")
    return key


async def require_search(request: Request, _header: _Header, _bearer: _Bearer) -> ApiKey | None:
    """The key, of either role, that the request brings. RequestRefused without one.

    None where searching needs no key (HASHLAKE_SEARCH_NEEDS_KEY); a key is then not even looked at.
    """
    if not request.app.state.settings.search_needs_key:
        return None  # and no thread is taken for it
    return await to_thread.run_sync(_valid_key, request)


async def require_changeable(request: Request) -> None:
    """RequestRefused where collections are only read (HASHLAKE_COLLECTIONS_READ_ONLY), as by servers on several
    machines: their journals are safe on one."""
    if request.app.state.settings.collections_read_only:
        raise RequestRefused(HTTPStatus.FORBIDDEN, "the collections of this server are read-only")


async def require_own_site(request: Request) -> None:
    """RequestRefused for what a page of another site has a browser send: where no key is asked, such a page could
    change things in the name of whoever looks at it. Programs send no Origin."""
    origin = request.headers.get("Origin")
    hosts = {request.headers.get("Host"), request.headers.get("X-Forwarded-Host")}  # no such page can set either
    if origin is not None and origin.partition("://")[2] not in hosts:
        raise RequestRefused(HTTPStatus.FORBIDDEN, "pages of other sites may not ask here")


def _valid_key(request: Request) -> ApiKey:
    text = presented_key(request)
    if text is None:
        raise RequestRefused(
            HTTPStatus.UNAUTHORIZED, "this takes an API key: send it as X-API-Key or as a bearer token", _CHALLENGE
        )
    keys: KeyStore = request.app.state.keys
    tries: FailedTries = request.app.state.failed_tries
    address = client_address(request)
    wait = math.ceil(tries.wait(address))
    if wait:  # whatever the key: an answer would say whether it is right
        raise RequestRefused(
            HTTPStatus.TOO_MANY_REQUESTS,
            f"too many wrong API keys came from this address: try again in {wait} s",
            {"Retry-After": str(wait)},
        )
    try:
        key = keys.find(text)
    except GatewayError as error:
        _log.error("%s", error)
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "API keys cannot be checked at the moment") from error
    if key is None:
        tries.add(address)
        raise RequestRefused(HTTPStatus.UNAUTHORIZED, "the API key is unknown or revoked", _CHALLENGE)
    return key

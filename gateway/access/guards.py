"""Who may do what: FastAPI dependencies that let a request with the right API key pass, and refuse the others.

    key = presented_key(request)     X-API-Key, or Authorization: Bearer
    400 two different keys    401 no key, or an unknown or revoked one    403 a search key where an admin key is needed
    429 a wrong key, after too many of them from this address    503 the keys file cannot be read

A route takes ``Annotated[ApiKey, Depends(require_admin)]`` or ``Annotated[ApiKey | None, Depends(require_search)]``.
Code that runs outside FastAPI's dependencies awaits ``check_search_key`` instead.
"""

import logging
import math
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Annotated

from anyio import to_thread
from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from gateway.access.hosts import is_own, without_port
from gateway.access.keys import ApiKey
from gateway.access.proxies import client_of
from gateway.errors import GatewayError, RequestRefused
from gateway.services import services_of

_log = logging.getLogger(__name__)

# These only put the two ways to send a key, and the role that it must have, into the OpenAPI document; presented_key
# reads the headers itself.
_HEADER, _BEARER = APIKeyHeader(name="X-API-Key", auto_error=False), HTTPBearer(auto_error=False)
_Header = Annotated[str | None, Security(_HEADER)]
_Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
_AdminHeader = Annotated[str | None, Security(_HEADER, scopes=["admin"])]
_AdminBearer = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER, scopes=["admin"])]

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def presented_key(request: Request) -> str | None:
    """Returns the request's key, unchecked, or None if it has none.

    The key is in ``X-API-Key`` or ``Authorization: Bearer``, or the same key in both. Raises RequestRefused (400) for
    different keys, since nobody can say which was meant.
    """
    presented = set(request.headers.getlist("X-API-Key"))
    for authorization in request.headers.getlist("Authorization"):
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() == "bearer":  # other schemes are for a proxy in front
            presented.add(credentials.strip())
    presented.discard("")
    if len(presented) > 1:
        raise RequestRefused(
            HTTPStatus.BAD_REQUEST, "the request brings several API keys: send one", reason="several_keys"
        )
    return presented.pop() if presented else None


def client_address(request: Request) -> str:
    """Returns the client's IPv4 address, or the /64 network of its IPv6 address, all of which one client may have.

    Of X-Forwarded-For and Forwarded, only what trusted proxies wrote counts (HASHLAKE_TRUSTED_PROXIES).
    """
    peer = request.client.host if request.client else ""
    host = client_of(peer, request.headers, services_of(request).settings.trusted_proxies)
    try:
        address = ip_address(host)
    except ValueError:  # a Unix socket has none
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), 64), strict=False))


# Keys are looked up in the thread pool, since SQLite may block.


def require_admin(request: Request, _header: _AdminHeader, _bearer: _AdminBearer) -> ApiKey:
    """Returns the request's admin key. Raises RequestRefused if it has none."""
    key = _valid_key(request)
    if key.role != "admin":
        raise RequestRefused(
            HTTPStatus.FORBIDDEN,
            "this takes an admin key, and the request brings a search key",
            reason="admin_key_needed",
        )
    return key


async def require_search(request: Request, _header: _Header, _bearer: _Bearer) -> ApiKey | None:
    """Returns the request's key, of either role. Raises RequestRefused if it has none.

    Returns None where searching needs no key (HASHLAKE_SEARCH_NEEDS_KEY); a key is then not even checked.
    """
    return await check_search_key(request)


async def check_search_key(request: Request) -> ApiKey | None:
    """Like ``require_search``, for code outside FastAPI's dependencies."""
    if not services_of(request).settings.search_needs_key:
        return None  # without taking a thread
    return await to_thread.run_sync(_valid_key, request)


async def require_changeable(request: Request) -> None:
    """Raises RequestRefused (403) if collections are read-only (HASHLAKE_COLLECTIONS_READ_ONLY), as when several
    machines serve them: a journal is safe only if one machine writes it."""
    if services_of(request).settings.collections_read_only:
        raise RequestRefused(HTTPStatus.FORBIDDEN, "the collections of this server are read-only", reason="read_only")


async def require_own_site(request: Request) -> None:
    """Raises RequestRefused (403) for requests that another site's page makes a browser send: where no key is needed,
    such a page could change things on behalf of its visitor. Programs send no Origin. HASHLAKE_ALLOWED_ORIGINS has the
    sites that may."""
    origin = request.headers.get("Origin")
    if origin is None or without_port(origin.lower()) in services_of(request).settings.allowed_origins:
        return
    # A page cannot set the first; for the second its browser would ask first, and be refused.
    hosts = {host for name in ("Host", "X-Forwarded-Host") if (host := request.headers.get(name))}
    if not is_own(origin, hosts):
        raise RequestRefused(HTTPStatus.FORBIDDEN, "pages of other sites may not ask here", reason="other_site")


def _valid_key(request: Request) -> ApiKey:
    text = presented_key(request)
    if text is None:
        raise RequestRefused(
            HTTPStatus.UNAUTHORIZED, "this takes an API key: send it as X-API-Key or as a bearer token", _CHALLENGE
        )
    services = services_of(request)
    keys, tries = services.keys, services.failed_tries
    # A right key always passes, whatever others sent from the same address: that it does reveals a key only to those
    # who guess 192 random bits.
    try:
        key = keys.find(text)
    except GatewayError as error:
        _log.error("%s", error)
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "API keys cannot be checked at the moment") from error
    if key is None:
        wait = math.ceil(tries.add(client_address(request)))
        if wait:
            raise RequestRefused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"too many wrong API keys came from this address: try again in {wait} s",
                {"Retry-After": str(wait)},
            )
        raise RequestRefused(
            HTTPStatus.UNAUTHORIZED, "the API key is unknown or revoked", _CHALLENGE, reason="key_unknown"
        )
    return key

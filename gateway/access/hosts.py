"""Which names this server answers to, and which other sites' pages may ask it.

A page of another site may point its own name at this machine once it is loaded (DNS rebinding): the browser then
takes this server for the page's own, and lets it read every answer. Such a request has the page's name in its Host
header. So requests are answered only under names that no stranger can own, and those in HASHLAKE_ALLOWED_HOSTS.
"""

import re
import socket
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.address import bare_host
from gateway.errors import RequestRefused
from gateway.statuses import error_response
from sources.fetching.addresses import HostList, parse_host

_HOST = re.compile(r"(\[[^]]*\]|[^:\[\]]*)(?::[0-9]{1,5})?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?")
_PORTS = {"http": ":80", "https": ":443"}
#: Names below these belong to one machine or one network: RFC 6761, ICANN's resolution of 2024-07-29, Kubernetes.
_PRIVATE = (".localhost", ".internal", ".svc", ".svc.cluster.local")


@dataclass(frozen=True)
class AllowedHosts:
    """Hosts that requests may be for: addresses, names without a dot, names of private networks, and ``listed``; or
    ``every`` host."""

    listed: HostList = field(default_factory=HostList)
    every: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the list in ``text``, separated by commas: ``example.org, *.example.org``, or ``*`` for every host.

        Raises ValueError, in one line, for an entry that is no host.
        """
        entries = [entry.strip() for entry in text.split(",")]
        listed = HostList.parse(",".join(bare_host(entry) for entry in entries if entry != "*"))
        return cls(listed, "*" in entries)

    def allow(self, header: str) -> bool:
        """Whether a request with this Host header is answered."""
        if self.every:
            return True
        parts = _HOST.fullmatch(header)
        try:
            host = parse_host(parts[1] if parts else "")
        except ValueError:
            return False
        # No name server gives an address another meaning, and none on the internet knows a name without a dot.
        return not isinstance(host, str) or "." not in host or host.endswith(_PRIVATE) or self.listed.has_host(host)

    def with_names(self, *names: str) -> "AllowedHosts":
        """Returns these hosts and ``names``; what is no name is left out."""
        own = {name.lower().removesuffix(".") for name in names if "*" not in name}
        listed = HostList(self.listed.names | own, self.listed.parents, self.listed.networks)
        return AllowedHosts(listed, self.every)


def own_names() -> tuple[str, str]:
    """Returns the names that this machine has in its own network."""
    name = socket.gethostname()
    return name, f"{name}.local"


class KnownHosts:
    """ASGI middleware that answers 421 to requests for hosts that ``allowed`` doesn't have. Those without a Host header
    pass: browsers always send one."""

    def __init__(self, app: ASGIApp, allowed: AllowedHosts) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for host in Headers(scope=scope).getlist("host"):
                if not self._allowed.allow(host):
                    message = f"this server does not answer to {host[:253]!r}: HASHLAKE_ALLOWED_HOSTS has its names"
                    refused = RequestRefused(HTTPStatus.MISDIRECTED_REQUEST, message)
                    await error_response(refused)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def parse_origins(text: str) -> tuple[str, ...]:
    """Returns the origins in ``text``, separated by commas, as browsers spell them: ``https://app.example.org``.

    Raises ValueError, in one line, for what is no origin. There is no sign for all of them: the Idios port asks for no
    key.
    """
    found = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        origin = without_port(entry.lower().removesuffix("/"))
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{entry!r} is no origin; one reads https://app.example.org")
        found.append(origin)
    return tuple(found)


def without_port(origin: str) -> str:
    """Returns ``origin`` without the port that its scheme has anyway, as browsers spell it."""
    return origin.removesuffix(_PORTS.get(urlsplit(origin).scheme, "/"))


def is_own(origin: str, hosts: set[str]) -> bool:
    """Whether a page of ``origin`` came from one of ``hosts``, Host headers."""
    scheme, _, own = without_port(origin.lower()).partition("://")
    return own != "" and any(own == host.lower().removesuffix(_PORTS.get(scheme, "/")) for host in hosts)

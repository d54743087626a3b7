"""A client's URL, taken apart once and strictly.

Every later step works with the parts: nothing reads the URL a second time, and perhaps in another way. What programs
are known to read differently (a user name, a backslash or a percent sign in the host, control characters) is refused.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Address
from urllib.parse import quote

from gateway.addresses import Address, parse_host

_MOST_CHARACTERS = 8192
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+)(?::([0-9]{0,5}))?")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_PORTS = {"http": 80, "https": 443}
#: Below are mail, shells, file shares: services that a request may confuse, and none that serves pictures.
_FIRST_FREE_PORT = 1024
#: What may stand in a path or a query as it is; the rest becomes %XX, as in browsers.
_PLAIN = "%/:?[]@!$&'()*+,;=~|"


@dataclass(frozen=True)
class Link:
    """A URL of http or https: its host as ``parse_host`` gives it, and as ``target`` the path with the query."""

    scheme: str
    host: str | Address
    port: int
    target: str

    @cached_property
    def authority(self) -> str:
        """The host, with the port where it isn't the usual one: ``example.org:8080``, ``[::1]``."""
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str | Address, int]:
        return self.scheme, self.host, self.port

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_link(url: str) -> Link:
    """The parts of ``url``. Raises ValueError, whose one line says what is wrong and doesn't repeat the URL."""
    if len(url) > _MOST_CHARACTERS:
        raise ValueError(f"the URL has more than {_MOST_CHARACTERS:,} characters")
    if _CONTROL.search(url):
        raise ValueError("the URL has control characters")
    if not (parts := _URL.fullmatch(url)):
        raise ValueError("the URL must begin with http:// or https://")
    scheme = parts[1].lower()
    if "@" in parts[2]:
        raise ValueError("the URL has a user name or a password, which are not sent")
    if not (authority := _AUTHORITY.fullmatch(parts[2])):
        raise ValueError("the URL has no valid host and port")
    port = int(authority[2] or _PORTS[scheme])
    if port not in _PORTS.values() and not _FIRST_FREE_PORT <= port <= 65535:
        raise ValueError(f"port {port} is not asked for pictures; 80, 443 and those from {_FIRST_FREE_PORT} on are")
    try:
        host = parse_host(authority[1])
        target = quote((parts[3] or "/") + (parts[4] or ""), safe=_PLAIN)
    except UnicodeEncodeError as error:
        raise ValueError("the URL has half a character in it") from error
    return Link(scheme, host, port, target)

"""Parses a client's URL, once and strictly.

Every later step works with the parts, so nothing parses the URL again, perhaps differently. Anything that programs are
known to read differently (a user name, a backslash or a percent sign in the host, control characters) is refused.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv6Address
from urllib.parse import quote

from sources.fetching.addresses import Address, parse_host

_MOST_CHARACTERS = 8192
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+)(?::([0-9]{0,5}))?")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_PORTS = {"http": 80, "https": 443}
#: Below it are mail, shells, file shares: services that a request might confuse, and that serve no pictures.
_FIRST_FREE_PORT = 1024
#: Characters that stay as they are in a path or query; all others become %XX, as in browsers.
_PLAIN = "%/:?[]@!$&'()*+,;=~|"


@dataclass(frozen=True)
class Link:
    """An http or https URL: its ``host`` as ``parse_host`` returns it, and its path and query as ``target``."""

    scheme: str
    host: str | Address
    port: int
    target: str

    @cached_property
    def authority(self) -> str:
        """The host, with the port if it isn't the default: ``example.org:8080``, ``[::1]``."""
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str | Address, int]:
        return self.scheme, self.host, self.port

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_link(url: str) -> Link:
    """Returns the parts of ``url``. Raises ValueError with one line that says what is wrong, without the URL."""
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

"""Addresses to listen on, as users write them, and the URLs that they are reached by: IPv6 needs brackets in a URL, and
none elsewhere."""

import socket

#: What somebody on the same machine asks where a server listens on every address.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (nothing is bound here)


def bare_host(host: str) -> str:
    """Returns ``host`` without the brackets that an IPv6 address has in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def host_and_port(host: str, port: int) -> str:
    """Returns both as URLs have them: ``[::1]:8080``."""
    host = bare_host(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url_of(host: str, port: int) -> str:
    """Returns the URL of a server at ``host``, without a slash at the end: ``http://[::1]:8080``."""
    return f"http://{host_and_port(host, port)}"


def bound_socket(host: str, port: int) -> socket.socket:
    """Returns a TCP socket bound to ``host``, an address or a name, IPv4 before IPv6. Raises OSError."""
    # With the protocol given, asyncio turns off Nagle's algorithm, which delays an answer's second packet by 40 ms.
    found = socket.getaddrinfo(bare_host(host), port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def reachable_host(host: str) -> str:
    """Returns an address for this machine's own clients of a server that listens on ``host``."""
    return _LOOPBACK.get(bare_host(host), bare_host(host))

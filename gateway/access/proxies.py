"""The client's address behind reverse proxies.

    client ─▶ proxy ─▶ proxy ─▶ gateway      X-Forwarded-For: client, proxy      Forwarded: for=client, for=proxy

Anybody can send these headers. So they are read only if the connection comes from a trusted proxy, and from their end,
where each proxy adds whom it heard, as far as that is a trusted proxy too.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.request import parse_http_list

from starlette.datastructures import Headers

Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_networks(text: str) -> Networks:
    """Returns the addresses and networks in ``text``, separated by commas: ``10.0.0.7, 10.1.0.0/16, ::1``.

    Raises ValueError, in one line, for an entry that is none.
    """
    return tuple(ip_network(entry.strip().strip("[]")) for entry in text.split(",") if entry.strip())


def client_of(peer: str, headers: Headers, trusted: Networks) -> str:
    """Returns the client's address: that of ``peer``, or whom trusted proxies heard. A header that cannot be understood
    counts as far as it can."""
    if not _is_trusted(peer, trusted):
        return peer
    chains = [chain for chain in (_x_forwarded_for(headers), _forwarded(headers)) if chain]
    found = {_nearest_stranger(peer, chain, trusted) for chain in chains}
    # A proxy sets one of the headers, and may let the other one pass as the client wrote it: then nobody knows.
    return found.pop() if len(found) == 1 else peer


def _nearest_stranger(peer: str, chain: Sequence[str], trusted: Networks) -> str:
    for named in reversed(chain):
        address = _address(named)
        if address is None:
            break
        peer = str(address)
        if not _is_trusted(peer, trusted):
            break
    return peer


def _x_forwarded_for(headers: Headers) -> list[str]:
    return [entry.strip() for value in headers.getlist("x-forwarded-for") for entry in value.split(",")]


def _forwarded(headers: Headers) -> list[str]:
    """Returns the ``for`` of each element (RFC 7239); the empty text where there is none."""
    named = []
    for element in parse_http_list(",".join(headers.getlist("forwarded"))):
        pairs = (pair.partition("=") for pair in element.split(";"))
        named.append(next((value.strip().strip('"') for name, _, value in pairs if name.strip().lower() == "for"), ""))
    return named


def _address(named: str) -> IPv4Address | IPv6Address | None:
    """Returns the address in ``192.0.2.1``, ``192.0.2.1:4711``, ``2001:db8::1``, ``[2001:db8::1]:4711``."""
    host = named[1:].partition("]")[0] if named.startswith("[") else named
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_trusted(host: str, trusted: Networks) -> bool:
    address = _address(host)
    return address is not None and any(address in network for network in trusted)

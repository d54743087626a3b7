"""Decides which network addresses a client's URL may lead to.

A client that adds a picture by its URL must not reach what only this machine can reach: its own ports, the network
behind it, a cloud's metadata. Two checks are made, and both again for every redirect:

    may this host be asked?         its name, by the operator's lists
    may this address be reached?    each address of that name, by the lists and by the tables below
"""

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

import idna

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

#: IPv4 networks that IANA's special-purpose registry keeps off the internet, or reserves for other uses than hosts.
_SPECIAL_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host, this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # measurements
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
#: The only IPv6 network with internet hosts: not ::1, fc00::/7, fe80::/10, ff00::/8, nor IPv4-compatible addresses …
_UNICAST_V6 = IPv6Network("2000::/3")
#: … except these parts of it.
_SPECIAL_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo, whose addresses carry an IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, whose addresses carry an IPv4 address
        "3fff::/20",  # documentation
    )
)
#: Where clouds give a machine its credentials. No pictures are there, so not even the operator's lists can allow them.
_METADATA = tuple(
    ip_network(network)
    for network in (
        "169.254.0.0/16",  # nearly all clouds
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254/128",  # Google
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure; otherwise an ordinary internet address
        "192.0.0.192/32",  # Oracle
    )
)
#: IPv6 addresses that stand for an IPv4 host: the last 32 bits are its address (RFC 4291 2.5.5.2, RFC 6052 2.1).
_MAPPED, _NAT64 = IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")

_MOST_HOST = 253
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
#: If the last label is a number, the host is an IPv4 address in some spelling (WHATWG URL, 3.5).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def parse_host(text: str) -> str | Address:
    """Returns the host that ``text`` spells: its name in lower-case ASCII (IDNA, no dot at the end), or its address.

    Raises ValueError, in one line, for what is neither, and for spellings of addresses that programs read in different
    ways: ``127.1``, ``0177.0.0.1``, ``0x7f000001``, ``2130706433``, ``fe80::1%eth0``.
    """
    if text.startswith("[") and text.endswith("]"):
        try:
            address = IPv6Address(text[1:-1])
        except ValueError as error:
            raise ValueError("the host is no valid IPv6 address") from error
        if address.scope_id is not None:
            raise ValueError("an IPv6 address must not name an interface")
        return address
    name = text
    if not name.isascii():
        try:  # first of all, since it turns full-width digits and dots into plain ones
            name = idna.encode(name[: _MOST_HOST + 1], uts46=True).decode()
        except idna.IDNAError as error:
            raise ValueError("the host's name is not valid") from error
    name = name.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > _MOST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the host's name is not valid")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return IPv4Address(name)
        except ValueError as error:
            raise ValueError("an IPv4 address must be spelled as four decimal numbers") from error
    return name


@dataclass(frozen=True)
class HostList:
    """Hosts by name, all hosts below a name, and networks."""

    names: frozenset[str] = frozenset()
    #: each with a leading dot: ``.example.org`` matches ``a.example.org``, but not ``example.org`` itself
    parents: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the list in ``text``, separated by commas: ``example.org, *.example.org, 10.0.0.0/8, ::1``.

        Raises ValueError, in one line, for an entry that is none of these.
        """
        names: set[str] = set()
        parents: list[str] = []
        networks: list[Network] = []
        for entry in filter(None, (part.strip() for part in text.split(","))):
            if "/" in entry or _is_address(entry):
                networks.append(ip_network(entry))
                continue
            try:
                host = parse_host(entry.removeprefix("*."))
            except ValueError as error:
                raise ValueError(f"{entry!r} is neither a host nor a network: {error}") from error
            if not isinstance(host, str):
                raise ValueError(f"{entry!r} is neither a host nor a network")
            if entry.startswith("*."):
                parents.append(f".{host}")
            else:
                names.add(host)
        return cls(frozenset(names), tuple(parents), tuple(networks))

    @property
    def has_hosts(self) -> bool:
        return bool(self.names or self.parents)

    def has_host(self, name: str) -> bool:
        return name in self.names or name.endswith(self.parents)

    def has_address(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Reach:
    """What may be reached: the internet and the networks in ``allow``, even private ones, except what ``deny`` names.
    If ``allow`` names hosts, only these may be asked, and hosts spelled as addresses in its networks."""

    allow: HostList = field(default_factory=HostList)
    deny: HostList = field(default_factory=HostList)

    def host(self, host: str | Address) -> bool:
        """Whether ``host``, as ``parse_host`` returns it, may be asked, provided its addresses may be reached."""
        if not isinstance(host, str):
            return self.address(host) and (not self.allow.has_hosts or self.allow.has_address(_spoken_to(host)))
        return not self.deny.has_host(host) and (not self.allow.has_hosts or self.allow.has_host(host))

    def address(self, address: Address) -> bool:
        """Whether ``address`` may be connected to."""
        address = _spoken_to(address)
        if self.deny.has_address(address) or any(address in network for network in _METADATA):
            return False
        return self.allow.has_address(address) or _is_public(address)


def _spoken_to(address: Address) -> Address:
    """Returns the IPv4 address that the IPv6 ``address`` stands for, if it does; else ``address`` itself."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    # The tables above suffice by themselves; Python's own may know newer assignments.
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _UNICAST_V6 and not any(address in network for network in _SPECIAL_V6)

"""Hosts and addresses, and what the operator's lists make of them."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from sources.fetching.addresses import Address, HostList, Reach, parse_host

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "3ffe:ffff::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
]
EVERYTHING = HostList.parse("0.0.0.0/0, ::/0")


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_may_be_reached_unless_it_is_denied(address: str) -> None:
    assert Reach().address(ip_address(address))
    assert not Reach(deny=EVERYTHING).address(ip_address(address))
    assert not Reach(allow=EVERYTHING, deny=EVERYTHING).address(ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_the_internet_may_only_be_reached_if_it_is_allowed(address: str) -> None:
    assert not Reach().address(ip_address(address))
    assert not Reach(allow=HostList.parse("example.org, 9.9.9.0/24")).address(ip_address(address))
    assert Reach(allow=EVERYTHING).address(ip_address(address))


@pytest.mark.parametrize("address", METADATA)
def test_metadata_may_never_be_reached(address: str) -> None:
    assert not Reach().address(ip_address(address))
    assert not Reach(allow=EVERYTHING).address(ip_address(address))
    assert not Reach(allow=HostList.parse("169.254.169.254, fd00:ec2::254, 100.64.0.0/10")).address(ip_address(address))


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"])
def test_a_network_covers_the_ways_to_speak_to_its_hosts_by_ipv6(address: str) -> None:
    assert Reach(allow=HostList.parse("10.1.0.0/16")).address(ip_address(address))
    assert not Reach(allow=HostList.parse("10.2.0.0/16")).address(ip_address(address))
    assert not Reach(allow=HostList.parse("10.0.0.0/8"), deny=HostList.parse("10.1.2.3")).address(ip_address(address))


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.Org.", "example.org"),
        ("localhost", "localhost"),
        ("a_b.c-d.example", "a_b.c-d.example"),
        ("1.example", "1.example"),
        ("127.0.0.1.example", "127.0.0.1.example"),
        ("0x7f.0.0.0x", "not spelled"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("Bücher。example", "xn--bcher-kva.example"),
        ("ｅｘａｍｐｌｅ．ｏｒｇ", "example.org"),
        ("example\N{SOFT HYPHEN}.org", "example.org"),
        ("8.8.8.8", IPv4Address("8.8.8.8")),
        ("127.0.0.1.", IPv4Address("127.0.0.1")),
        ("１２７。０。０。１", IPv4Address("127.0.0.1")),
        ("①②⑦.0.0.1", IPv4Address("127.0.0.1")),
        ("[::1]", IPv6Address("::1")),
        ("[0:0:0:0:0:FFFF:127.0.0.1]", IPv6Address("::ffff:127.0.0.1")),
        ("2130706433", "not spelled"),
        ("0x7f000001", "not spelled"),
        ("017700000001", "not spelled"),
        ("0177.0.0.1", "not spelled"),
        ("0x7f.0.0.1", "not spelled"),
        ("0X7F.0.0.1", "not spelled"),
        ("127.1", "not spelled"),
        ("127.0.1", "not spelled"),
        ("127.0.0.01", "not spelled"),
        ("127.0.0.0x1", "not spelled"),
        ("127.0.0.256", "not spelled"),
        ("1.2.3.4.5", "not spelled"),
        ("example.1", "not spelled"),
        ("0", "not spelled"),
        ("٣.٣.٣.٣", "not valid"),
        ("", "not valid"),
        (".", "not valid"),
        ("a..b", "not valid"),
        (".a", "not valid"),
        ("a.b..", "not valid"),
        ("a b", "not valid"),
        ("a%2eb", "not valid"),
        ("%31%32%37.0.0.1", "not valid"),
        ("a\\b", "not valid"),
        ("a,b", "not valid"),
        ("*.a", "not valid"),
        ("a" * 64, "not valid"),
        (".".join(["a" * 60] * 5), "not valid"),
        ("ü" * 100_000, "not valid"),
        ("::1", "not valid"),
        ("[fe80::1%eth0]", "interface"),
        ("[127.0.0.1]", "IPv6"),
        ("[::1", "not valid"),
        ("[]", "IPv6"),
        ("[::1]x", "not valid"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_hosts_are_read_in_one_way_only(text: str, host: str | Address) -> None:
    problems = {
        "not spelled": "an IPv4 address must be spelled as four decimal numbers",
        "not valid": "the host's name is not valid",
        "interface": "an IPv6 address must not name an interface",
        "IPv6": "the host is no valid IPv6 address",
    }
    if isinstance(host, str) and host in problems:
        with pytest.raises(ValueError, match=f"^{problems[host]}$"):
            parse_host(text)
    else:
        assert parse_host(text) == host


@pytest.mark.parametrize("name", ["example.org", "a.example.org", "a.b.example.org", "example.com", "notexample.org"])
@pytest.mark.parametrize("written", ["", "example.org", "*.example.org", " Example.ORG. ,*.example.org,", "10.0.0.0/8"])
def test_lists_of_hosts(name: str, written: str) -> None:
    below = name.endswith(".example.org") and "*.example.org" in written
    itself = name == "example.org" and written.strip().lower().startswith("example.org")
    hosts = HostList.parse(written)
    assert hosts.has_host(name) == (below or itself)
    assert Reach(deny=hosts).host(name) == (not below and not itself)
    # A list of networks alone restricts nothing.
    assert Reach(allow=hosts).host(name) == (below or itself or written in ("", "10.0.0.0/8"))
    assert not Reach(allow=hosts, deny=HostList.parse(name)).host(name)


def test_with_hosts_allowed_an_address_must_be_allowed_as_well() -> None:
    assert Reach().host(ip_address("8.8.8.8"))
    assert Reach(allow=HostList.parse("10.0.0.0/8")).host(ip_address("8.8.8.8"))
    assert not Reach(allow=HostList.parse("example.org")).host(ip_address("8.8.8.8"))
    assert Reach(allow=HostList.parse("example.org, 8.8.8.0/24")).host(ip_address("8.8.8.8"))
    assert Reach(allow=HostList.parse("example.org, 8.8.8.0/24")).host(ip_address("::ffff:8.8.8.8"))
    assert not Reach(allow=HostList.parse("example.org, 10.0.0.0/8")).host(ip_address("8.8.8.8"))


def test_a_list_names_hosts_in_any_script_and_addresses_alone() -> None:
    hosts = HostList.parse("bücher.example, 192.168.1.7, fd00::/8, ::1")
    assert hosts.has_host("xn--bcher-kva.example")
    assert [
        hosts.has_address(ip_address(each)) for each in ("192.168.1.7", "192.168.1.8", "fd00::1", "::1", "::2")
    ] == [
        True,
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("a b", "'a b' is neither a host nor a network: the host's name is not valid"),
        ("*", r"'\*' is neither a host nor a network: the host's name is not valid"),
        ("a.*.org", r"'a\.\*\.org' is neither a host nor a network: the host's name is not valid"),
        ("example.org:80", "'example.org:80' is neither a host nor a network: the host's name is not valid"),
        ("[::1]", r"'\[::1\]' is neither a host nor a network"),
        ("127.1", "'127.1' is neither a host nor a network: an IPv4 address must be spelled as four decimal numbers"),
        ("10.0.0.1/8", "10.0.0.1/8 has host bits set"),
        ("http://example.org", "'http://example.org' does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_an_entry_that_is_no_host_and_no_network(written: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        HostList.parse(f"example.org, {written}")

"""Whom the forwarding headers name as the client, by who sent them."""

import pytest
from starlette.datastructures import Headers

from gateway.access.proxies import client_of, parse_networks

TRUSTED = parse_networks("10.0.0.0/8, 192.0.2.7, [2001:db8::7],")


def told(*values: str, by: str = "x-forwarded-for") -> Headers:
    return Headers(raw=[(by.encode(), value.encode()) for value in values])


@pytest.mark.parametrize("peer", ["203.0.113.5", "192.0.2.8", "::1", "", "somewhere"])
@pytest.mark.parametrize("by", ["x-forwarded-for", "forwarded"])
def test_what_strangers_say_does_not_count(peer: str, by: str) -> None:
    headers = told("198.51.100.1" if by != "forwarded" else "for=198.51.100.1", by=by)
    assert client_of(peer, headers, TRUSTED) == peer
    assert client_of(peer, headers, ()) == peer


@pytest.mark.parametrize("peer", ["10.1.2.3", "192.0.2.7", "2001:db8::7", "::ffff:10.1.2.3"])
@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1:4711"], "198.51.100.1"),
        (["2001:db8:1::1"], "2001:db8:1::1"),
        (["[2001:db8:1::1]:4711"], "2001:db8:1::1"),
        (["::ffff:198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1, 10.9.9.9"], "198.51.100.1"),
        (["198.51.100.1", "10.9.9.9"], "198.51.100.1"),
        (["203.0.113.9, 198.51.100.1"], "198.51.100.1"),  # the client itself wrote the first one
        (["10.0.0.1, 198.51.100.1"], "198.51.100.1"),
        (["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        (["nonsense, 10.0.0.2"], "10.0.0.2"),
    ],
)
def test_what_trusted_proxies_heard(peer: str, values: list[str], client: str) -> None:
    assert client_of(peer, told(*values), TRUSTED) == client


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["for=198.51.100.1"], "198.51.100.1"),
        (['For="198.51.100.1:4711"; proto=https;by=10.0.0.1'], "198.51.100.1"),
        (['proto=https;for="[2001:db8:1::1]:4711"'], "2001:db8:1::1"),
        (['for=203.0.113.9, for=198.51.100.1;host="a,b", for=10.0.0.4'], "198.51.100.1"),
        (["for=198.51.100.1", "for=10.0.0.4"], "198.51.100.1"),
        (["for=unknown, for=10.0.0.4"], "10.0.0.4"),
        (["for=_hidden"], "10.1.2.3"),
        (["proto=https"], "10.1.2.3"),
        ([";;=,,="], "10.1.2.3"),
        ([""], "10.1.2.3"),
    ],
)
def test_the_standard_s_header(values: list[str], client: str) -> None:
    assert client_of("10.1.2.3", told(*values, by="forwarded"), TRUSTED) == client


def test_two_headers_that_disagree_name_nobody() -> None:
    """The proxy set one of them, and let the client's other one pass."""
    headers = Headers({"X-Forwarded-For": "198.51.100.1", "Forwarded": "for=203.0.113.9"})
    assert client_of("10.1.2.3", headers, TRUSTED) == "10.1.2.3"
    same = Headers({"X-Forwarded-For": "198.51.100.1", "Forwarded": "for=198.51.100.1"})
    assert client_of("10.1.2.3", same, TRUSTED) == "198.51.100.1"


def test_no_header() -> None:
    assert client_of("10.1.2.3", Headers({}), TRUSTED) == "10.1.2.3"


@pytest.mark.parametrize("text", ["proxy.example.org", "10.0.0.1/8", "10.0.0.0/33", "*"])
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_networks(text)

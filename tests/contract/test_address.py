"""Hosts with and without brackets."""

import pytest

from contract.address import bare_host, reachable_host, url_of


@pytest.mark.parametrize(
    ("given", "bare", "url"),
    [
        ("127.0.0.1", "127.0.0.1", "http://127.0.0.1:8080"),
        ("localhost", "localhost", "http://localhost:8080"),
        ("::1", "::1", "http://[::1]:8080"),
        ("[::1]", "::1", "http://[::1]:8080"),
        ("::", "::", "http://[::]:8080"),
        ("[2001:db8::7]", "2001:db8::7", "http://[2001:db8::7]:8080"),
        ("", "", "http://:8080"),
    ],
)
def test_brackets_are_for_urls(given: str, bare: str, url: str) -> None:
    assert (bare_host(given), url_of(given, 8080)) == (bare, url)


@pytest.mark.parametrize(
    ("given", "asked"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("[::]", "::1"), ("[::1]", "::1"), ("10.1.2.3", "10.1.2.3")],
)
def test_a_server_on_every_address_is_asked_on_loopback(given: str, asked: str) -> None:
    assert reachable_host(given) == asked

"""The names that a server answers to, and the sites whose pages may ask it."""

import pytest

from gateway.access.hosts import AllowedHosts, is_own, parse_origins

USUAL = AllowedHosts().with_names("0.0.0.0", "box.corp.example", "box.corp.example.local")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost.:8000",
        "app.localhost:8000",
        "127.0.0.1",
        "127.0.0.1:8000",
        "192.168.1.20:8000",  # a pod's or a container's, as probes ask
        "8.8.8.8",
        "[::1]:8000",
        "[2001:DB8::7]",
        "hashlake:8000",  # a container's name, a Service's
        "hashlake.prod.svc",
        "hashlake.prod.svc.cluster.local:8000",
        "host.docker.internal:8000",
        "box.corp.example:8000",  # this machine's own name
        "Box.Corp.Example.local",
    ],
)
def test_names_that_no_stranger_can_own(host: str) -> None:
    assert USUAL.allow(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io:8000",
        "evil-localhost.example",
        "evillocalhost.com",
        "svc.example",
        "xn--e1awd7f.example",
        "другой.example",
        "evil.local",
        "corp.example",
        "a.box.corp.example",
        "",
        ":8000",
        "localhost:8000:1",
        "localhost:port",
        "user@localhost",
        "localhost evil.example",
        "localhost,evil.example",
        "[::1",
        "[::1]evil.example",
        "[evil.example]:8000",
        "::1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "*",
    ],
)
def test_other_names(host: str) -> None:
    assert not USUAL.allow(host)


def test_names_of_one_s_own() -> None:
    hosts = AllowedHosts.parse(" search.example.org, *.pictures.example.org,[::1], Größe.example")
    assert hosts.allow("search.example.org") and hosts.allow("SEARCH.example.org.:443")
    assert hosts.allow("a.pictures.example.org") and hosts.allow("xn--gre-6ka8i.example")
    assert not hosts.allow("pictures.example.org") and not hosts.allow("evil.example")
    assert hosts.allow("localhost")


def test_every_name() -> None:
    hosts = AllowedHosts.parse("*")
    assert hosts.allow("evil.example") and hosts.with_names("localhost").allow("evil.example")


@pytest.mark.parametrize("text", ["http://search.example.org", "search.example.org:8000", "a b", "*.*.example"])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a host nor|does not appear to be"):
        AllowedHosts.parse(text)


def test_origins() -> None:
    text = "https://app.example.org, http://LOCALHOST:3000/,https://b.example:443, http://[::1]:80, app://gui"
    assert parse_origins(text) == (
        "https://app.example.org", "http://localhost:3000", "https://b.example", "http://[::1]", "app://gui"
    )  # fmt: skip
    assert parse_origins("") == ()


@pytest.mark.parametrize(
    "text", ["*", "null", "app.example.org", "https://app.example.org/page", "https://*.example.org", "https://"]
)
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        parse_origins(text)


@pytest.mark.parametrize(
    ("origin", "host", "own"),
    [
        ("http://localhost:4213", "localhost:4213", True),
        ("http://LocalHost:4213", "localhost:4213", True),
        ("https://gui.example.org", "gui.example.org", True),
        ("https://gui.example.org", "gui.example.org:443", True),
        ("https://gui.example.org:443", "gui.example.org", True),
        ("http://[::1]:4213", "[::1]:4213", True),
        ("http://localhost:4213", "localhost:8000", False),
        ("http://localhost", "localhost:443", False),
        ("http://evil.example", "localhost", False),
        ("null", "localhost", False),
        ("null", "", False),
        ("", "", False),
    ],
)
def test_whose_page_it_is(origin: str, host: str, own: bool) -> None:
    assert is_own(origin, {host}) is own

"""URLs taken apart."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from sources.fetching.web_address import Link, parse_link


@pytest.mark.parametrize(
    ("url", "link", "authority"),
    [
        ("http://example.org", Link("http", "example.org", 80, "/"), "example.org"),
        ("HTTPS://Example.ORG:/a?b#c", Link("https", "example.org", 443, "/a?b"), "example.org"),
        ("http://example.org?a=/b", Link("http", "example.org", 80, "/?a=/b"), "example.org"),
        ("http://example.org#@evil.example/", Link("http", "example.org", 80, "/"), "example.org"),
        ("http://example.org/@evil.example", Link("http", "example.org", 80, "/@evil.example"), "example.org"),
        ("http://example.org:443/", Link("http", "example.org", 443, "/"), "example.org:443"),
        ("https://example.org:0443/", Link("https", "example.org", 443, "/"), "example.org"),
        ("http://example.org.:8080/", Link("http", "example.org", 8080, "/"), "example.org:8080"),
        ("http://10.0.0.1:65535/", Link("http", IPv4Address("10.0.0.1"), 65535, "/"), "10.0.0.1:65535"),
        ("http://[::1]/a", Link("http", IPv6Address("::1"), 80, "/a"), "[::1]"),
        ("https://[2001:DB8::1]:1024/", Link("https", IPv6Address("2001:db8::1"), 1024, "/"), "[2001:db8::1]:1024"),
        (
            'http://example.org/a b/é?ü="\\"&%41%zz',
            Link("http", "example.org", 80, "/a%20b/%C3%A9?%C3%BC=%22%5C%22&%41%zz"),
            "example.org",
        ),
        ("http://example.org/../[a](b);c=d,e'f!g$h*i+j~k|l", None, "example.org"),
    ],
)
def test_parts(url: str, link: Link | None, authority: str) -> None:
    link = link or Link("http", "example.org", 80, url.removeprefix("http://example.org"))
    assert parse_link(url) == link
    assert link.authority == authority
    assert parse_link(str(link)) == link


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "begin with http"),
        ("example.org/a.jpg", "begin with http"),
        ("//example.org/", "begin with http"),
        ("http:/example.org", "begin with http"),
        ("http:example.org", "begin with http"),
        ("file:///etc/passwd", "begin with http"),
        ("ftp://example.org/", "begin with http"),
        ("gopher://example.org:70/_x", "begin with http"),
        ("dict://example.org:11211/stats", "begin with http"),
        ("data:image/png;base64,AAAA", "begin with http"),
        ("javascript:alert(1)", "begin with http"),
        ("unix:///var/run/docker.sock", "begin with http"),
        (" http://example.org/", "begin with http"),
        ("ｈttp://example.org/", "begin with http"),
        ("http://", "host and port"),
        ("http:///a", "host and port"),
        ("http://:80/", "host and port"),
        ("http://?a", "host and port"),
        ("http://a:b/", "host and port"),
        ("http://a:80:80/", "host and port"),
        ("http://a:-1/", "host and port"),
        ("http://a:+80/", "host and port"),
        ("http://a:８０/", "host and port"),
        ("http://a:000080/", "host and port"),
        ("http://[::1/", "host and port"),
        ("http://::1/", "host and port"),
        ("http://[::1]a/", "host and port"),
        ("http://a[::1]/", "host and port"),
        ("http://user@example.org/", "user name"),
        ("http://user:secret@example.org/", "user name"),
        ("http://@example.org/", "user name"),
        ("http://example.org@127.0.0.1/", "user name"),
        ("http://example.org\\@127.0.0.1/", "user name"),
        ("http://127.0.0.1:80\\@example.org/", "user name"),
        ("http://127.0.0.1\\.example.org/", "name is not valid"),
        ("http://127.0.0.1 /", "name is not valid"),
        ("http://127.0.0.1%2f.example.org/", "name is not valid"),
        ("http://%6c%6f%63%61lhost/", "name is not valid"),
        ("http://\ud800/", "name is not valid"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://example.org/\ud800", "half a character"),
        ("http://exam\tple.org/", "control characters"),
        ("http://example.org/\r\nX: y", "control characters"),
        ("http://example.org/\x00", "control characters"),
        ("http://example.org/\x7f", "control characters"),
        ("http://example.org/\n", "control characters"),
        ("http://example.org:0/", "port 0"),
        ("http://example.org:22/", "port 22"),
        ("http://example.org:25/", "port 25"),
        ("http://example.org:1023/", "port 1023"),
        ("http://example.org:65536/", "port 65536"),
        ("http://example.org/" + "a" * 8192, "8,192 characters"),
    ],
)
def test_what_is_refused(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as refused:
        parse_link(url)
    assert type(refused.value) is ValueError
    assert "\n" not in str(refused.value)

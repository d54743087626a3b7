"""Downloads from real servers on loopback, and what leads nowhere.

Servers listen on 127.0.0.1 and its neighbours, as HASHLAKE_FETCH_ALLOW permits it; names are made up, and looked up in
a table of the test.
"""

import asyncio
import gzip
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohappyeyeballs
import pytest

import sources.fetching.sessions
from gateway.errors import GatewayError
from gateway.settings import GatewaySettings
from sources.errors import FetchRefused, OriginFailed
from sources.fetching.addresses import HostList, Reach
from sources.fetching.fetcher import Fetched, Fetcher, FetchLimits
from tests.gateway.tiny_app import settings_in

LOOPBACK = Reach(allow=HostList.parse("127.0.0.0/8"))
PICTURE = bytes(range(256)) * 240
Page = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def page(body: bytes = PICTURE, status: str = "200 OK", **headers: str) -> bytes:
    """An answer as it goes over the wire."""
    fields = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def redirect(place: str, status: str = "302 Found") -> bytes:
    return page(b"over there", status, Location=place)


@dataclass
class Site:
    """A server of ``pages``: path → an answer, or what writes one; then the next request of that connection."""

    pages: dict[str, Page] = field(default_factory=dict)
    port: int = 0
    #: heads of the requests, as they came
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head.decode())
                answer = self.pages[head.split()[1].decode()]
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def all_closed(self) -> None:
        while self.open:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(site: Site, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    server = await asyncio.start_server(site.serve, host, site.port, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        await site.all_closed()
        await server.wait_closed()


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test

    asyncio.run(bounded())


class Pauses:
    """The pauses before further tries, which take no time."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def fetch(answer: Page, reach: Reach = LOOPBACK, **limits: Any) -> Fetched:
    """What comes of the one page of a server."""
    fetched: list[Fetched] = []

    async def test() -> None:
        async with serving(Site({"/": answer})) as site, Fetcher(FetchLimits(reach, **limits), Pauses()) as fetcher:
            fetched.append(await fetcher.fetch(site.url()))

    run(test())
    return fetched[0]


def refusal(answer: Page, **limits: Any) -> str:
    with pytest.raises(FetchRefused) as refused:
        fetch(answer, **limits)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """For each name, the addresses that one look-up after another answers; the last answer is given for ever."""
    table: dict[str, list[list[str]]] = {}

    def look_up(host: str, port: int, *_: object, **__: object) -> list[Any]:
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answer = table[host].pop(0) if len(table[host]) > 1 else table[host][0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in answer
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return table


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that connections are made to; every one of them ends at 127.0.0.1."""
    heard: list[str] = []
    connect = aiohappyeyeballs.start_connection

    async def start_connection(addr_infos: Any, **options: Any) -> socket.socket:
        (_, kind, protocol, name, address), *_ = addr_infos
        heard.append(address[0])
        return await connect([(socket.AF_INET, kind, protocol, name, ("127.0.0.1", address[1]))], **options)

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", start_connection)
    return heard


# What is fetched


def test_a_picture_comes_with_what_the_server_says_of_its_version() -> None:
    modified = "Wed, 21 Oct 2015 07:28:00 GMT"
    fetched = fetch(page(ETag='W/"a1"', Last_Modified=modified, Content_Type="text/html"))
    assert fetched == Fetched(PICTURE, 'W/"a1"', modified)
    assert fetch(page(b"")) == Fetched(b"", None, None)


def test_bodies_in_chunks_and_bodies_that_end_with_the_connection() -> None:
    async def to_the_end(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE)
        writer.close()

    chunks = b"".join(b"400;x=y\r\n%b\r\n" % PICTURE[start : start + 1024] for start in range(0, len(PICTURE), 1024))
    head = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert fetch(head + chunks + b"0\r\nTrailer: x\r\n\r\n").data == PICTURE
    assert fetch(to_the_end).data == PICTURE


def test_a_request_says_who_asks_and_carries_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        site = Site({"/a%20b?c": page(Set_Cookie="a=b"), "/d": page()})
        async with serving(site), Fetcher(FetchLimits(LOOPBACK)) as fetcher:
            await fetcher.fetch(site.url("/a b?c#d"))
            await fetcher.fetch(site.url("/d"))
        assert site.requests == [
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nUser-Agent: hashlake/7.8\r\n"
            "Accept: */*\r\nAccept-Encoding: identity\r\n\r\n"
            for path in ("/a%20b?c", "/d")
        ]
        assert site.connections == 1

    monkeypatch.setattr("sources.fetching.fetcher.version", lambda _name: "7.8")
    run(test())


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with serving(Site()) as proxy, serving(Site({"/": page()})) as site:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, proxy.url())
            async with Fetcher(FetchLimits(LOOPBACK)) as fetcher:
                assert (await fetcher.fetch(site.url())).data == PICTURE
            assert proxy.connections == 0

    run(test())


def test_an_encoding_that_is_none_is_a_harmless_mistake() -> None:
    assert fetch(page(Content_Encoding="UTF-8")).data == PICTURE
    assert fetch(page(Content_Encoding="identity")).data == PICTURE


# Where no connection is made to

PUBLIC = "93.184.216.34"
#: URL, addresses of the name in it, beginning of the refusal
NOWHERE = [
    ("http://127.0.0.1/", [], "the host 127.0.0.1 may not be asked"),
    ("http://127.0.0.1./", [], "the host 127.0.0.1 may not be asked"),
    ("http://127.8.8.8:8081/models", [], "the host 127.8.8.8 may not be asked"),
    ("http://0.0.0.0/", [], "the host 0.0.0.0 may not be asked"),
    ("http://10.0.0.1/", [], "the host 10.0.0.1 may not be asked"),
    ("http://100.64.0.1/", [], "the host 100.64.0.1 may not be asked"),
    ("http://172.16.0.1/", [], "the host 172.16.0.1 may not be asked"),
    ("http://192.168.1.1/", [], "the host 192.168.1.1 may not be asked"),
    ("http://169.254.169.254/latest/meta-data/", [], "the host 169.254.169.254 may not be asked"),
    ("http://100.100.100.200/", [], "the host 100.100.100.200 may not be asked"),
    ("http://168.63.129.16/", [], "the host 168.63.129.16 may not be asked"),
    ("http://224.0.0.1/", [], "the host 224.0.0.1 may not be asked"),
    ("http://255.255.255.255/", [], "the host 255.255.255.255 may not be asked"),
    ("http://[::]/", [], "the host :: may not be asked"),
    ("http://[::1]/", [], "the host ::1 may not be asked"),
    ("http://[0:0:0:0:0:0:0:1]/", [], "the host ::1 may not be asked"),
    ("http://[::127.0.0.1]/", [], "the host ::7f00:1 may not be asked"),
    ("http://[::ffff:127.0.0.1]/", [], "the host ::ffff:7f00:1 may not be asked"),
    ("http://[::ffff:7f00:1]/", [], "the host ::ffff:7f00:1 may not be asked"),
    ("http://[::ffff:a9fe:a9fe]/", [], "the host ::ffff:a9fe:a9fe may not be asked"),
    ("http://[64:ff9b::127.0.0.1]/", [], "the host 64:ff9b::7f00:1 may not be asked"),
    ("http://[2002:7f00:1::]/", [], "the host 2002:7f00:1:: may not be asked"),
    ("http://[2001:0:7f00:1::]/", [], "the host 2001:0:7f00:1:: may not be asked"),
    ("http://[fc00::1]/", [], "the host fc00::1 may not be asked"),
    ("http://[fd00:ec2::254]/", [], "the host fd00:ec2::254 may not be asked"),
    ("http://[fe80::1]/", [], "the host fe80::1 may not be asked"),
    ("http://[fe80::1%25eth0]/", [], "an IPv6 address must not name an interface"),
    ("http://2130706433/", [], "an IPv4 address must be spelled"),
    ("http://017700000001/", [], "an IPv4 address must be spelled"),
    ("http://0x7f000001/", [], "an IPv4 address must be spelled"),
    ("http://0177.0.0.1/", [], "an IPv4 address must be spelled"),
    ("http://0x7f.0.0.1/", [], "an IPv4 address must be spelled"),
    ("http://127.1/", [], "an IPv4 address must be spelled"),
    ("http://0/", [], "an IPv4 address must be spelled"),
    ("http://１２７．０．０．１/", [], "the host 127.0.0.1 may not be asked"),
    ("http://①②⑦。⓪。⓪。①/", [], "the host 127.0.0.1 may not be asked"),
    ("http://127。0。0。1/", [], "the host 127.0.0.1 may not be asked"),
    ("http://%31%32%37.0.0.1/", [], "the host's name is not valid"),
    ("http://127.0.0.1%00.example/", [], "the host's name is not valid"),
    ("http://user@pictures.test/", [PUBLIC], "the URL has a user name or a password"),
    ("http://pictures.test@127.0.0.1/", [PUBLIC], "the URL has a user name or a password"),
    ("http://pictures.test\\@127.0.0.1/", [PUBLIC], "the URL has a user name or a password"),
    ("http://pictures.test:22/", [PUBLIC], "port 22 is not asked for pictures"),
    ("file:///etc/passwd", [], "the URL must begin with http"),
    ("gopher://pictures.test/_x", [PUBLIC], "the URL must begin with http"),
    *(
        (
            f"{scheme}://pictures.test/",
            addresses,
            "the host pictures.test is unknown, or its address may not be reached",
        )
        for scheme, addresses in (
            ("http", []),
            ("http", ["127.0.0.1"]),
            ("https", ["127.0.0.1"]),
            ("http", ["10.1.2.3"]),
            ("http", ["169.254.169.254"]),
            ("http", ["fd00:ec2::254"]),
            ("http", ["::1"]),
            ("http", ["::ffff:127.0.0.1"]),
            ("http", ["fe80::1%2"]),
            ("http", ["64:ff9b::a00:1"]),
            ("http", [PUBLIC, "127.0.0.1"]),
            ("http", ["127.0.0.1", PUBLIC]),
            ("http", ["2606:4700::1111", "::1"]),
        )
    ),
]


@pytest.mark.parametrize(("url", "addresses", "problem"), NOWHERE, ids=[f"{row[0]} {row[1]}" for row in NOWHERE])
def test_no_connection_is_made(
    url: str, addresses: list[str], problem: str, names: dict[str, list[list[str]]], dialled: list[str]
) -> None:
    async def test() -> None:
        async with Fetcher(FetchLimits()) as fetcher:
            with pytest.raises(FetchRefused) as refused:
                await fetcher.fetch(url)
        assert str(refused.value).startswith(problem)
        assert "\n" not in str(refused.value)
        assert dialled == []

    if addresses:
        names["pictures.test"] = [addresses]
    run(test())


def test_a_name_that_changes_its_address_is_connected_to_as_it_was_judged(
    names: dict[str, list[list[str]]], dialled: list[str]
) -> None:
    """The second look-up would answer 127.0.0.1: there is none while the connection lasts, and then it is refused."""

    async def test() -> None:
        async def last(writer: asyncio.StreamWriter) -> None:
            writer.write(page(Connection="close"))
            writer.close()

        site = Site({"/": page(), "/last": last})
        async with serving(site), Fetcher(FetchLimits()) as fetcher:
            names["pictures.test"] = [[PUBLIC], ["127.0.0.1"]]
            for path in ("/", "/", "/last"):
                assert (await fetcher.fetch(site.url(path, "pictures.test"))).data == PICTURE
            assert dialled == [PUBLIC]
            with pytest.raises(FetchRefused, match="its address may not be reached"):
                await fetcher.fetch(site.url("/", "pictures.test"))
            assert dialled == [PUBLIC]
            assert site.requests[0].startswith(f"GET / HTTP/1.1\r\nHost: pictures.test:{site.port}\r\n")

    run(test())


def test_the_next_address_is_tried_when_one_does_not_answer(names: dict[str, list[list[str]]]) -> None:
    async def test() -> None:
        async with serving(Site({"/": page()})) as site, Fetcher(FetchLimits(LOOPBACK), Pauses()) as fetcher:
            names["pictures.test"] = [["127.0.0.3", "127.0.0.2", "127.0.0.1"]]
            assert (await fetcher.fetch(site.url("/", "pictures.test"))).data == PICTURE
            names["other.test"] = [["127.0.0.3", "127.0.0.2"]]
            with pytest.raises(FetchRefused, match=r"^other\.test cannot be reached, asked 3 times$"):
                await fetcher.fetch(site.url("/", "other.test"))
            names["many.test"] = [[f"127.0.0.{number}" for number in (2, 3, 4, 5, 1)]]
            with pytest.raises(FetchRefused, match=r"^many\.test cannot be reached, asked 3 times$"):
                await fetcher.fetch(site.url("/", "many.test"))

    run(test())


def test_lists_of_hosts_hold_for_names_whatever_their_addresses(names: dict[str, list[list[str]]]) -> None:
    reach = Reach(allow=HostList.parse("127.0.0.1, *.good.test"), deny=HostList.parse("bad.good.test"))

    async def test() -> None:
        async with serving(Site({"/": page()})) as site, Fetcher(FetchLimits(reach)) as fetcher:
            for host in ("a.good.test", "bad.good.test", "good.test", "other.test"):
                names[host] = [["127.0.0.1"]]
            assert (await fetcher.fetch(site.url("/", "A.GOOD.test."))).data == PICTURE
            assert (await fetcher.fetch(site.url("/"))).data == PICTURE
            for host in ("bad.good.test", "BAD.good.test.", "good.test", "other.test", "127.0.0.2"):
                with pytest.raises(FetchRefused, match=r"^the host [a-z0-9.]+[^.] may not be asked$"):
                    await fetcher.fetch(site.url("/", host))

    run(test())


# Redirects


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirects_are_followed(status: str) -> None:
    async def test() -> None:
        async with serving(Site()) as site, Fetcher(FetchLimits(LOOPBACK)) as fetcher:
            site.pages = {
                "/a/": redirect("b?c", status),
                "/a/b?c": redirect("/d#e", status),
                "/d": redirect(f"//127.0.0.1:{site.port}/é f", status),
                "/%C3%A9%20f": redirect(site.url("/g"), status),
                "/g": page(ETag='"g"'),
            }
            assert await fetcher.fetch(site.url("/a/")) == Fetched(PICTURE, '"g"', None)

    run(test())


def test_no_more_redirects_than_allowed() -> None:
    async def test() -> None:
        pages: dict[str, Page] = {f"/{number}": redirect(f"/{number + 1}") for number in range(6)}
        site = Site({**pages, "/6": page(), "/loop": redirect("/loop")})
        async with serving(site), Fetcher(FetchLimits(LOOPBACK)) as fetcher:
            assert (await fetcher.fetch(site.url("/1"))).data == PICTURE
            for path in ("/0", "/loop"):
                site.requests.clear()
                with pytest.raises(FetchRefused, match=r"^there are more than 5 redirects$"):
                    await fetcher.fetch(site.url(path))
                assert len(site.requests) == 6
        async with serving(site), Fetcher(FetchLimits(LOOPBACK, redirects=0)) as fetcher:
            assert (await fetcher.fetch(site.url("/6"))).data == PICTURE
            with pytest.raises(FetchRefused, match=r"^there are more than 0 redirects$"):
                await fetcher.fetch(site.url("/5"))

    run(test())


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("http://127.0.0.1:{port}/", "the host 127.0.0.1 may not be asked"),
        ("//127.0.0.1:{port}/", "the host 127.0.0.1 may not be asked"),
        ("http://[::ffff:127.0.0.1]:{port}/", "the host ::ffff:7f00:1 may not be asked"),
        ("http://2130706433:{port}/", "an IPv4 address must be spelled as four decimal numbers"),
        ("http://localhost:{port}/", "the host localhost is unknown, or its address may not be reached"),
        ("http://inside.test:{port}/", "the host inside.test is unknown, or its address may not be reached"),
        ("http://denied.test:{port}/", "the host denied.test may not be asked"),
        ("http://127.0.0.2@127.0.0.1:{port}/", "the URL has a user name or a password, which are not sent"),
        ("http://127.0.0.2:25/", "port 25 is not asked for pictures; 80, 443 and those from 1024 on are"),
        ("file:///etc/passwd", "the URL must begin with http:// or https://"),
        ("file:/etc/passwd", "the URL must begin with http:// or https://"),
        ("ftp://127.0.0.2/", "the URL must begin with http:// or https://"),
        ("gopher://127.0.0.2:{port}/_GET", "the URL must begin with http:// or https://"),
        ("data:image/png;base64,AAAA", "the URL must begin with http:// or https://"),
    ],
)
def test_redirects_are_judged_as_any_url(place: str, problem: str, names: dict[str, list[list[str]]]) -> None:
    """127.0.0.2 may be asked and 127.0.0.1 not; servers listen on the same port of both."""
    reach = Reach(allow=HostList.parse("127.0.0.2"), deny=HostList.parse("denied.test"))
    names |= {"localhost": [["127.0.0.1"]], "inside.test": [["127.0.0.1"]], "denied.test": [["127.0.0.2"]]}

    async def test() -> None:
        async with serving(Site({"/": page()})) as inside:
            site = Site({"/": redirect(place.format(port=inside.port))}, port=inside.port)
            async with serving(site, "127.0.0.2"), Fetcher(FetchLimits(reach)) as fetcher:
                with pytest.raises(FetchRefused) as refused:
                    await fetcher.fetch(site.url("/", "127.0.0.2"))
            assert str(refused.value) == f"127.0.0.2 redirects, and {problem}"
            assert (len(site.requests), inside.connections) == (1, 0)

    run(test())


def test_a_place_that_is_no_url() -> None:
    assert refusal(redirect("http://[127.0.0.1")) == "127.0.0.1 redirects to what is no URL"


def test_a_place_that_looks_like_a_url_to_others_is_a_path() -> None:
    async def test() -> None:
        site = Site({"/": redirect("\\\\10.0.0.1\\a"), "/%5C%5C10.0.0.1%5Ca": page()})
        async with serving(site), Fetcher(FetchLimits(LOOPBACK)) as fetcher:
            assert (await fetcher.fetch(site.url())).data == PICTURE

    run(test())


# Answers that aren't pictures, and servers that mean no good


@pytest.mark.parametrize(
    "status",
    ["201 Created", "204 No Content", "206 Partial", "300 Many", "304 Not Modified", "404 Not Found", "500 No"],
)
def test_another_status_is_named(status: str) -> None:
    assert refusal(page(b"", status)) == f"127.0.0.1 answers with status {status[:3]}"


def test_a_redirect_to_nowhere_is_a_status() -> None:
    assert refusal(page(b"", "302 Found")) == "127.0.0.1 answers with status 302"


def test_a_body_that_is_announced_as_too_long_is_not_waited_for() -> None:
    async def only_the_head(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n")

    assert refusal(only_the_head, bytes=1000) == "127.0.0.1 sends more than 1,000 bytes"
    assert len(fetch(page(PICTURE[:1000]), bytes=1000).data) == 1000


@pytest.mark.parametrize("chunked", [True, False])
def test_an_endless_body_is_cut_off(chunked: bool) -> None:
    ended = []

    async def for_ever(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n"))
        try:
            while True:
                writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            ended.append(True)

    assert refusal(for_ever, bytes=1_000_000) == "127.0.0.1 sends more than 976.6 KiB"
    assert ended == [True]


def test_a_body_that_drips_is_cut_off_in_time() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert refusal(drip, seconds=0.3) == "127.0.0.1 took longer than 0.3 s"


def test_what_is_said_beside_a_body_is_cut_off_in_time() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    assert refusal(endless, seconds=0.3) == "127.0.0.1 took longer than 0.3 s"


def test_redirects_share_the_time() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        writer.write(redirect("/"))

    assert refusal(slow, seconds=1.0) == "127.0.0.1 redirects, and 127.0.0.1 took longer than 1 s"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nx"])
def test_a_server_that_falls_silent_is_left(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.fetching.sessions, "SILENCE_SECONDS", 0.1)
    assert refusal(head) == "127.0.0.1 sent nothing for 0.1 s"


def test_a_connection_that_is_not_taken_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets to a host that isn't there get no answer: here, a connection that is never made."""

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(sources.fetching.sessions, "CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(aiohappyeyeballs, "start_connection", never)

    async def test() -> None:
        async with Fetcher(FetchLimits(), Pauses()) as fetcher:
            with pytest.raises(OriginFailed, match=r"^8\.8\.8\.8 cannot be reached, asked 3 times$"):
                await fetcher.fetch("http://8.8.8.8/")

    run(test())


def test_a_name_server_that_is_slow_counts_as_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = socket.socketpair()

    def look_up(*_: object, **__: object) -> list[Any]:
        answered[0].recv(1)
        return []

    async def test() -> None:
        async with Fetcher(FetchLimits(seconds=0.2)) as fetcher:
            with pytest.raises(FetchRefused, match=r"^pictures\.test took longer than 0\.2 s$"):
                await fetcher.fetch("http://pictures.test/")
            answered[1].send(b"x")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    run(test())
    for each in answered:
        each.close()


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_compressed_data_is_not_unpacked(encoding: str) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    assert refusal(page(bomb, Content_Encoding=encoding)) == "127.0.0.1 sends compressed data, which wasn't asked for"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX\x00: y\r\n\r\n",
    ],
    ids=lambda answer: answer[:60].decode(),
)
def test_what_is_no_http_is_refused(answer: bytes) -> None:
    assert refusal(answer) == "127.0.0.1 sends no proper HTTP answer"


def test_a_body_in_crumbs_is_refused() -> None:
    crumbs = b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + crumbs
    assert refusal(answer) == "127.0.0.1 sends its answer in pieces that are too small"


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200", page()[:-1], b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"]
)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_connection_that_ends_too_early(sent: bytes, how: str) -> None:
    async def breaks_off(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await writer.drain()
        if how == "reset":
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()

    assert refusal(breaks_off) == "127.0.0.1 broke the connection off, asked 3 times"


# What is tried again, and whose fault it is


def broken_off(writer: asyncio.StreamWriter) -> Awaitable[None]:
    writer.write(page()[:-1])
    writer.close()
    return asyncio.sleep(0)


class Turns:
    """A page that answers differently every time; the last answer for ever."""

    def __init__(self, *answers: Page) -> None:
        self._answers = list(answers)

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, bytes):
            writer.write(answer)
        else:
            await answer(writer)


def tries(answer: Page, **limits: Any) -> tuple[Fetched | OriginFailed, list[float], int]:
    """What comes of the one page of a server, the pauses, and how often it was asked."""
    found: list[Fetched | OriginFailed] = []
    pauses, site = Pauses(), Site({"/": answer})

    async def test() -> None:
        async with serving(site), Fetcher(FetchLimits(LOOPBACK, **limits), pauses) as fetcher:
            try:
                found.append(await fetcher.fetch(site.url()))
            except OriginFailed as error:
                found.append(error)

    run(test())
    return found[0], pauses.seconds, len(site.requests)


DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        (page(b"", "429 Too Many Requests"), 0.5),
        (page(b"", "502 Bad Gateway"), 0.5),
        (page(b"", "503 Service Unavailable", Retry_After="1"), 1.0),
        (page(b"", "429 Too Many Requests", Retry_After="7"), 7.0),
        (page(b"", "503 No", Retry_After="0"), 0.5),
        (page(b"", "503 No", Retry_After="Wed, 21 Oct 2015 07:28:03 GMT", Date=DATE), 3.0),
        (page(b"", "503 No", Retry_After="Wed, 21 Oct 2015 07:28:03 GMT"), 0.5),
        (page(b"", "503 No", Retry_After="soon"), 0.5),
        (page(b"", "503 No", Retry_After="-1"), 0.5),
        (page(b"", "503 No", Retry_After="\u0661"), 0.5),
        (page(b"", "504 Gateway Timeout"), 0.5),
        (broken_off, 0.5),
    ],
)
def test_a_passing_fault_passes(fault: Page, pause: float) -> None:
    assert tries(Turns(fault, page())) == (Fetched(PICTURE, None, None), [pause], 2)


def test_tries_are_bounded() -> None:
    failed, pauses, asked = tries(page(b"", "503 Service Unavailable", Retry_After="1"))
    assert str(failed) == "127.0.0.1 answers with status 503, asked 3 times"
    assert isinstance(failed, OriginFailed) and (failed.late, failed.retry_after) == (False, 1.0)
    assert (pauses, asked) == ([1.0, 2.0], 3)


@pytest.mark.parametrize(("wait", "seconds"), [("11", 20.0), ("999999999999", 20.0), ("3", 3.0)])
def test_a_server_that_asks_for_more_time_than_there_is_is_not_asked_again(wait: str, seconds: float) -> None:
    failed, pauses, asked = tries(page(b"", "503 Later", Retry_After=wait), seconds=seconds)
    assert str(failed) == "127.0.0.1 answers with status 503"
    assert isinstance(failed, OriginFailed) and failed.retry_after == float(wait[:9])
    assert (pauses, asked) == ([], 1)


def test_pauses_count_as_time() -> None:
    """Of 5 seconds a pause of 4 leaves too few for another."""
    failed, pauses, asked = tries(page(b"", "503 Later", Retry_After="4"), seconds=5.0)
    assert isinstance(failed, OriginFailed)
    assert (pauses, asked) == ([4.0], 2)


def test_redirects_share_the_tries() -> None:
    busy = page(b"", "503 Busy")
    found, pauses, asked = tries(Turns(busy, redirect("/"), busy, redirect("/"), busy))
    assert str(found) == "127.0.0.1 redirects, and 127.0.0.1 answers with status 503, asked 3 times"
    assert (pauses, asked) == ([0.5, 2.0], 5)


@pytest.mark.parametrize(
    ("answer", "late"),
    [
        (page(b"", "500 No"), False),
        (page(b"", "501 Not Implemented"), False),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False),
        (page(b"", Content_Encoding="gzip"), False),
        (redirect("/"), False),
        (lambda _writer: asyncio.sleep(0.3), True),
    ],
)
def test_a_lasting_fault_of_the_server_is_not_tried_again(answer: Page, late: bool) -> None:
    failed, pauses, _ = tries(answer, seconds=0.2 if late else 20.0)
    assert isinstance(failed, OriginFailed) and failed.late is late
    assert pauses == []


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "401 No", "403 No", "404 No", "410 Gone"])
def test_a_url_without_a_picture_is_no_fault_of_the_server(status: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        fetch(page(b"", status))
    assert not isinstance(refused.value, OriginFailed)


# Connections that are kept


def test_what_is_left_over_on_a_connection_is_not_the_next_answer() -> None:
    async def test() -> None:
        sent = asyncio.Event()

        async def more_later(writer: asyncio.StreamWriter) -> None:
            writer.write(page(b"later"))
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(b"rubbish" * 10)
            await writer.drain()
            sent.set()

        site = Site({"/": page(), "/more": page(b"more") + page(b"forged"), "/later": more_later})
        async with serving(site), Fetcher(FetchLimits(LOOPBACK)) as fetcher:
            assert (await fetcher.fetch(site.url("/more"))).data == b"more"
            assert (await fetcher.fetch(site.url("/"))).data == PICTURE
            assert site.connections == 2
            assert (await fetcher.fetch(site.url("/later"))).data == b"later"
            await sent.wait()
            await asyncio.sleep(0.05)
            assert (await fetcher.fetch(site.url("/"))).data == PICTURE
            assert site.connections == 3

    run(test())


def test_connections_are_kept_apart_by_host_and_port(names: dict[str, list[list[str]]]) -> None:
    names |= {"a.test": [["127.0.0.1"]], "b.test": [["127.0.0.1"]]}

    async def test() -> None:
        async with (
            serving(Site({"/": page(b"one")})) as one,
            serving(Site({"/": page(b"two")})) as two,
            Fetcher(FetchLimits(LOOPBACK)) as fetcher,
        ):
            for _ in range(2):
                for host in ("a.test", "b.test", "127.0.0.1"):
                    assert (await fetcher.fetch(one.url("/", host))).data == b"one"
                    assert (await fetcher.fetch(two.url("/", host))).data == b"two"
            assert (one.connections, two.connections) == (3, 3)

    run(test())


def test_a_kept_connection_that_the_server_has_closed_is_replaced() -> None:
    async def test() -> None:
        async def then_close(writer: asyncio.StreamWriter) -> None:
            writer.write(page())
            await writer.drain()
            writer.close()

        site = Site({"/": then_close})
        async with serving(site), Fetcher(FetchLimits(LOOPBACK)) as fetcher:
            for number in range(1, 4):
                assert (await fetcher.fetch(site.url())).data == PICTURE
                await site.all_closed()
                assert site.connections == number

    run(test())


def test_a_kept_connection_that_falls_silent_is_not_asked_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        site = Site({"/": page(), "/silent": b""})
        async with serving(site), Fetcher(FetchLimits(LOOPBACK)) as fetcher:
            await fetcher.fetch(site.url())
            with pytest.raises(FetchRefused, match=r"^127\.0\.0\.1 sent nothing for 0\.1 s$"):
                await fetcher.fetch(site.url("/silent"))
        assert (len(site.requests), site.connections) == (2, 1)

    monkeypatch.setattr(sources.fetching.sessions, "SILENCE_SECONDS", 0.1)
    run(test())


def test_idle_connections_are_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        site = Site({"/": page()})
        async with serving(site), Fetcher(FetchLimits(LOOPBACK)) as fetcher:
            for _ in range(2):
                await asyncio.gather(*(fetcher.fetch(site.url()) for _ in range(4)))
                assert site.open == 4
                await site.all_closed()

    monkeypatch.setattr(sources.fetching.sessions, "KEEP_SECONDS", 0.1)
    run(test())


def test_downloads_from_one_host_are_bounded_and_waiting_is_no_lost_time() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(page())

    async def test() -> None:
        site = Site({"/": slow})
        limits = FetchLimits(LOOPBACK, per_host=3, seconds=2.0)
        async with serving(site), Fetcher(limits) as fetcher:
            fetched = await asyncio.gather(*(fetcher.fetch(site.url()) for _ in range(75)))
            assert {each.data for each in fetched} == {PICTURE}
            assert (site.most_open, site.connections) == (3, 3)

    run(test())


def test_downloads_in_all_are_bounded() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        nonlocal busy, most_busy
        busy += 1
        most_busy = max(busy, most_busy)
        await asyncio.sleep(0.02)
        busy -= 1
        writer.write(page())

    async def test() -> None:
        site = Site({"/": slow})
        limits = FetchLimits(LOOPBACK, per_host=3, in_all=5)
        async with serving(site, "0.0.0.0"), Fetcher(limits) as fetcher:
            hosts = [f"127.0.0.{number}" for number in range(1, 11)] * 4
            await asyncio.gather(*(fetcher.fetch(site.url("/", host)) for host in hosts))
            assert most_busy == 5
            assert site.open <= 10  # half of them just being closed

    busy = most_busy = 0
    run(test())


def test_a_download_that_is_cancelled_leaves_nothing_behind() -> None:
    async def test() -> None:
        asked = asyncio.Event()

        async def never(_writer: asyncio.StreamWriter) -> None:
            asked.set()
            await asyncio.Event().wait()

        site = Site({"/": page(), "/never": never})
        async with serving(site) as site, Fetcher(FetchLimits(LOOPBACK, per_host=1, in_all=1)) as fetcher:
            waiting = asyncio.create_task(fetcher.fetch(site.url("/never")))
            behind = asyncio.create_task(fetcher.fetch(site.url("/")))
            await asked.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert (await behind).data == PICTURE
            for task in asyncio.all_tasks():
                if "serve" in str(task.get_coro()) and not task.done():
                    task.cancel()

    run(test())


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A key and its certificate for pictures.test and 127.0.0.1, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=pictures.test -days 2"
    names = "subjectAltName=DNS:pictures.test,IP:127.0.0.1"
    files = ["-addext", names, "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "certificate.pem").read_bytes())
    yield both
    shutil.rmtree(folder)


def https(site: Site, host: str) -> str:
    return site.url("/", host).replace("http:", "https:")


def test_tls_is_with_the_name_of_the_url(
    certificate: Path, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    told: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: told.append(name)
    names |= {"pictures.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]}

    async def test() -> None:
        async with serving(Site({"/": page()}), tls=tls) as site:
            async with Fetcher(FetchLimits(LOOPBACK)) as fetcher:
                with pytest.raises(FetchRefused, match=r"^pictures\.test has a certificate that cannot be trusted: "):
                    await fetcher.fetch(https(site, "pictures.test"))
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            told.clear()
            async with Fetcher(FetchLimits(LOOPBACK), Pauses()) as fetcher:
                for _ in range(2):
                    assert (await fetcher.fetch(https(site, "PICTURES.test."))).data == PICTURE
                assert (await fetcher.fetch(https(site, "127.0.0.1"))).data == PICTURE
                assert told == ["pictures.test", None]
                with pytest.raises(FetchRefused, match=r"^other\.test has a certificate that .*Hostname mismatch"):
                    await fetcher.fetch(https(site, "other.test"))
                with pytest.raises(FetchRefused, match=r"^127\.0\.0\.1 broke the connection off, asked 3 times$"):
                    await fetcher.fetch(site.url())

    run(test())


def test_a_server_without_tls_is_not_asked_by_https() -> None:
    async def test() -> None:
        async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(page())
            writer.close()

        server = await asyncio.start_server(no_tls, "127.0.0.1")
        async with server, Fetcher(FetchLimits(LOOPBACK)) as fetcher:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(FetchRefused, match=r"^127\.0\.0\.1 speaks no proper TLS$"):
                await fetcher.fetch(f"https://127.0.0.1:{port}/")

    run(test())


# The environment


def test_limits_are_read_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_in(tmp_path).fetching == FetchLimits(Reach(), 32 << 20, 20.0, 5)
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "*.example.org, 10.0.0.0/8")
    monkeypatch.setenv("HASHLAKE_FETCH_DENY", "a.example.org")
    monkeypatch.setenv("HASHLAKE_FETCH_MAX_MB", "2")
    monkeypatch.setenv("HASHLAKE_FETCH_SECONDS", "1.5")
    monkeypatch.setenv("HASHLAKE_FETCH_REDIRECTS", "0")
    reach = Reach(HostList.parse("*.example.org, 10.0.0.0/8"), HostList.parse("a.example.org"))
    assert settings_in(tmp_path).fetching == FetchLimits(reach, 2 << 20, 1.5, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HASHLAKE_FETCH_ALLOW", "10.0.0.1/8"),
        ("HASHLAKE_FETCH_DENY", "a b"),
        ("HASHLAKE_FETCH_MAX_MB", "0"),
        ("HASHLAKE_FETCH_SECONDS", "0"),
        ("HASHLAKE_FETCH_SECONDS", "inf"),
        ("HASHLAKE_FETCH_REDIRECTS", "-1"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(GatewayError, match=f"^{name} is '{value}': "):
        GatewaySettings.read()

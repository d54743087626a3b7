"""A client's URL leads nowhere inside: each way round × each kind of redirect × each route that fetches.

127.0.0.2 and 127.0.0.3 stand for the internet, as HASHLAKE_FETCH_ALLOW permits; 127.0.0.1 and ::1 are inside, and
something listens there on the same port: it must never be connected to. The origins are real servers, the name server
is a table of the test, and everything of the gateway is real but TorchServe, which isn't there.
"""

import itertools
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohappyeyeballs
import httpx
import pytest

from contract.model import ModelIdentity
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.http import Answer
from gateway.torchserve.model_servers import ModelServers
from tests.fakes import png_of
from tests.gateway.live import Live, live
from tests.reliability.campaign import Sizes, Tell, drawn
from tests.searcher.live.fixtures import MODEL, addition

OUTSIDE, FARTHER = "127.0.0.2", "127.0.0.3"
PICTURE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + png_of(7)


class Origin:
    """Answers GET by ``pages``, 404 for others, HEAD with whatever looks harmless; one request a connection."""

    def __init__(self, host: str, port: int = 0) -> None:
        self._listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port: int = self._listener.getsockname()[1]
        self.pages: dict[str, bytes] = {}
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    head = connection.recv(65536).decode(errors="replace")
                    self.requests.append(head)
                    method, path, *_ = [*head.split(maxsplit=2), "", ""]
                    nothing = b"HTTP/1.1 404 No\r\nConnection: close\r\n\r\n"
                    connection.sendall(PICTURE if method == "HEAD" else self.pages.get(path, nothing))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


#: Where redirects lead: places inside, in the spellings of different programs; ``{port}`` is the one listened on.
INSIDE = [
    "http://127.0.0.1:{port}/", "http://127.0.0.1.:{port}/", "http://127.1:{port}/", "http://127.0.1:{port}/",
    "http://2130706433:{port}/", "http://0x7f000001:{port}/", "http://0x7f.0.0.1:{port}/", "http://017700000001:{port}/",
    "http://0177.0.0.1:{port}/", "http://0:{port}/", "http://0.0.0.0:{port}/", "http://127.8.8.8:{port}/",
    "http://[::1]:{port}/", "http://[::]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::127.0.0.1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/", "http://[::ffff:7f00:1]:{port}/", "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/", "http://[::1%25lo]:{port}/", "http://[fe80::1]:{port}/",
    "http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://2852039166/",
    "http://100.100.100.200/", "http://[fd00:ec2::254]/", "http://10.0.0.1/", "http://192.168.1.1/",
    "http://localhost:{port}/", "http://LOCALHOST.:{port}/", "http://inside.test:{port}/", "http://six.test:{port}/",
    "http://mapped.test:{port}/", "http://both.test:{port}/", "http://metadata.test/", "http://nowhere.test:{port}/",
    "http://user:password@127.0.0.1:{port}/", "http://127.0.0.2@127.0.0.1:{port}/", "http://127.0.0.2:80@inside.test/",
    "http://127.0.0.1:{port}\\@127.0.0.2/", "http://127.0.0.2:{port}#@127.0.0.1:{port}/x", "http://127.0.0.1:{port}#.test/",
    "http://127.0.0.1%00.test:{port}/", "http://127.0.0.1%2f.test:{port}/", "http://１２７．０．０．１:{port}/",
    "http://①②⑦。⓪。⓪。①:{port}/", "http://loc\u00adalhost:{port}/", "//127.0.0.1:{port}/", "///127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "http:/127.0.0.1:{port}/", "http:127.0.0.1:{port}/",
    "\\\\127.0.0.1:{port}\\", "/\\127.0.0.1:{port}/", " http://127.0.0.1:{port}/", "http://127.0.0.1:{port}/\t",
    "http://127.0.0.2:22/", "file:///etc/passwd", "ftp://127.0.0.1:{port}/", "gopher://127.0.0.1:{port}/_GET",
    "dict://127.0.0.1:{port}/", "data:image/png;base64,AAAA", "unix:/run/management.sock", "jar:http://127.0.0.1!/",
]  # fmt: skip
NAMES = {
    "localhost": ["127.0.0.1", "::1"], "inside.test": ["127.0.0.1"], "six.test": ["::1"],
    "mapped.test": ["::ffff:127.0.0.1"], "both.test": [OUTSIDE, "127.0.0.1"], "metadata.test": ["169.254.169.254"],
    "nowhere.test": [], "outside.test": [OUTSIDE], "turning.test": [],
}  # fmt: skip
STATUSES = ["301 Moved", "302 Found", "303 Other", "307 Same", "308 Same for ever", "300 Many", "200 OK"]
#: Where the client's own URL leads, and how many redirects to honest places come before the last one.
CHAINS = [(OUTSIDE, 0), ("outside.test", 1), (OUTSIDE, 4)]
#: Each route that fetches, at each door that has it.
ROUTES = [
    (route, door) for route in ("search", "compare", "add", "search_add", "add_bulk") for door in ("own", "idios")
]
ROUTES.append(("thumbnail", "own"))


@dataclass
class Stack:
    """The gateway with a collection ``shoes``, both of its doors, and what is outside and inside."""

    server: Live
    outside: Origin
    farther: Origin
    inside: list[Origin]
    client: httpx.Client
    #: For a name, what each further look-up answers.
    turns: dict[str, list[list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shoes = self.server.services.collections.collections.create("shoes", MODEL)
        self.key = {"X-API-Key": self.server.services.keys.create("boss", "admin")[1]}

    def url(self, host: str, path: str) -> str:
        return f"http://{host}:{self.outside.port}{path}"

    def ask(self, route: str, door: str, url: str) -> httpx.Response:
        if route == "thumbnail":
            self.shoes.add([addition(url, 1)])
            address = f"http://127.0.0.1:{self.server.port}/api/collections/shoes/thumbnail"
            answer = self.client.get(address, params={"url": url})
            self.shoes.remove([url])  # other routes fetch only what isn't there
            return answer
        body = {"url": url, "other": url} if route == "compare" else {"url": url}
        port, headers = (self.server.port, self.key) if door == "own" else (self.server.idios_port, {})
        address = f"http://127.0.0.1:{port}/models/shoes/{route}"
        return self.client.post(address, json=[body] if route == "add_bulk" else body, headers=headers)

    def addresses(self, name: str) -> list[str]:
        """What the name server answers, this time."""
        turns = self.turns.get(name, [])
        return turns.pop(0) if turns else NAMES[name]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    real, dial, dialled = socket.getaddrinfo, aiohappyeyeballs.start_connection, set[str]()

    def look_up(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        name = str(host).removesuffix(".").lower()
        if name not in NAMES:
            return real(host, port, *rest, **options)
        if not (addresses := made.addresses(name)):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [found for each in addresses for found in real(each, port, *rest, **options)]

    async def start_connection(addr_infos: Any, **options: Any) -> socket.socket:
        dialled.update(str(address[0]) for *_, address in addr_infos)
        return await dial(addr_infos, **options)

    async def unknown(*_: object) -> Answer:
        """What TorchServe says of a URL that the collection doesn't have."""
        return Answer(404, (), {}, b"{}")

    async def name_of(_servers: ModelServers, _model: ModelIdentity) -> str:
        return "shoes"

    with ExitStack() as running:
        outside = running.enter_context(Origin(OUTSIDE))
        farther = running.enter_context(Origin(FARTHER, outside.port))
        inside = [running.enter_context(Origin(host, outside.port)) for host in ("127.0.0.1", "::1")]
        server = running.enter_context(live(tmp_path, fetch_allow=f"{OUTSIDE}, {FARTHER}", fetch_seconds=5.0))
        client = running.enter_context(httpx.Client(timeout=60, trust_env=False))
        made = Stack(server, outside, farther, inside, client)
        monkeypatch.setattr(TorchServeClient, "predict", unknown)
        monkeypatch.setattr(ModelServers, "name_of", name_of)
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        monkeypatch.setattr(aiohappyeyeballs, "start_connection", start_connection)
        yield made
        assert dialled <= {OUTSIDE, FARTHER}
        assert not [request for origin in inside for request in origin.requests]
        assert {request.split()[0] for request in outside.requests + farther.requests} <= {"GET"}


def redirect(place: str, status: str = "302 Found") -> bytes:
    return f"HTTP/1.1 {status}\r\nLocation: {place}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nover".encode()


def was_refused(answer: httpx.Response) -> bool:
    if answer.status_code == 200 and "failed" in answer.text:  # add_bulk
        return answer.json()["added"] == answer.json()["found"] == []
    return answer.status_code in (404, 415, 422, 502)


def test_no_url_leads_inside(stack: Stack, sizes: Sizes, tell: Tell) -> None:
    """Neither by itself, nor by a redirect of an honest place, nor after several."""
    counts, wrong = Counter[str](), list[str]()
    places = [place.format(port=stack.outside.port) for place in INSIDE]
    direct = itertools.product(places, [""], [None], ROUTES)
    redirected = itertools.product(places, STATUSES, CHAINS, ROUTES)
    table = drawn(direct, sizes) + drawn(redirected, sizes)
    for number, (place, status, chain, (route, door)) in enumerate(table):
        url, before = place, len(stack.outside.requests)
        if chain is not None:
            host, honest = chain
            url = stack.url(host, f"/{number}/0")
            for step in range(honest):
                stack.outside.pages[f"/{number}/{step}"] = redirect(stack.url(OUTSIDE, f"/{number}/{step + 1}"))
            stack.outside.pages[f"/{number}/{honest}"] = redirect(place, status)
        answer = stack.ask(route, door, url)
        counts[str(answer.status_code)] += 1
        if not was_refused(answer) or (chain is not None and len(stack.outside.requests) <= before + chain[1]):
            wrong.append(f"{route} at {door}: {status} {place} after {chain}: {answer.status_code} {answer.text[:200]}")
    tell(f"{counts.total():,} URLs: {dict(sorted(counts.items()))}; nothing was sent inside; {len(wrong)} wrong")
    assert not wrong


def test_a_redirect_to_another_honest_place_is_followed(stack: Stack) -> None:
    """So the refusals above are not for something else."""
    stack.outside.pages["/a"] = redirect(stack.url(FARTHER, "/b"))
    stack.farther.pages["/b"] = PICTURE
    for route, door in ROUTES:
        stack.farther.requests.clear()
        stack.ask(route, door, stack.url("outside.test", "/a"))
        assert len(stack.farther.requests) == 1


def test_a_name_that_turns_inside(stack: Stack, tell: Tell) -> None:
    """A connection goes to the address that was checked; each further one has its own look-up and check."""
    trials = 0
    for route, door in ROUTES:
        for first, answers, asked in (
            ("/picture", [[OUTSIDE], ["127.0.0.1"]], 1),  # one look-up: the second answer is never asked for
            ("/again", [[OUTSIDE], ["127.0.0.1"]], 1),
            ("/again", [[OUTSIDE], ["::1"]], 1),
            ("/again", [[OUTSIDE], [OUTSIDE, "127.0.0.1"]], 1),
            ("/picture", [["127.0.0.1", OUTSIDE]], 0),
            ("/picture", [["::ffff:127.0.0.1"]], 0),
        ):
            trials += 1
            first = f"{first}/{trials}"  # its thumbnail isn't kept yet
            page = PICTURE if first.startswith("/picture") else redirect(stack.url("turning.test", "/picture"))
            stack.outside.pages[first] = page
            stack.turns["turning.test"] = [*answers]
            before = len(stack.outside.requests)
            answer = stack.ask(route, door, stack.url("turning.test", first))
            assert len(stack.outside.requests) - before == asked, answer.text
            fetched = page == PICTURE and asked
            assert len(stack.turns["turning.test"]) == (1 if fetched else 0)
            assert fetched or was_refused(answer), answer.text
    tell(f"{trials} URLs: nothing was sent inside")

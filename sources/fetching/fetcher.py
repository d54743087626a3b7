"""Downloads pictures from URLs that clients name.

    URL ─▶ parts (web_address) ─▶ may the host be asked? ─▶ its addresses, looked up once ─▶ may each be reached?
        ─▶ its turn (pace) ─▶ a connection to exactly those (sessions) ─▶ the body, within the limits; a redirect
           starts over

What may pass is tried again (retries), within the same time; a body that broke off goes on where it stopped (resuming).
A refusal says whose fault it is: the URL's, or its server's (OriginFailed).

Names are looked up only once, so a name server that changes its answer in between gains nothing. Refusals are fit for
the client: they don't distinguish an unknown name from one in the network behind this machine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from typing import NoReturn, Self
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from contract.amounts import size
from sources.errors import FetchRefused, OriginFailed
from sources.fetching import sessions
from sources.fetching.addresses import Reach
from sources.fetching.pace import Pace
from sources.fetching.resuming import Begun
from sources.fetching.retries import PASSING, PassingFault, Patience, retry_after
from sources.fetching.sessions import EndlessHeads, HostSessions, OutOfReach
from sources.fetching.web_address import Link, parse_link

_REDIRECTS = {
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
}
#: Compressed answers are neither asked for nor unpacked: pictures are compressed already, and a small body may unpack
#: to an endless one. Other values of Content-Encoding are common, harmless mistakes.
_COMPRESSIONS = {"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"}
#: An answer in tiny pieces costs much work for few bytes: past 2,000 pieces, they must average 256 bytes.
_MANY_PIECES, _LEAST_MEAN_BYTES = 2000, 256
_NO_HTTP = "sends no proper HTTP answer"
_BROKEN_OFF = "broke the connection off"


@dataclass(frozen=True)
class FetchLimits:
    """``bytes``: largest picture. ``seconds``: for a whole download, with its redirects and repeats, without waiting
    for its turn. ``per_host``, ``in_all``: downloads at one time; connections to ``in_all`` more hosts may stay open,
    idle. ``apart``: seconds between two requests to one host."""

    reach: Reach = field(default_factory=Reach)
    bytes: int = 32 * 1024 * 1024
    seconds: float = 20.0
    redirects: int = 5
    per_host: int = 8
    in_all: int = 24  # each of up to 32 MiB, in memory
    apart: float = 0.0


@dataclass(frozen=True)
class Fetched:
    """A file, with the server's ETag and Last-Modified headers, unchanged."""

    data: bytes
    etag: str | None
    last_modified: str | None


class Fetcher:
    """Downloads within ``limits``; ``sleep`` waits for a turn, and before another try. Must be entered and used in one
    event loop."""

    def __init__(self, limits: FetchLimits, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._limits = limits
        self._sleep = sleep
        self._all = asyncio.Semaphore(limits.in_all)
        self._pace = Pace(limits.apart)

    async def __aenter__(self) -> Self:
        headers = {"User-Agent": f"hashlake/{version('hashlake')}", "Accept": "*/*", "Accept-Encoding": "identity"}
        self._sessions = HostSessions(self._limits.reach, headers, self._limits.per_host, self._limits.in_all)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sessions.close()

    async def fetch(self, url: str) -> Fetched:
        """Returns the file at ``url``. Raises FetchRefused; its message tells the client why, in one line."""
        came_by = ""
        patience = Patience(self._limits.seconds)
        for _ in range(self._limits.redirects + 1):
            try:
                link = allowed(url, self._limits.reach)
                answer = await self._patiently(link, patience)
            except FetchRefused as error:
                error.args = (f"{came_by}{error}",)
                raise
            if isinstance(answer, Fetched):
                return answer
            url = answer
            came_by = f"{link.host} redirects, and "
        raise OriginFailed(f"there are more than {self._limits.redirects} redirects")

    async def fetch_any(self, urls: Sequence[str]) -> Fetched:
        """Returns the file at the first of ``urls``, at least one, that its server has. Raises FetchRefused: why the
        first isn't had, or, as soon as a server fails, that."""
        refused: FetchRefused | None = None
        for url in urls:
            try:
                return await self.fetch(url)
            except OriginFailed:
                raise
            except FetchRefused as error:
                refused = refused or error
        assert refused is not None
        raise refused

    async def _patiently(self, link: Link, patience: Patience) -> Fetched | str:
        """Returns the result of ``_in_turn``, which is called again after a fault that may pass."""
        begun = Begun()
        while True:
            try:
                return await self._in_turn(link, patience, begun)
            except PassingFault as fault:
                pause = patience.pause(fault)
                if pause is None:
                    tried = f", asked {patience.tries} times" if patience.tries > 1 else ""
                    raise OriginFailed(f"{link.host} {fault}{tried}", retry_after=fault.retry_after) from fault
                await self._sleep(pause)

    async def _in_turn(self, link: Link, patience: Patience, begun: Begun) -> Fetched | str:
        """Waits for the link's turn. Returns the result of ``_ask``, whose time is taken from ``patience``."""
        clock = asyncio.get_running_loop().time
        try:
            async with self._sessions.turn(link.host) as session:
                if seconds := self._pace.wait(str(link.host)):
                    await self._sleep(seconds)
                async with self._all:
                    began = clock()
                    try:
                        async with asyncio.timeout(patience.seconds):
                            return await self._ask(session, link, begun)
                    finally:
                        patience.seconds -= clock() - began
        except OutOfReach as error:
            raise FetchRefused(f"the host {link.host} is unknown, or its address may not be reached") from error
        except (aiohttp.ClientError, EndlessHeads) as error:  # aiohttp's own timeouts among them
            _raise_fault(link, error)
        except TimeoutError as error:
            raise OriginFailed(f"{link.host} took longer than {self._limits.seconds:g} s", late=True) from error
        except OSError as error:
            raise PassingFault(_BROKEN_OFF) from error

    async def _ask(self, session: aiohttp.ClientSession, link: Link, begun: Begun) -> Fetched | str:
        """Returns the file, or the URL that ``link`` redirects to. What comes of the file stays in ``begun``."""
        tls, asked = self._sessions.tls if link.scheme == "https" else True, begun.asked()
        async with session.get(url_of(link), ssl=tls, allow_redirects=False, headers=asked) as answer:
            headers = answer.headers
            if answer.status < HTTPStatus.OK or headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
                raise OriginFailed(f"{link.host} {_NO_HTTP}")
            if answer.status in _REDIRECTS and "Location" in headers:
                try:
                    return urljoin(str(link), headers["Location"])
                except ValueError as error:  # brackets that don't match
                    raise OriginFailed(f"{link.host} redirects to what is no URL") from error
            if answer.status in PASSING:
                raise PassingFault(f"answers with status {answer.status}", retry_after(headers))
            if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and asked:
                begun.anew()
                raise PassingFault("has no rest of a file that broke off")
            if answer.status == HTTPStatus.PARTIAL_CONTENT and asked:
                begun.rest(headers)
            elif answer.status == HTTPStatus.OK:
                begun.whole(headers)
            else:
                refused = OriginFailed if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else FetchRefused
                raise refused(f"{link.host} answers with status {answer.status}")
            encodings = headers.get("Content-Encoding", "").lower().split(",")
            if _COMPRESSIONS.intersection(encoding.strip() for encoding in encodings):
                raise OriginFailed(f"{link.host} sends compressed data, which wasn't asked for")
            await self._body(link, answer, begun)
            return Fetched(b"".join(begun.pieces), headers.get("ETag"), headers.get("Last-Modified"))

    async def _body(self, link: Link, answer: aiohttp.ClientResponse, begun: Begun) -> None:
        most = self._limits.bytes
        too_long = FetchRefused(f"{link.host} sends more than {size(most)}")
        if begun.length + (answer.content_length or 0) > most:
            raise too_long
        async for piece, _ in answer.content.iter_chunks():  # as the server sends them, to notice tiny pieces
            begun.add(piece)
            if begun.length > most:
                raise too_long
            if len(begun.pieces) > max(_MANY_PIECES, begun.length // _LEAST_MEAN_BYTES):
                raise OriginFailed(f"{link.host} sends its answer in pieces that are too small")


def allowed(url: str, reach: Reach) -> Link:
    """Returns the parts of ``url``. Raises FetchRefused if its host may not be asked."""
    try:
        link = parse_link(url)
    except ValueError as error:
        raise FetchRefused(str(error)) from error
    if not reach.host(link.host):
        raise FetchRefused(f"the host {link.host} may not be asked")
    return link


def url_of(link: Link) -> URL:
    """Returns ``link`` for aiohttp, already encoded, so that aiohttp doesn't read it differently."""
    path, _, query = link.target.partition("?")
    return URL.build(
        scheme=link.scheme, host=str(link.host), port=link.port, path=path, query_string=query, encoded=True
    )


def _raise_fault(link: Link, error: Exception) -> NoReturn:
    """Raise ``error``, which came of asking ``link``, as PassingFault or OriginFailed."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = getattr(error.certificate_error, "verify_message", "it is no certificate of that host")
            fault = f"has a certificate that cannot be trusted: {reason}"
        case aiohttp.ClientConnectorSSLError():
            fault = "speaks no proper TLS"
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            raise PassingFault("cannot be reached") from error
        case aiohttp.SocketTimeoutError():
            raise OriginFailed(f"{link.host} sent nothing for {sessions.SILENCE_SECONDS:g} s", late=True) from error
        case aiohttp.ClientResponseError() | EndlessHeads():
            fault = _NO_HTTP
        case aiohttp.ClientPayloadError() if "Not enough data" not in str(error):
            fault = _NO_HTTP
        case _:
            raise PassingFault(_BROKEN_OFF) from error
    raise OriginFailed(f"{link.host} {fault}") from error

"""Sends files to URLs that clients name, within the same limits as downloads: only hosts and addresses that may be
reached, looked up once, no redirects.

    URL ─▶ parts ─▶ may the host be asked? ─▶ a connection to checked addresses (sessions) ─▶ POST ─▶ status
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Self

import aiohttp

from sources.errors import FetchRefused, OriginFailed
from sources.fetching.addresses import Reach
from sources.fetching.fetcher import allowed, url_of
from sources.fetching.retries import retry_after
from sources.fetching.sessions import EndlessHeads, HostSessions, OutOfReach

_PER_HOST, _IDLE = 2, 4
#: How much of an answer is read.
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class SentFile:
    """The ``field`` of a form, and the name, media type and content of its file."""

    field: str
    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True)
class Response:
    """``retry_after``: seconds that the server asks to wait, if it does."""

    status: int
    retry_after: float | None


class Sender:
    """Sends within ``reach``, in at most ``seconds``. Must be entered and used in one event loop."""

    def __init__(self, reach: Reach, seconds: float) -> None:
        self._reach = reach
        self._seconds = seconds

    async def __aenter__(self) -> Self:
        headers = {"User-Agent": f"hashlake/{version('hashlake')}", "Accept": "*/*"}
        self._sessions = HostSessions(self._reach, headers, _PER_HOST, _IDLE)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sessions.close()

    async def post(self, url: str, fields: Mapping[str, str], file: SentFile) -> Response:
        """Post a form of ``fields`` and ``file`` to ``url``. Returns what the server says, a redirect too. Raises
        FetchRefused, and OriginFailed if the server cannot be reached."""
        link = allowed(url, self._reach)
        form = aiohttp.FormData()
        for name, value in fields.items():
            form.add_field(name, value)
        form.add_field(file.field, file.data, filename=file.name, content_type=file.media_type)
        tls = self._sessions.tls if link.scheme == "https" else True
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._sessions.turn(link.host) as session,
                session.post(url_of(link), data=form, ssl=tls, allow_redirects=False) as answer,
            ):
                await answer.content.read(_MOST_BYTES)
                return Response(answer.status, retry_after(answer.headers))
        except OutOfReach as error:
            raise FetchRefused(f"the host {link.host} is unknown, or its address may not be reached") from error
        except TimeoutError as error:
            raise OriginFailed(f"{link.host} took longer than {self._seconds:g} s", late=True) from error
        except (aiohttp.ClientError, EndlessHeads, OSError) as error:
            raise OriginFailed(f"{link.host} cannot be reached: {type(error).__name__}") from error

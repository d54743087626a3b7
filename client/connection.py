"""HTTP to one gateway: connections are kept, errors become the client's own, and what may be asked twice is asked
again when a connection breaks."""

import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from os import PathLike
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from client.answers import Json
from client.errors import NotUnderstood, Unreachable, refusal
from client.json_text import encode

#: A picture to send along: the bytes of its file, or where the file is.
Picture: TypeAlias = bytes | str | PathLike[str]
Answer = TypeVar("Answer")

_CONNECT_SECONDS = 5.0
#: Before what may be asked twice is asked for the second and for the third time.
_PAUSES = (0.1, 0.5)
#: uvicorn closes a connection that has been idle for 5 s, and would lose a request that comes just then.
_LIMITS = httpx.Limits(keepalive_expiry=2.0)
#: Through no proxy, whatever the environment says.
_THIS_MACHINE = ("all://127.0.0.1", "all://localhost", "all://[::1]")
_BROKEN = (httpx.NetworkError, httpx.RemoteProtocolError)
#: Parts of a form or a query that are plain text; the others are JSON.
_TEXTS = frozenset({"url", "other", "text", "cursor", "view"})


class Connection:
    """The gateway at ``url``. ``key`` is sent with each request; ``timeout`` is how many seconds the server may say
    nothing, None for any time. Threads may share it. ValueError for a URL or a key that cannot be one."""

    def __init__(self, url: str, key: str | None, timeout: float | None) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"{url!r} is no URL: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"{url!r} is no URL: it reads http://HOST:PORT or https://HOST:PORT")
        if key is not None and not (key and key.isascii() and key.isprintable()):
            raise ValueError("the key has characters that no key has")
        self._shown = str(parsed.copy_with(userinfo=b"")).rstrip("/")
        self._timeout = timeout
        self._http = httpx.Client(
            base_url=parsed,
            headers={} if key is None else {"X-API-Key": key},
            timeout=self._patience(timeout),
            limits=_LIMITS,
            mounts=dict.fromkeys(_THIS_MACHINE),
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Json] | None = None) -> httpx.Response:
        return self._ask(self._http.build_request("GET", path, params=_texts(params or {})), again=True)

    def delete(self, path: str) -> httpx.Response:
        return self._ask(self._http.build_request("DELETE", path))

    def post(
        self,
        path: str,
        fields: Mapping[str, Json] | None = None,
        images: Mapping[str, Picture | None] | None = None,
        *,
        again: bool = False,
        waits: bool = False,
    ) -> httpx.Response:
        """Send ``fields`` as a JSON object, or as a form where there are ``images``; None is left out of both.

        ``again``: it does no harm twice. ``waits``: however long it takes. OSError for a picture's file that cannot
        be read.
        """
        files = {name: ("image", contents(picture)) for name, picture in (images or {}).items() if picture is not None}
        timeout = self._patience(None if waits else self._timeout)
        if files:
            request = self._http.build_request("POST", path, data=_texts(fields or {}), files=files, timeout=timeout)
        else:
            body = encode({name: value for name, value in (fields or {}).items() if value is not None})
            request = self._json_request(path, body, timeout)
        return self._ask(request, again=again)

    def post_array(self, path: str, body: bytes) -> httpx.Response:
        """Send the JSON array ``body``; it does no harm twice."""
        return self._ask(self._json_request(path, body, self._patience(self._timeout)), again=True)

    def lines(self, path: str, params: Mapping[str, Json]) -> Iterator[bytes]:
        """The lines of an answer as they come, however long the server takes for them."""
        request = self._http.build_request("GET", path, params=_texts(params), timeout=self._patience(None))
        response = self._ask(request, again=True, stream=True)
        rest = b""
        try:
            # httpx's own iter_lines would also part a line at U+2028, which JSON leaves as it is.
            for chunk in response.iter_bytes():
                *whole, rest = (rest + chunk).split(b"\n")
                yield from filter(None, whole)
        except httpx.RequestError as error:
            raise Unreachable(f"the answer of {self._shown} broke off: {_reason(error)}") from error
        finally:
            response.close()
        if rest:
            yield rest

    def understood(self, adapter: TypeAdapter[Answer], body: bytes) -> Answer:
        """``body`` as what it should be. NotUnderstood if it isn't."""
        try:
            return adapter.validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the answer"
            raise NotUnderstood(f"{self._shown} doesn't answer as a gateway does: {place}: {first['msg']}") from error

    def require_done(self, response: httpx.Response) -> None:
        """NotUnderstood unless the answer is the empty one of what was done."""
        if response.status_code != HTTPStatus.NO_CONTENT:
            raise NotUnderstood(f"{self._shown} doesn't answer as a gateway does: status {response.status_code}")

    def _json_request(self, path: str, body: bytes, timeout: httpx.Timeout) -> httpx.Request:
        return self._http.build_request(
            "POST", path, content=body, headers={"Content-Type": "application/json"}, timeout=timeout
        )

    def _ask(self, request: httpx.Request, *, again: bool = False, stream: bool = False) -> httpx.Response:
        try:
            for pause in _PAUSES if again else ():
                try:
                    return self._answer(request, stream)
                except _BROKEN:
                    time.sleep(pause)
            return self._answer(request, stream)
        except httpx.ConnectTimeout as error:
            raise Unreachable(f"{self._shown} cannot be reached within {_CONNECT_SECONDS:g} s") from error
        except httpx.TimeoutException as error:
            raise Unreachable(f"{self._shown} said nothing for {self._timeout:g} s") from error
        except httpx.RequestError as error:
            raise Unreachable(f"{self._shown} cannot be reached: {_reason(error)}") from error

    def _answer(self, request: httpx.Request, stream: bool) -> httpx.Response:
        response = self._http.send(request, stream=stream)
        if response.is_success:
            return response
        try:
            response.read()
        finally:
            response.close()
        raise refusal(response)

    @staticmethod
    def _patience(seconds: float | None) -> httpx.Timeout:
        return httpx.Timeout(seconds, connect=_CONNECT_SECONDS)


def quoted(name: str) -> str:
    """``name`` as one step of a URL's path. ValueError for one that would be none, or would lead elsewhere."""
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no collection's name")
    return quote(name, safe="")


def contents(picture: Picture) -> bytes:
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()


def _texts(fields: Mapping[str, Json]) -> dict[str, str]:
    return {
        name: value if name in _TEXTS else encode(value).decode() for name, value in fields.items() if value is not None
    }


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__

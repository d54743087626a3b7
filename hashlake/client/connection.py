"""HTTP to one gateway: keeps connections, turns errors into the client's own, and repeats a request that is safe to
repeat when a connection breaks."""

import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from os import PathLike
from pathlib import Path
from typing import TypeAlias, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from hashlake.client.answers import Json
from hashlake.client.errors import NotUnderstood, Unreachable, refusal
from hashlake.client.json_text import encode

#: A picture to send: the bytes of its file, or the file's path.
Picture: TypeAlias = bytes | str | PathLike[str]
Answer = TypeVar("Answer")

_CONNECT_SECONDS = 5.0
#: Seconds before the second and the third try of a request that is safe to repeat.
_PAUSES = (0.1, 0.5)
#: uvicorn closes connections idle for 5 s; a request sent at that moment would be lost.
_LIMITS = httpx.Limits(keepalive_expiry=2.0)
#: Reached without a proxy, whatever the environment says.
_THIS_MACHINE = ("all://127.0.0.1", "all://localhost", "all://[::1]")
_BROKEN = (httpx.NetworkError, httpx.RemoteProtocolError)


class Connection:
    """The gateway at ``url``. Each request carries ``key``. ``timeout`` is how many seconds the server may stay silent;
    None waits for ever. Threads may share a connection. Raises ValueError for an invalid URL or key."""

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

    def put(self, path: str, fields: Mapping[str, Json]) -> httpx.Response:
        """Send ``fields`` as a JSON object, without what is None, and wait however long it takes."""
        body = encode({name: value for name, value in fields.items() if value is not None})
        return self._ask(self._json_request(path, body, self._patience(None), method="PUT"))

    def post(
        self,
        path: str,
        fields: Mapping[str, Json] | None = None,
        images: Mapping[str, Picture | None] | None = None,
        *,
        again: bool = False,
        waits: bool = False,
        form: bool = False,
    ) -> httpx.Response:
        """Send ``fields`` as a JSON object, or as a form if there are ``images``, or if it must be a ``form``; None
        values are left out.

        ``again``: the request is safe to repeat. ``waits``: wait however long it takes. Raises OSError for an
        unreadable picture file.
        """
        files = {name: ("image", contents(picture)) for name, picture in (images or {}).items() if picture is not None}
        timeout = self._patience(None if waits else self._timeout)
        if files or form:
            request = self._http.build_request("POST", path, data=_texts(fields or {}), files=files, timeout=timeout)
        else:
            body = encode({name: value for name, value in (fields or {}).items() if value is not None})
            request = self._json_request(path, body, timeout)
        return self._ask(request, again=again)

    def post_array(self, path: str, body: bytes) -> httpx.Response:
        """Send the JSON array ``body``; the request must be safe to repeat."""
        return self._ask(self._json_request(path, body, self._patience(self._timeout)), again=True)

    def lines(self, path: str, params: Mapping[str, Json]) -> Iterator[bytes]:
        """Yields the lines of an answer as they arrive, however long the server takes."""
        request = self._http.build_request("GET", path, params=_texts(params), timeout=self._patience(None))
        response = self._ask(request, again=True, stream=True)
        rest = b""
        try:
            # httpx's own iter_lines also splits at U+2028, which JSON doesn't escape.
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
        """Returns ``body`` as the type of ``adapter``. Raises NotUnderstood if it has another shape."""
        try:
            return adapter.validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the answer"
            raise NotUnderstood(f"{self._shown} doesn't answer as a gateway does: {place}: {first['msg']}") from error

    def require_done(self, response: httpx.Response) -> None:
        """Raises NotUnderstood unless the answer is an empty success."""
        if response.status_code != HTTPStatus.NO_CONTENT:
            raise NotUnderstood(f"{self._shown} doesn't answer as a gateway does: status {response.status_code}")

    def _json_request(self, path: str, body: bytes, timeout: httpx.Timeout, method: str = "POST") -> httpx.Request:
        return self._http.build_request(
            method, path, content=body, headers={"Content-Type": "application/json"}, timeout=timeout
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
    """Returns ``name`` as one segment of a URL's path. Raises ValueError if it is empty or leads elsewhere."""
    if name in ("", ".", ".."):
        raise ValueError(f"{name!r} is no collection's name")
    return quote(name, safe="")


def contents(picture: Picture) -> bytes:
    return picture if isinstance(picture, bytes) else Path(picture).read_bytes()


def _texts(fields: Mapping[str, Json]) -> dict[str, str]:
    """Returns the fields of a form or a query: texts as they are, all else as JSON."""
    return {
        name: value if isinstance(value, str) else encode(value).decode()
        for name, value in fields.items()
        if value is not None
    }


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__

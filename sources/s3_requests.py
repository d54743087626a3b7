"""Requests to a store of S3's protocol that take keys as they are: listing, and objects whose keys are no clean paths.

    key ─▶ its bytes, percent-encoded, in the URL ─▶ signed (AWS Signature Version 4) ─▶ sent unchanged

``a//b.jpg``, ``/b.jpg`` and ``a/../b.jpg`` are keys of three objects, beside ``a/b.jpg`` and ``b.jpg``. Clients that
read keys as paths, or URLs as browsers do, mix them up, or refuse a bucket that has them.
"""

import hashlib
import hmac
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import quote, unquote_plus, urlsplit
from xml.etree import ElementTree

_EMPTY = hashlib.sha256().hexdigest()
_UNSIGNED = "UNSIGNED-PAYLOAD"
#: Seconds within which a server must say something.
_PATIENCE = 60.0
#: Seconds before the next try, with jitter: for 5xx, 429 and broken connections.
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
_AGAIN = (
    HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT,
)  # fmt: skip


class StoreFailed(Exception):
    """The store answered with ``status``, or, with 0, not at all. The message holds no credentials."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Listed(NamedTuple):
    key: str
    version: str
    size: int


class Answer(NamedTuple):
    content: bytes
    etag: str | None
    size: int


@dataclass(frozen=True)
class S3Requests:
    """Reads the ``bucket`` at ``endpoint``, a URL, with an account's key. Threads may share it."""

    endpoint: str
    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)

    def names(self, prefix: str, page: int) -> Iterator[Listed]:
        """Yields the objects whose keys begin with ``prefix``, in the order of their bytes, asking for ``page`` at a
        time. Raises StoreFailed."""
        asked = {"list-type": "2", "max-keys": str(page), "encoding-type": "url", "prefix": prefix}
        while True:
            content = self._get("", asked).content
            try:
                found = _parsed(content)
            except ElementTree.ParseError as error:
                raise StoreFailed(HTTPStatus.OK, f"it answered with no XML ({error})") from error
            space = found.tag.partition("}")[0] + "}" if found.tag.startswith("{") else ""
            encoded = found.findtext(f"{space}EncodingType") == "url"
            for each in found.iter(f"{space}Contents"):
                key, size = each.findtext(f"{space}Key", ""), int(each.findtext(f"{space}Size", "0"))
                modified = each.findtext(f"{space}LastModified", "")
                version = each.findtext(f"{space}ETag") or f"{size} bytes, {modified}"
                yield Listed(unquote_plus(key) if encoded else key, version, size)
            token = found.findtext(f"{space}NextContinuationToken")
            if found.findtext(f"{space}IsTruncated") != "true" or not token:
                return
            asked["continuation-token"] = token

    def get(self, key: str, most: int, first: int | None = None) -> Answer:
        """Returns the object ``key``, or its ``first`` bytes; without its content, if it has over ``most`` bytes.
        Raises StoreFailed, with 404 if there is none."""
        return self._get(key, {}, {} if first is None else {"range": f"bytes=0-{first - 1}"}, most)

    def link(self, key: str, seconds: int) -> str:
        """Returns a URL at which everybody can read the object ``key`` for so long."""
        now, credential = self._now()
        asked = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self.access_key_id}/{credential}",
            "X-Amz-Date": now,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
        } | ({"X-Amz-Security-Token": self.session_token} if self.session_token else {})
        path, query = self._path(key), _query(asked)
        signature = self._signature(path, query, {"host": self._host}, _UNSIGNED, now, credential)
        return f"{urlsplit(self.endpoint).scheme}://{self._host}{path}?{query}&X-Amz-Signature={signature}"

    @property
    def _host(self) -> str:
        return urlsplit(self.endpoint).netloc.rpartition("@")[2]

    def _path(self, key: str) -> str:
        place = f"{urlsplit(self.endpoint).path.rstrip('/')}/{_quoted(self.bucket)}"
        return f"{place}/{_quoted(key)}" if key else place

    def _get(
        self, key: str, asked: Mapping[str, str], headers: Mapping[str, str] | None = None, most: int | None = None
    ) -> Answer:
        for pause in (*_PAUSES, None):
            try:
                return self._got(key, asked, headers or {}, most)
            except StoreFailed as error:
                if pause is None or (error.status and error.status not in _AGAIN):
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))
        raise AssertionError("the last try returns or raises")

    def _got(self, key: str, asked: Mapping[str, str], headers: Mapping[str, str], most: int | None) -> Answer:
        now, credential = self._now()
        path, query = self._path(key), _query(asked)
        signed = {"host": self._host, "x-amz-content-sha256": _EMPTY, "x-amz-date": now}
        if self.session_token:
            signed["x-amz-security-token"] = self.session_token
        signature = self._signature(path, query, signed, _EMPTY, now, credential)
        names = ";".join(sorted(signed))
        sent = {name: value for name, value in signed.items() if name != "host"} | dict(headers)
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{credential}, SignedHeaders={names}, "
            f"Signature={signature}"
        )
        opened = HTTPSConnection if urlsplit(self.endpoint).scheme == "https" else HTTPConnection
        connection = opened(self._host, timeout=_PATIENCE)
        try:
            connection.request("GET", f"{path}?{query}" if query else path, headers=dict(sent))
            answer = connection.getresponse()
            size = int(answer.headers.get("Content-Length") or 0)
            too_large = most is not None and size > most and answer.status == HTTPStatus.OK
            # One byte more than may be: without a length, an answer says so by its end.
            content = b"" if too_large else answer.read() if most is None else answer.read(most + 1)
        except (OSError, HTTPException, ValueError) as error:
            raise StoreFailed(0, f"{self.endpoint} cannot be reached: {error or type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            raise StoreFailed(
                answer.status, f"{self.endpoint} answered {answer.status} {answer.reason}{_code(content)}"
            )
        return Answer(content, answer.headers.get("ETag"), size or len(content))

    def _now(self) -> tuple[str, str]:
        """The time, and the scope of signatures, as S3 spells them."""
        now = datetime.now(UTC)
        return f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}/{self.region}/s3/aws4_request"

    def _signature(
        self, path: str, query: str, headers: Mapping[str, str], payload: str, now: str, credential: str
    ) -> str:
        names = sorted(headers)
        lines = [f"{name}:{headers[name]}\n" for name in names]
        request = "\n".join(["GET", path, query, "".join(lines), ";".join(names), payload])
        told = "\n".join(["AWS4-HMAC-SHA256", now, credential, hashlib.sha256(request.encode()).hexdigest()])
        key = b"AWS4" + self.secret_access_key.encode()
        for part in credential.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.new(key, told.encode(), "sha256").hexdigest()


def _quoted(text: str) -> str:
    return quote(text, safe="/~", errors="surrogatepass")


def _query(asked: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='~')}={quote(asked[name], safe='~')}" for name in sorted(asked))


def _parsed(content: bytes) -> ElementTree.Element:
    """Raises ElementTree.ParseError."""
    if b"<!" in content:  # no store sends one, and entities may be bombs
        raise ElementTree.ParseError("it has a document type")
    return ElementTree.fromstring(content)  # noqa: S314


def _code(content: bytes) -> str:
    """What the store says of an error, in a word."""
    try:
        found = _parsed(content)
    except ElementTree.ParseError:
        return ""
    code = found.findtext("{*}Code")
    return f" ({code})" if code else ""

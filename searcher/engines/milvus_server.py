"""Calls to one Milvus server, and what becomes of their errors.

    ask("search", …) ─▶ the connection, or a new one ─▶ lost? again on a new one ─▶ EngineUnavailable

Messages name the server and the database, never the user, the password or the token.
"""

import logging
import os
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import grpc
from pymilvus import MilvusClient, MilvusException

from searcher.errors import EngineRefused, EngineUnavailable

#: Holds the address where none is given, and the token, or USER:PASSWORD, where the address has none.
VARIABLE, TOKEN = "MILVUS_URI", "MILVUS_TOKEN"
_PORT = 19530
#: Seconds before the second and the third try: after a lost connection, or a server that restarts.
_WAITS = (0.1, 0.5)
#: Seconds for a connection to be made.
_CONNECT = 5
#: A server that is gone without a word is noticed after fifteen seconds, and one that is back after one.
_OPTIONS = {
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
}
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)

# What fails is told by its caller, in one line; pymilvus would log it too, with a traceback for each try.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class _Address:
    uri: str
    token: str
    database: str
    shown: str


class Server:
    """The server and database at ``address``, a URL; ``milvus://`` alone means the one in MILVUS_URI. It connects when
    it is first asked. Threads may share it. Raises EngineRefused for an address that isn't understood."""

    def __init__(self, address: str) -> None:
        self._address = _parsed(address)
        self.shown = self._address.shown
        self._clients: list[MilvusClient] = []  # one at most
        weakref.finalize(self, _close_all, self._clients)
        self._lock = threading.Lock()

    def ask(self, call: str, *given: object, **more: object) -> Any:
        """What MilvusClient's method ``call`` returns; it may be called again if the connection is lost.

        Raises EngineUnavailable."""
        for wait in (*_WAITS, None):
            try:
                return getattr(self._client(), call)(*given, retry_times=1, **more)
            except (MilvusException, grpc.RpcError, ValueError) as error:
                if isinstance(error, ValueError) and "closed channel" not in str(error):  # by another thread
                    raise
                # From None: pymilvus makes an error its own cause, and who follows causes would never end.
                if (said := self._said(error)) is not None:
                    raise said from None
                self.rest()
                if wait is None:
                    raise EngineUnavailable(f"{self.shown} cannot be reached") from None
                time.sleep(wait)
        raise AssertionError

    def rest(self) -> None:
        """Close the connection."""
        with self._lock:
            _close_all(self._clients)

    def _client(self) -> MilvusClient:
        with self._lock:
            if not self._clients:
                where = self._address
                self._clients.append(
                    MilvusClient(
                        where.uri, token=where.token, db_name=where.database, timeout=_CONNECT, dedicated=True,
                        grpc_options=_OPTIONS,
                    )
                )  # fmt: skip
            return self._clients[0]

    def _said(self, error: Exception) -> EngineUnavailable | None:
        """What the server itself answered; None if it wasn't reached."""
        code = error.code() if isinstance(error, grpc.RpcError) else getattr(error, "code", None)
        if code in _REFUSED:
            return EngineUnavailable(f"{self.shown} refuses the user or the token")
        if isinstance(error, MilvusException) and isinstance(code, int) and "Fail connecting" not in error.message:
            return EngineUnavailable(f"{self.shown} fails: {_first_line(error.message)}")
        return None


def _close_all(clients: list[MilvusClient]) -> None:
    while clients:
        clients.pop().close()


def _parsed(address: str) -> _Address:
    named, given = "the address", address
    if address.partition(":")[2] in ("", "//"):
        named, given = f"the variable {VARIABLE}", os.environ.get(VARIABLE, "")
        if not given:
            raise EngineRefused(f"the address names no server: write milvus://HOST/DATABASE or set {VARIABLE}")
    try:
        parts = urlsplit(given)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    secure = {"milvus": False, "milvus+http": False, "milvus+https": True, "http": False, "https": True}
    database = parts.path.strip("/") if host else ""
    if not host or parts.scheme not in secure or parts.query or parts.fragment or "/" in database or "@" in database:
        raise EngineRefused(
            f"{named} is no address of Milvus, milvus://TOKEN@HOST:PORT/DATABASE: special characters are written as %2F"
        )
    place = f"{f'[{host}]' if ':' in host else host}:{port or (443 if secure[parts.scheme] else _PORT)}"
    scheme = "https" if secure[parts.scheme] else "http"
    shown = f"{'milvus+https' if secure[parts.scheme] else 'milvus'}://{place}/{unquote(database)}"
    return _Address(f"{scheme}://{place}", _token(parts), unquote(database), shown.rstrip("/"))


def _token(parts: SplitResult) -> str:
    if parts.username is None:
        return os.environ.get(TOKEN, "")
    return unquote(parts.username if parts.password is None else f"{parts.username}:{parts.password}")


def _first_line(message: str) -> str:
    return str(message).strip().partition("\n")[0][:300]

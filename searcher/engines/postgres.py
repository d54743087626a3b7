"""Connections to one PostgreSQL database, and what becomes of its errors.

    run(work) ─▶ an idle connection, or a new one ─▶ one transaction ─▶ lost? again on a new one ─▶ EngineUnavailable

Messages name the server and the database, never the user or the password.
"""

import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from pgvector.psycopg import register_vector
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from searcher.errors import EngineRefused, EngineUnavailable

Answer = TypeVar("Answer")

#: Holds the address where none is given, as users of the text-search example have it.
VARIABLE = "PG_SERVICE_URI"
#: Connections of one collection in one process: as many transactions run side by side, others wait.
_AT_ONCE = 4
#: Seconds before the second and the third try: after a lost connection, a deadlock, or a server that restarts.
_WAITS = (0.1, 0.5)
#: Unless the address says otherwise. A server that is gone without a word is noticed after ten seconds.
_DEFAULTS: Mapping[str, str | int] = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "application_name": "hashlake"}


class Database:
    """The database at ``address``, a URL; ``postgresql://`` alone means the one in PG_SERVICE_URI. It connects when it
    is first asked. Threads may share it. Raises EngineRefused for an address that isn't understood."""

    def __init__(self, address: str) -> None:
        given = _parsed(address)
        self._conninfo = make_conninfo("", **{**_DEFAULTS, **given})
        self.shown = _shown(given)
        self._idle: list[psycopg.Connection[Any]] = []
        weakref.finalize(self, _close_all, self._idle)
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def run(self, work: Callable[[psycopg.Connection[Any]], Answer]) -> Answer:
        """Returns the result of ``work``, called within a transaction; it may be called again if the first is lost.

        Raises ValueError for values that the table doesn't take, and EngineUnavailable for all that is no fault of the
        caller's."""
        for wait in (*_WAITS, None):
            try:
                with self.connection() as connection, connection.transaction():
                    return work(connection)
            except (errors.DataError, errors.IntegrityError) as error:
                raise ValueError(_first_line(error)) from error
            except (errors.QueryCanceled, errors.DiskFull) as error:
                raise self._unavailable(error) from error
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                self.rest()  # what was idle is as dead as this one
                if wait is None:
                    raise self._unavailable(error) from error
                time.sleep(wait)
            except psycopg.Error as error:  # no such table, no permission, another version of the extension
                raise self._unavailable(error) from error
        raise AssertionError

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Yields a connection in autocommit mode that nobody else uses meanwhile. Raises psycopg.Error."""
        with self._turns:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._connected()
            try:
                yield connection
            except BaseException:
                if connection.broken or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    connection.close()
                raise
            finally:
                if not connection.closed:
                    with self._lock:
                        self._idle.append(connection)

    def prepare(self) -> None:
        """Make sure that the database has pgvector. Raises EngineRefused and EngineUnavailable."""
        try:
            with psycopg.connect(self._conninfo, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (errors.InsufficientPrivilege, errors.UndefinedFile, errors.FeatureNotSupported) as error:
            raise EngineRefused(f"{self.shown} has no extension vector, and it cannot be made there") from error
        except psycopg.Error as error:
            raise self._unavailable(error) from error

    def rest(self) -> None:
        """Close the connections that are idle."""
        with self._lock:
            _close_all(self._idle)

    def _connected(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(self._conninfo, autocommit=True)
        try:
            register_vector(connection)
        except psycopg.ProgrammingError as error:
            connection.close()
            raise errors.UndefinedObject("the database has no extension vector") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _unavailable(self, error: psycopg.Error) -> EngineUnavailable:
        if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
            return EngineUnavailable(f"{self.shown} cannot be reached")  # the reason may name users
        return EngineUnavailable(f"{self.shown} fails: {_first_line(error)}")


def _close_all(connections: list[psycopg.Connection[Any]]) -> None:
    while connections:
        connections.pop().close()


def _parsed(address: str) -> dict[str, str]:
    named = "the variable " + VARIABLE if address.partition(":")[2] in ("", "//") else "the address"
    if named != "the address":
        address = os.environ.get(VARIABLE, "")
        if not address:
            raise EngineRefused(f"the address names no database: write postgresql://HOST/DATABASE or set {VARIABLE}")
    try:
        found = {key: str(value) for key, value in conninfo_to_dict(address).items() if value not in (None, "")}
    except psycopg.ProgrammingError:
        found = {"port": "?"}  # the error would show the address
    # Of a password that isn't escaped, a part may look like a port or a database.
    if not re.fullmatch(r"[0-9,]*", found.get("port", "")) or "@" in found.get("dbname", ""):
        raise EngineRefused(f"{named} is no PostgreSQL address: in passwords, special characters are written as %2F")
    return found


def _shown(given: dict[str, str]) -> str:
    host = given.get("host") or given.get("hostaddr") or given.get("service") or "localhost"
    place = host if host.startswith("/") else f"{host}:{given.get('port', '5432')}"
    return f"postgresql://{place}/{given.get('dbname') or given.get('user', '')}"


def _first_line(error: psycopg.Error) -> str:
    return (error.diag.message_primary or str(error)).strip().partition("\n")[0]

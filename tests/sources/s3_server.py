"""A real server of S3's protocol, moto's, in a process of its own on loopback, started once by the tests that ask."""

import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from types import TracebackType
from typing import Self

import httpx
import obstore
import pytest
from obstore.store import S3Store

from tests.handler.server import free_ports

#: Checked nowhere, and looked for in all that the tests can see.
SECRET = "s3cr3t-that-nobody-may-see"
_START_SECONDS = 120.0


class S3Server:
    """Serves the buckets that tests make; started when entered."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._numbers = count(1)

    def __enter__(self) -> Self:
        run = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{self.port}'])"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", run], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                httpx.get(f"{self.url}/moto-api/", trust_env=False, timeout=60)
                return self
            except httpx.TransportError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def bucket(self, name: str) -> S3Store:
        """Make the empty bucket ``name``; the client that fills it."""
        httpx.put(f"{self.url}/{name}", trust_env=False, timeout=60).raise_for_status()
        return S3Store(
            name,
            config={"endpoint": self.url, "access_key_id": "key", "secret_access_key": SECRET},
            client_options={"allow_http": True},
        )

    def new_bucket(self) -> tuple[str, S3Store]:
        """Make an empty bucket; its name, and the client that fills it."""
        name = f"lake{next(self._numbers)}"
        return name, self.bucket(name)

    def put(self, store: S3Store, key: str, content: bytes) -> None:
        obstore.put(store, key, content, use_multipart=False)


def set_credentials(environment: pytest.MonkeyPatch, url: str) -> None:
    """As users of S3-compatible stores do."""
    environment.setenv("S3_ENDPOINT", url)
    environment.setenv("S3_ACCESS_KEY", "key")
    environment.setenv("S3_SECRET_KEY", SECRET)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server

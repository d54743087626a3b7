"""A fake gateway on a real socket, and a client of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashlake import Client, Collection
from tests.hashlake.client.fake_gateway import KEY, Fake, create_app, picture
from tests.served_app import ServedApp


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def url(fake: Fake) -> Iterator[str]:
    with ServedApp(create_app(fake)) as served:
        yield served.url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, KEY) as client:
        yield client


@pytest.fixture
def shoes(client: Client) -> Collection:
    return client.collection("shoes")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, which holds clog.jpg."""
    (tmp_path / "clog.jpg").write_bytes(picture(0xFFFF))
    monkeypatch.chdir(tmp_path)
    return tmp_path

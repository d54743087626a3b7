"""A real Milvus, from a wheel, started once by each file of tests that asks for it. With nothing to do it takes a fifth
of a processor, as it tells time two hundred times a second: so it ends with the file."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import pytest

from contract.model import ModelIdentity
from searcher.engines.configuration import Configuration
from searcher.engines.engine import ForeignEngine
from searcher.engines.registry import engine_of

PASSWORD = "s3cret-of-tests"  # which the server doesn't ask for, and no answer may show

#: Usually Milvus tells time five times a second, and every read waits for that.
_SETTINGS = {"proxy.timeTickInterval": 5, "log.level": "error"}
_SECONDS = 90


class MilvusServer:
    """A standalone server below ``folder``, on loopback, with ports of its own."""

    def __init__(self, folder: Path) -> None:
        import milvus

        config = milvus.MilvusServerConfig(data_dir=str(folder))
        for name, value in _SETTINGS.items():
            config.set(name, value)
        ports = [key for key in config.configurable_items if key.endswith("_port")]
        free = _free_ports(len(ports) + 3)
        config.update(**dict(zip(ports, free, strict=False)))
        config.resolve()
        milvus._initialize_data_files(config.base_data_dir)
        peers, clients, health = free[-3:]
        _own_etcd(folder, f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}")
        self.port = int(config.get("proxy_port"))
        self.names = count(1)
        self._emptied: dict[str, ForeignEngine] = {}
        binaries = folder / "bin"
        with (folder / "logs" / "said.log").open("w") as said:
            self._process = subprocess.Popen(
                [binaries / "milvus", "run", "standalone"],
                cwd=folder,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=os.environ
                | {
                    "DEPLOY_MODE": "STANDALONE",
                    "METRICS_PORT": str(health),
                    "MILVUS_RUN_DIR": str(folder / "run"),
                    "LD_LIBRARY_PATH": str(binaries),
                },
            )
        self._wait(health)

    def address(self) -> str:
        """Its address, with a password in it."""
        return f"milvus://root:{PASSWORD}@127.0.0.1:{self.port}"

    @property
    def shown(self) -> str:
        return f"milvus://127.0.0.1:{self.port}"

    def client(self) -> Any:
        from pymilvus import MilvusClient  # which imports pandas

        return MilvusClient(f"http://127.0.0.1:{self.port}")

    def empty(self, model: ModelIdentity) -> ForeignEngine:
        """An empty collection for vectors of ``model``, the same each time: to make one takes seconds."""
        engine = self._emptied.get(model.sha256)
        if engine is None:
            configuration = Configuration(address=self.address(), place=f"kept{next(self.names)}", model=model)
            engine = self._emptied[model.sha256] = engine_of(configuration)(
                engine_of(configuration).create(configuration)
            )
        while held := engine.list(limit=1000):
            engine.remove([entry.path for entry in held])
        return engine

    def close(self) -> None:
        for engine in self._emptied.values():
            engine.rest()
        self._process.kill()
        self._process.wait()

    def _wait(self, health: int) -> None:
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{health}/healthz", timeout=5) as answer:
                    if b"OK" in answer.read():
                        return
            except OSError:
                pass
            time.sleep(0.1)
        self._process.kill()
        raise RuntimeError(f"Milvus isn't up after {_SECONDS} seconds, or has ended: {self._process.wait()}")


def _own_etcd(folder: Path, clients: str, peers: str) -> None:
    """Have the etcd in it listen elsewhere than where every other one does."""
    settings, own = folder / "configs" / "milvus.yaml", folder / "configs" / "etcd.yaml"
    own.write_text(
        f"name: default\ndata-dir: {folder}/data/etcd.data\nlisten-client-urls: {clients}\n"
        f"advertise-client-urls: {clients}\nlisten-peer-urls: {peers}\ninitial-advertise-peer-urls: {peers}\n"
        f"initial-cluster: default={peers}\n"
    )
    embedded = "\n  use:\n    embed: true"
    settings.write_text(settings.read_text().replace(embedded, f"\n  config:\n    path: {own}{embedded}"))


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def milvus() -> Iterator[MilvusServer]:
    with TemporaryDirectory(prefix="milvus-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        server = MilvusServer(Path(folder))
        yield server
        server.close()

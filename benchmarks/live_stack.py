"""The stack that ``benchmarks.collections`` measures: each part in its own process, on free ports of this machine.

photographs ◀── gateway ──▶ TorchServe's frontend ──▶ workers
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from embedding.cores import usable_cores
from gateway.access.keys import KEYS_FILE, KeyStore
from handler.archive import build_archive
from handler.settings import Settings
from handler.torchserve import TorchServe
from hashlake import Client, ClientError


@dataclass(frozen=True)
class Memory:
    """Bytes of a process: ``resident``; its ``share``, where shared pages are divided among their processes (PSS); and
    its ``own``, which no other process has (USS)."""

    resident: int
    share: int
    own: int

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.resident + other.resident, self.share + other.share, self.own + other.own)


@dataclass(frozen=True)
class LiveStack:
    """A running TorchServe and gateway, with no version in ``default`` and no other collection. ``key``: an admin's;
    ``secret``: what the gateway's own requests are known by."""

    inference_port: int
    gateway_port: int
    key: str
    workers: int
    secret: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    def memory(self) -> dict[str, Memory]:
        """Returns each process's memory now."""
        found: dict[str, Memory] = {}
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                name = _name(" ".join(process.cmdline()))
                if name is not None:
                    used = process.memory_full_info()
                    if name == "worker":
                        name = f"worker {sum(each.startswith(name) for each in found) + 1}"
                    found[name] = Memory(used.rss, used.pss, used.uss)
        return dict(sorted(found.items()))


def _name(command: str) -> str | None:
    words = {"org.pytorch.serve.ModelServer": "frontend", "model_service_worker": "worker", "hashlake admin": "gateway"}
    return next((name for word, name in words.items() if word in command), None)


@contextmanager
def live_stack(model_path: Path, folder: Path) -> Iterator[LiveStack]:
    """Yields TorchServe with one worker per core, and in front of it ``hashlake admin``, which may fetch from this
    machine. They write only to ``folder``."""
    inference, metrics, port = _free_ports(3)
    archive = build_archive(model_path, folder / "model_store")
    settings = Settings(
        host="127.0.0.1",
        inference_port=inference,
        metrics_port=metrics,
        workers=usable_cores(),
        model_store=archive.parent,
        index_store=folder / "index_store",
        config=Path("config.properties"),
    )
    state = folder / "state"
    state.mkdir()
    _, key = KeyStore(state / KEYS_FILE).create("the benchmark", "admin")
    environment = os.environ | {
        "HASHLAKE_GATEWAY_PORT": str(port),
        "HASHLAKE_INFERENCE_PORT": str(inference),
        "HASHLAKE_INDEX_STORE": str(settings.index_store),
        "HASHLAKE_MODEL_STORE": str(settings.model_store),
        "HASHLAKE_STATE": str(state),
        "HASHLAKE_FETCH_ALLOW": "127.0.0.0/8",
    }
    server = TorchServe(settings)
    server.start()
    try:
        server.wait_ready()
        gateway = subprocess.Popen([sys.executable, "-m", "hashlake", "admin"], env=environment)
        try:
            stack = LiveStack(inference, port, key, settings.workers, settings.run.secret())
            _wait_for(gateway, stack)
            yield stack
        finally:
            gateway.terminate()
            gateway.wait(30)
    finally:
        server.stop()
        settings.run.remove()


def _wait_for(gateway: "subprocess.Popen[bytes]", stack: LiveStack) -> None:
    with Client(stack.url) as client:
        while True:
            try:
                return client.ping()
            except ClientError:
                if gateway.poll() is not None:
                    raise SystemExit("the gateway ended while starting") from None
                time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports

"""A real TorchServe for tests: started by the command that users type, on free loopback ports."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from types import TracebackType
from typing import Any, Self

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from contract.address import url_of
from contract.run_folder import RunFolder

REPOSITORY = Path(__file__).resolve().parents[2]
_START_SECONDS = 600.0
_random = SystemRandom()  # which no test seeds: two that run at once must not draw the same
_reserved: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """Below those that the system gives to connections, which could take one before it is listened on. Each stays this
    process's while it lives, also while nothing listens on it: by a UDP socket, and nothing here speaks UDP."""
    found: list[int] = []
    while len(found) < count:
        port = _random.randrange(10_000, 32_768)
        reserved = socket.socket(type=socket.SOCK_DGRAM)
        with socket.socket() as tried, suppress(OSError):
            reserved.bind(("127.0.0.1", port))
            tried.bind(("127.0.0.1", port))
            found.append(port)
            _reserved.append(reserved)
            continue
        reserved.close()
    return found


class Server:
    """``hashlake serve`` over ``index_store`` and ``model_store``, ready when entered; with a gateway too, if there
    is a folder for its ``state``. A test says so if it needs more than one worker: each takes seconds to start."""

    def __init__(
        self,
        index_store: Path,
        model_store: Path,
        log: Path,
        state: Path | None = None,
        host: str = "127.0.0.1",
        *,
        workers: int = 1,
    ) -> None:
        self.port, self.metrics_port, self.grpc_port, self.gateway_port = free_ports(4)
        self.url = f"{url_of(host, self.port)}/predictions/image-retrieval-v1.0"
        self.metrics_url = f"{url_of(host, self.metrics_port)}/metrics"
        self.index_store = index_store
        self.log = log
        self._admin = state is not None
        self._environment = os.environ | {
            "HASHLAKE_HOST": host,
            "HASHLAKE_METRICS_HOST": host,
            "HASHLAKE_INFERENCE_PORT": str(self.port),
            "HASHLAKE_GRPC_INFERENCE_PORT": str(self.grpc_port),
            "HASHLAKE_METRICS_PORT": str(self.metrics_port),
            "HASHLAKE_GATEWAY_PORT": str(self.gateway_port),
            "HASHLAKE_STATE": str(state),
            "HASHLAKE_WORKERS": str(workers),
            "HASHLAKE_INDEX_STORE": str(index_store),
            "HASHLAKE_MODEL_STORE": str(model_store),
        }
        self.run = RunFolder(None, self.port)
        self.client = httpx.Client(timeout=60, trust_env=False)
        self.management = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.run.management)), base_url="http://management", timeout=60
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        command = [str(Path(sys.executable).with_name("hashlake")), "serve", *(["--admin"] if self._admin else [])]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _START_SECONDS
        while "hashlake is ready" not in self.log.read_text(errors="replace"):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text(errors="replace")
            time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.management.close()
        self.stop()

    def child(self, word: str) -> psutil.Process:
        """The process below ``hashlake serve`` whose command line has ``word``."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return next(each for each in family if word in " ".join(each.cmdline()))

    def stop(self) -> int:
        """Ask the server to end, as systemd and Docker do; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def ask(self, fields: dict[str, Any]) -> httpx.Response:
        return self.client.post(self.url, json=fields)

    def workers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.management.get("/models/image-retrieval-v1.0").json()[0]["workers"]
        return found

    def description(self) -> dict[str, Any]:
        address = "/models/image-retrieval-v1.0?customized=true"
        found: dict[str, Any] = self.management.get(address).json()[0]["customizedMetadata"]
        return found

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        text = self.client.get(self.metrics_url).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )

"""A real TorchServe for tests: started by the command that users type, on free loopback ports."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

REPOSITORY = Path(__file__).resolve().parents[2]
_START_SECONDS = 120.0


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Server:
    """``hashlake serve`` with two workers over ``index_store`` and ``model_store``, ready when entered."""

    def __init__(self, index_store: Path, model_store: Path, log: Path) -> None:
        self.port, self.management_port, self.metrics_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}/predictions/image-retrieval-v1.0"
        self.index_store = index_store
        self.log = log
        self._environment = os.environ | {
            "HASHLAKE_INFERENCE_PORT": str(self.port),
            "HASHLAKE_MANAGEMENT_PORT": str(self.management_port),
            "HASHLAKE_METRICS_PORT": str(self.metrics_port),
            "HASHLAKE_WORKERS": "2",
            "HASHLAKE_INDEX_STORE": str(index_store),
            "HASHLAKE_MODEL_STORE": str(model_store),
        }
        self.client = httpx.Client(timeout=60, trust_env=False)

    def __enter__(self) -> Self:
        command = [str(Path(sys.executable).with_name("hashlake")), "serve"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _START_SECONDS
        while "hashlake is ready" not in self.log.read_text(errors="replace"):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text(errors="replace")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.stop()

    def stop(self) -> int:
        """Ask the server to end, as systemd and Docker do; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def ask(self, fields: dict[str, Any]) -> httpx.Response:
        return self.client.post(self.url, json=fields)

    def workers(self) -> list[dict[str, Any]]:
        address = f"http://127.0.0.1:{self.management_port}/models/image-retrieval-v1.0"
        found: list[dict[str, Any]] = self.client.get(address).json()[0]["workers"]
        return found

    def description(self) -> dict[str, Any]:
        address = f"http://127.0.0.1:{self.management_port}/models/image-retrieval-v1.0?customized=true"
        found: dict[str, Any] = self.client.get(address).json()[0]["customizedMetadata"]
        return found

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        text = self.client.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )

"""TorchServe's management API, over its Unix socket, and which worker answers at the inference port."""

import http.client
import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from contract.names import WORKER_HEADER

_SECONDS = 5.0


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(str(self._path))


class Management:
    """The management API at the socket ``path``. Methods raise OSError, ValueError or HTTPException when it doesn't
    answer, or not so."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def model_names(self) -> list[str]:
        """Returns the models that TorchServe has now."""
        return [model["modelName"] for model in self._get("/models?limit=1000")["models"]]

    def workers(self, name: str) -> list[dict[str, Any]]:
        """Returns the workers of the model ``name``, each with ``id``, ``pid`` (-1: no process) and ``status``."""
        workers: list[dict[str, Any]] = self._get(f"/models/{name}")[0]["workers"]
        return workers

    def _get(self, path: str) -> Any:
        connection = _UnixConnection(self._path)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != http.client.OK:
                raise ValueError(f"status {answer.status}")
            return json.loads(content)
        finally:
            connection.close()


def who_answers(inference: str, model: str, seconds: float) -> int:
    """Ask ``model`` at the URL ``inference`` something that costs a worker nothing. Returns the process ID of the
    worker that answers, or 0 if none does."""
    try:
        with urllib.request.urlopen(f"{inference}/predictions/{model}", b"{}", timeout=seconds) as answer:  # noqa: S310
            headers = answer.headers
    except urllib.error.HTTPError as refused:  # a request without a picture gets 400
        headers = refused.headers
    return int(headers.get(WORKER_HEADER, "0"))

"""An ASGI application on a loopback port, for tests that speak real HTTP to a fake."""

import socket
import threading
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

import uvicorn


class ServedApp(AbstractContextManager["ServedApp"]):
    """``app`` on a free loopback port, in a thread of its own; ``url`` answers from the start."""

    def __init__(self, app: Any) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=5)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()

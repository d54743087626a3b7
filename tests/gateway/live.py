"""The gateway's own server in a thread of this process, on free ports, without a TorchServe behind it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.access.connections import Connection
from gateway.server import GatewayServer, listening
from gateway.services import Services
from gateway.settings import GatewaySettings
from tests.handler.server import free_ports


@dataclass(frozen=True)
class Live:
    """A running server."""

    host: str
    port: int
    idios_port: int
    services: Services
    server: GatewayServer

    def connect(self, port: int | None = None) -> socket.socket:
        """A connection on which nothing is sent yet."""
        return socket.create_connection((self.host, port or self.port), timeout=60)

    def ask(self, request: bytes, port: int | None = None) -> bytes:
        """What comes back for ``request``, until the server closes the connection."""
        with self.connect(port) as connection:
            connection.sendall(request)
            return everything(connection)

    def get(self, path: str, port: int | None = None) -> bytes:
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(), port)

    @property
    def connections(self) -> set[Connection]:
        return {each for each in self.server.server_state.connections.copy() if isinstance(each, Connection)}


def everything(connection: socket.socket) -> bytes:
    """All that comes, until the other side closes the connection."""
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


@contextmanager
def live(folder: Path, **settings: object) -> Iterator[Live]:
    """The server of ``settings``; its folders are below ``folder``."""
    port, idios_port, nobody = free_ports(3)
    given = {
        "gateway_port": port, "idios_port": idios_port, "inference_port": nobody, "run_folder": folder,
        "index_store": folder, "models": folder, "state": folder, "model_store": folder, "datalake_root": folder,
    }  # fmt: skip
    made = GatewaySettings.model_validate(given | settings)
    server = GatewayServer(made)
    sockets = listening(made)
    started = threading.Event()

    async def serve() -> None:
        serving = asyncio.create_task(server.serve(list(sockets)))
        while not server.started and not serving.done():
            await asyncio.sleep(0.001)
        started.set()
        await serving

    def run() -> None:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:  # as uvicorn runs it
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(60)
        yield Live(made.gateway_host, port, idios_port, server.services, server)
    finally:
        server.should_exit = True
        thread.join(60)
        for each in sockets:
            each.close()

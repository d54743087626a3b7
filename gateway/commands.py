"""``hashlake admin``: the gateway in the foreground."""

import signal
import socket
from contextlib import ExitStack

import click
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from gateway.app import create_app, create_idios_app
from gateway.errors import GatewayError
from gateway.jobs import JOBS_FILE, JobStore
from gateway.reindexing import Reindexing
from gateway.settings import Settings

#: What is being answered may end.
_STOP_SECONDS = 20


class _Doors:
    """ASGI: what comes in at ``port`` is for ``idios``, everything else for ``gateway``."""

    def __init__(self, gateway: FastAPI, idios: FastAPI, port: int | None) -> None:
        self._gateway = gateway
        self._idios = idios
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The socket's own port: what the request says of itself is any client's to choose.
        came_in = scope.get("server")
        app = self._idios if self._port and came_in and came_in[1] == self._port else self._gateway
        await app(scope, receive, send)


class _Server(uvicorn.Server):
    """Serves ``app``, also behind other doors; says where it listens once it does, and stops the running job before it
    waits for the pages that watch it."""

    def __init__(self, app: FastAPI, config: uvicorn.Config, idios_port: int | None) -> None:
        super().__init__(config)
        self._app = app
        self._idios_port = idios_port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host = "127.0.0.1" if self.config.host == "0.0.0.0" else self.config.host  # noqa: S104 (a comparison)
        click.echo(f"hashlake's page and admin API: http://{host}:{self.config.port}/ (docs at /docs)")
        if self._idios_port is not None:
            click.echo(f"hashlake's collections, for Idios' clients: http://{host}:{self._idios_port}/")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        reindexing: Reindexing = self._app.state.reindexing
        await reindexing.close()
        await super().shutdown(sockets)


@click.command(short_help="Serve the web page and the admin API.")
def admin() -> None:
    """Serve the page, the admin API and search, beside a TorchServe that `hashlake serve` has started. Configured by
    the environment: HASHLAKE_GATEWAY_HOST, HASHLAKE_GATEWAY_PORT and others (README)."""
    settings = Settings.read()
    JobStore(settings.state / JOBS_FILE)  # says now if the file cannot be used
    app = create_app(settings)
    config = uvicorn.Config(
        _Doors(app, create_idios_app(app), settings.idios_port),
        host=settings.gateway_host,
        port=settings.gateway_port,
        log_level="warning",
        access_log=False,  # /metrics counts requests; a line each would cost a write each
        proxy_headers=False,  # any client on this machine could say that it is another
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    ports = [settings.gateway_port] + ([settings.idios_port] if settings.idios_port is not None else [])
    with ExitStack() as open_sockets:
        # Before the application starts, which would stop the job of the gateway that has the port, when it ends.
        listening = [open_sockets.enter_context(_listening(settings.gateway_host, port)) for port in ports]
        for each in (signal.SIGTERM, signal.SIGINT):  # the server ends in order, then sends itself the signal again
            signal.signal(each, lambda _number, _frame: None)
        _Server(app, config, settings.idios_port).run(sockets=listening)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With TCP named, asyncio turns Nagle's algorithm off, which holds an answer's second packet back for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise GatewayError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listening

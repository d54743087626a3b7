"""``hashlake admin``: the gateway in the foreground."""

import signal
import socket

import click
import uvicorn
from fastapi import FastAPI

from gateway.app import create_app
from gateway.errors import GatewayError
from gateway.jobs import JOBS_FILE, JobStore
from gateway.reindexing import Reindexing
from gateway.settings import Settings

#: What is being answered may end.
_STOP_SECONDS = 5


class _Server(uvicorn.Server):
    """Serves ``app``; says where it listens once it does, and stops the running job before it waits for the pages that
    watch it."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host = "127.0.0.1" if self.config.host == "0.0.0.0" else self.config.host  # noqa: S104 (a comparison)
        click.echo(f"hashlake's page and admin API: http://{host}:{self.config.port}/ (docs at /docs)")

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
        app,
        host=settings.gateway_host,
        port=settings.gateway_port,
        log_level="warning",
        access_log=False,  # /metrics counts requests; a line each would cost a write each
        proxy_headers=False,  # any client on this machine could say that it is another
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )
    # Before the application starts, which would stop the job of the gateway that has the port, when it ends.
    with _listening(settings.gateway_host, settings.gateway_port) as listening:
        for each in (signal.SIGTERM, signal.SIGINT):  # the server ends in order, then sends itself the signal again
            signal.signal(each, lambda _number, _frame: None)
        _Server(app, config).run(sockets=[listening])


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

"""``hashlake admin``: the gateway in the foreground."""

import signal
from contextlib import ExitStack

import click

from gateway.access.connections import allow_many_files
from gateway.memory import share_arenas
from gateway.server import GatewayServer, listening
from gateway.settings import GatewaySettings


@click.command(short_help="Serve the web page and the admin API.")
def admin() -> None:
    """Serve the page, the admin API and search, beside a TorchServe that `hashlake serve` has started. Configured by
    the environment: HASHLAKE_GATEWAY_HOST, HASHLAKE_GATEWAY_PORT and others (README)."""
    settings = GatewaySettings.read()
    share_arenas()
    server = GatewayServer(settings)
    allow_many_files()
    with ExitStack() as open_sockets:
        # Bound before the application starts: where another gateway has the port, ending this application would stop
        # that gateway's job.
        sockets = [open_sockets.enter_context(each) for each in listening(settings)]
        for each in (signal.SIGTERM, signal.SIGINT):  # uvicorn shuts down cleanly, then raises the signal again
            signal.signal(each, lambda _number, _frame: None)
        server.run(sockets=sockets)

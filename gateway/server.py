"""The HTTP server of the gateway: one process, up to three ports.

the gateway's port ─▶ create_app
Idios' port        ─▶ create_idios_app         ┐
the extractor's    ─▶ create_extractor_app     ┘ with the same services
"""

import socket
from collections.abc import Mapping, Sequence

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from contract.address import bound_socket, host_and_port, reachable_host, url_of
from contract.terminal import say
from gateway.access.connections import KEEP_ALIVE_SECONDS, Connection
from gateway.app import create_app, create_extractor_app, create_idios_app
from gateway.errors import GatewayError
from gateway.services import Services
from gateway.settings import GatewaySettings

#: Time for requests in progress to finish after a stop signal.
_STOP_SECONDS = 20


class GatewayServer(uvicorn.Server):
    """The server for ``settings``, which prints its addresses once it listens. At shutdown it stops a running job
    first, since pages that watch the job keep their connections open until it ends."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._app = create_app(settings)
        self._settings = settings
        others = {}
        if settings.idios_port is not None:
            others[settings.idios_port] = create_idios_app(self._app)
        if settings.extractor_port is not None:
            others[settings.extractor_port] = create_extractor_app(self._app)
        super().__init__(
            uvicorn.Config(
                _ByPort(self._app, others),
                http=Connection,
                ws="none",
                log_level="error",  # its warnings are a line for each request that is no HTTP
                access_log=False,  # /metrics counts requests; a line each would cost a write each
                proxy_headers=False,  # gateway/access/proxies.py reads them
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        settings = self._settings
        host = reachable_host(settings.gateway_host)
        say(f"hashlake's page and admin API: {url_of(host, settings.gateway_port)}/ (docs at /docs)")
        if settings.idios_port is not None:
            say(f"hashlake's collections, for Idios' clients: {url_of(host, settings.idios_port)}/")
        if settings.extractor_port is not None:
            say(f"hashlake's elements of documents: {url_of(host, settings.extractor_port)}/ (docs at /docs)")

    @property
    def services(self) -> Services:
        """What the server's routes work with."""
        services: Services = self._app.state.services
        return services

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.services.reindexing.close()
        if self.services.extraction is not None:
            await self.services.extraction.close()
        await super().shutdown(sockets)


class _ByPort:
    """ASGI: sends requests on the port of one of ``others`` to that, all others to ``gateway``."""

    def __init__(self, gateway: FastAPI, others: Mapping[int, FastAPI]) -> None:
        self._gateway = gateway
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The socket's own port: a client can put any port into its Host header.
        came_in = scope.get("server")
        app = self._others.get(came_in[1], self._gateway) if came_in else self._gateway
        await app(scope, receive, send)


def listening(settings: GatewaySettings) -> Sequence[socket.socket]:
    """Returns the sockets of all ports. Raises GatewayError if one cannot be listened on."""
    ports = [port for port in (settings.gateway_port, settings.idios_port, settings.extractor_port) if port is not None]
    found: list[socket.socket] = []
    try:
        for port in ports:
            found.append(_listening(settings.gateway_host, port))
    except GatewayError:
        for each in found:
            each.close()
        raise
    return found


def _listening(host: str, port: int) -> socket.socket:
    try:
        return bound_socket(host, port)
    except OSError as error:
        raise GatewayError(f"cannot listen on {host_and_port(host, port)}: {error.strerror}") from error

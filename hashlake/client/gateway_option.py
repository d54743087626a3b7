"""The option ``--url`` of all commands that ask a running gateway: their argument ``client`` is made from it."""

import os

import click

from hashlake.client.client import URL, Client


def _connected(context: click.Context, _parameter: click.Parameter, url: str) -> Client:
    try:
        client = Client(url, os.environ.get("HASHLAKE_KEY") or None)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    context.call_on_close(client.close)
    return client


#: Decorates such a command.
of_gateway = click.option(
    "--url", "client", default=URL, show_default=True, envvar="HASHLAKE_URL", metavar="URL", callback=_connected,
    help="The gateway. The variable HASHLAKE_KEY holds the API key, where it asks for one.",
)  # fmt: skip

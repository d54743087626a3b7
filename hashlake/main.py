"""``hashlake``: one command line for all rooms."""

import sys
from importlib import import_module

import click

from client.errors import ClientError
from gateway.errors import GatewayError
from handler.errors import HandlerError
from hashing.errors import HashingError
from hashlake.version import __version__
from indexer.errors import IndexingError
from searcher.errors import SearcherError
from training.errors import TrainingError

#: Where each command is. Only the one that is called is imported: the gateway needs no PyTorch.
_COMMANDS = {
    "admin": "gateway.commands",
    "archive": "handler.commands",
    "collections": "client.commands",
    "duplicates": "client.commands",
    "evaluate": "training.evaluate",
    "index": "indexer.main",
    "keys": "gateway.key_commands",
    "sample": "indexer.sample_datalake",
    "search": "handler.commands",
    "serve": "handler.commands",
    "train": "training.commands",
    "versions": "searcher.commands",
}

#: What a room raises on purpose: its message is one line.
_ERRORS = (HashingError, SearcherError, IndexingError, HandlerError, GatewayError, ClientError, TrainingError)


class _Rooms(click.Group):
    """The commands of all rooms."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("-", "_")
        if name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[name]), name)
        return command


@click.group(
    cls=_Rooms,
    context_settings={
        "token_normalize_func": lambda token: token.replace("-", "_"),
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="hashlake")
def cli() -> None:
    """Image retrieval: hash a datalake of pictures into 64-bit codes, publish them as an index version, and serve
    the pictures most like a photograph over HTTP.

    Options are spelled with underscores or hyphens, as you like.
    """


def main() -> None:
    try:
        cli()
    except _ERRORS as error:
        sys.exit(f"Error: {error}")
    except OSError as error:  # a file or folder that a command could not read or write
        sys.exit(f"Error: {error.filename or 'input/output'}: {error.strerror or error}")

"""``hashlake``: one command line for all rooms."""

import sys

import click

from client.commands import collections, duplicates
from client.errors import ClientError
from gateway.commands import admin
from gateway.errors import GatewayError
from gateway.key_commands import keys
from handler.commands import archive, search, serve
from handler.errors import HandlerError
from hashing.errors import HashingError
from hashlake.version import __version__
from indexer.errors import IndexingError
from indexer.main import index
from indexer.sample_datalake import sample
from searcher.commands import versions
from searcher.errors import SearcherError
from training.commands import train
from training.errors import TrainingError
from training.evaluate import evaluate

#: What a room raises on purpose: its message is one line.
_ERRORS = (HashingError, SearcherError, IndexingError, HandlerError, GatewayError, ClientError, TrainingError)


@click.group(
    context_settings={
        "token_normalize_func": lambda token: token.replace("-", "_"),
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    }
)
@click.version_option(__version__, prog_name="hashlake")
def cli() -> None:
    """Image retrieval: hash a datalake of pictures into 64-bit codes, publish them as an index version, and serve
    the pictures most like a photograph over HTTP.

    Options are spelled with underscores or hyphens, as you like.
    """


for command in (index, versions, search, archive, serve, admin, keys, collections, duplicates, sample, train, evaluate):
    cli.add_command(command)


def main() -> None:
    try:
        cli()
    except _ERRORS as error:
        sys.exit(f"Error: {error}")
    except OSError as error:  # a file or folder that a command could not read or write
        sys.exit(f"Error: {error.filename or 'input/output'}: {error.strerror or error}")

"""``hashlake``: one command line for all rooms."""

import sys
from importlib import import_module
from typing import NamedTuple

import click

from contract.known_warnings import ignore_known_warnings
from contract.terminal import run, say
from hashlake.version import __version__


class _Place(NamedTuple):
    """A command's module, and the extra that brings its imports; None if the client's own dependencies suffice."""

    module: str
    extra: str | None


#: Only the called command is imported: the gateway needs no PyTorch, and the client nothing of the server.
_COMMANDS = {
    "admin": _Place("gateway.commands", "serve"),
    "archive": _Place("handler.commands", "serve"),
    "doctor": _Place("hashlake.doctor", "serve"),
    "collections": _Place("hashlake.client.commands", None),
    "duplicates": _Place("hashlake.client.commands", None),
    "elements": _Place("elements.commands", "serve"),
    "evaluate": _Place("training.evaluate", "train"),
    "index": _Place("indexer.main", "serve"),
    "jobs": _Place("hashlake.client.operator_commands", None),
    "keys": _Place("gateway.access.key_commands", "serve"),
    "listing": _Place("indexer.listing_command", "serve"),
    "machine": _Place("hashlake.client.operator_commands", None),
    "models": _Place("training.importing.commands", "train"),
    "refresh": _Place("indexer.refresh_command", "serve"),
    "reindex": _Place("hashlake.client.operator_commands", None),
    "sample": _Place("indexer.sample_datalake", "serve"),
    "search": _Place("handler.commands", "serve"),
    "serve": _Place("handler.serve_command", "serve"),
    "shards": _Place("searcher.versions.commands", "serve"),
    "train": _Place("training.commands", "train"),
    "train_detector": _Place("training.detecting.commands", "train"),
    "versions": _Place("searcher.versions.commands", "serve"),
    "watch": _Place("indexer.watch_command", "serve"),
}

#: The errors that a room raises on purpose; their messages are one line.
_ERRORS = {
    "contract.registry": "NotRegistered",
    "detection.errors": "DetectionError",
    "elements.errors": "ElementsError",
    "embedding.errors": "EmbeddingError",
    "gateway.errors": "GatewayError",
    "handler.errors": "HandlerError",
    "hashlake.client.errors": "ClientError",
    "indexer.errors": "IndexingError",
    "pictures.errors": "ImageError",
    "searcher.errors": "SearcherError",
    "sources.errors": "SourceError",
    "training.errors": "TrainingError",
}


#: What `hashlake` alone prints.
_FIRST_STEPS = f"""\
hashlake {__version__} finds the pictures of a datalake most like a photograph.

Everything at once, in the project's folder:
  make serve                        sample pictures, their index, and a server
  make serve DATALAKE=/my/photos    the same with your own pictures

Step by step:
  hashlake doctor                   what is ready here, and what to do
  hashlake refresh PHOTOS --model_path MODEL.pt
                                    hash what is new, and publish a version
  hashlake search photo.jpg         ask without a server
  hashlake archive --model_path MODEL.pt
                                    pack the model for the server
  hashlake serve --admin            serve it; the page: http://127.0.0.1:8000

With a server that runs:
  hashlake keys create me --role admin
  hashlake collections --help       pictures that come and go

hashlake --help lists every command, hashlake COMMAND --help its options.
"""


class _Rooms(click.Group):
    """The commands of all rooms."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("-", "_")
        if name not in _COMMANDS:
            return None
        module, extra = _COMMANDS[name]
        try:
            command: click.Command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if extra is None:
                raise
            return _not_installed(name, str(error.name), extra)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:  # click knows of none of ours that it could mean
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=[*_COMMANDS], ctx=ctx) from None


def _not_installed(name: str, missing: str, extra: str) -> click.Command:
    """Returns a command that takes any arguments and says how to install the real one."""
    remedy = f"pip install 'hashlake[{extra}]'"

    def refuse(words: tuple[str, ...]) -> None:
        raise click.ClickException(f"hashlake {name} needs {missing}, which is not installed: {remedy}")

    return click.Command(
        name,
        callback=refuse,
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
        short_help=f"Not installed: {remedy}.",
    )


@click.group(
    cls=_Rooms,
    invoke_without_command=True,
    context_settings={
        "token_normalize_func": lambda token: token.replace("-", "_"),
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="hashlake")
@click.pass_context
def cli(context: click.Context) -> None:
    """Image retrieval: hash a datalake of pictures into 64-bit codes, publish them as an index version, and serve
    the pictures most like a photograph over HTTP.

    Options are spelled with underscores or hyphens, as you like.
    """
    if context.invoked_subcommand is None:
        for line in _FIRST_STEPS.splitlines():
            say(line)


def _on_purpose(error: Exception) -> bool:
    """Returns whether a room raised ``error`` on purpose. Only imported rooms can have raised it."""
    return any(
        isinstance(error, getattr(sys.modules[module], name))
        for module, name in _ERRORS.items()
        if module in sys.modules
    )


def main() -> None:
    ignore_known_warnings()
    run(cli, _on_purpose)

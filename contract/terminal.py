"""What commands print. A name is shown, never obeyed.

File names, URLs and messages hold whatever their authors like: characters that clear a terminal, set its title,
overwrite a line or turn the direction of text. They are printed as JSON's escapes:

    a␛[2J.jpg   ─▶   a\\u001b[2J.jpg

So they are in pipes and files, whose text reaches a terminal sooner or later. ``--json`` is the exact form: within JSON
such an escape is the character itself.
"""

import logging
import re
import sys
from collections.abc import Callable
from typing import NoReturn

import click

#: Control characters (C0, DEL, C1), marks of direction, line and paragraph separators, and bytes that are not UTF-8
#: (PEP 383) or other halves of characters, which cannot be printed.
_OBEYED = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """Returns ``text`` in one line that a terminal only shows. JSON stays JSON of the same value."""
    return _OBEYED.sub(lambda found: _SHORT.get(found[0]) or f"\\u{ord(found[0]):04x}", text)


def say(line: str = "", *, err: bool = False) -> None:
    """Print ``line``, made visible, to standard output or, with ``err``, to standard error."""
    click.echo(visible(line), err=err)


def run(command: click.Command, on_purpose: Callable[[Exception], bool]) -> NoReturn:
    """Run ``command`` with the arguments of this process, and end it. Errors are one visible line: click's, those of
    files, and those raised ``on_purpose``."""
    if logging.lastResort is not None:  # which writes the log of processes that configure none
        logging.lastResort.addFilter(_make_visible)
    try:
        status = command.main(standalone_mode=False)
    except click.ClickException as error:
        _tell(error)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit("Aborted!")
    except OSError as error:  # a file or folder could not be read or written
        sys.exit(visible(f"Error: {error.filename or 'input/output'}: {error.strerror or error}"))
    except Exception as error:
        if not on_purpose(error):
            raise
        sys.exit(visible(f"Error: {error}"))
    sys.exit(status if isinstance(status, int) else 0)


def _tell(error: click.ClickException) -> None:
    """Print ``error`` as click does."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        for line in error.ctx.get_usage().split("\n"):
            say(line, err=True)
        say(f"Try '{error.ctx.command_path} --help' for help.", err=True)
        say(err=True)
    message = f"Error: {error.format_message()}"
    for line in message.split("\n") if isinstance(error, click.MissingParameter) else [message]:  # click's own breaks
        say(line, err=True)


def _make_visible(record: logging.LogRecord) -> bool:
    """Filters nothing, but makes the record visible; a traceback keeps its lines."""
    record.msg, record.args = visible(record.getMessage()), None
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
        record.exc_text = "\n".join(map(visible, trace.split("\n")))
    return True

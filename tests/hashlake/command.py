"""The console script, called as its entry point calls it, without the cost of a new process."""

import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from hashlake.main import main


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


def hashlake(*arguments: str | Path) -> Answer:
    """Run ``hashlake ARGUMENTS…``. What the entry point doesn't catch fails the test: users would see it."""
    out, err = StringIO(), StringIO()
    code: object = None
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "argv", ["hashlake", *map(str, arguments)]),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    if isinstance(code, str):  # the interpreter prints the text that sys.exit is given, and exits with 1
        return Answer(1, out.getvalue(), err.getvalue() + code + "\n")
    assert code is None or isinstance(code, int)
    return Answer(code or 0, out.getvalue(), err.getvalue())

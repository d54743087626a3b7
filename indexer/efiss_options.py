"""Options of EFISS' indexer that have no meaning here. Its scripts pass them, so they are taken, and said to be unused.

python indexer/main.py … --batch_size 128 --num_workers 4 --index_mode ivf --dump_index_path index/
"""

from collections.abc import Callable
from typing import Any

import click

from contract.terminal import say

_UNUSED: dict[str, tuple[click.ParamType[Any], str]] = {
    "--batch_size": (click.INT, "the indexer takes as many pictures at once as the model is fastest with"),
    "--num_workers": (click.INT, "the indexer decodes on every core"),
    "--dump_index_path": (click.STRING, "a version goes into the folder --index_store"),
    "--index_mode": (
        click.Choice(["default", "ivf"]),
        "every search is exact, and --mode makes that of millions faster",
    ),
}


def efiss_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them to ``command``, which doesn't get them; ``--help`` doesn't list them."""
    for name, (kind, why) in _UNUSED.items():
        command = click.option(
            name, type=kind, hidden=True, expose_value=False, help=f"Not used: {why}.", callback=_telling(why)
        )(command)
    return command


def _telling(why: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def tell(_context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None:
            say(f"{parameter.opts[0]} is not used: {why}", err=True)

    return tell

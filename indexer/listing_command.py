"""The command that lists a datalake: ``bash indexer/extract_datalake.sh`` or ``hashlake listing``."""

from functools import partial
from pathlib import Path

import click

from contract.terminal import say
from indexer import options
from sources.left_out import LeftOut
from sources.listing_writer import write_listing
from sources.selection import Selection


@click.command(short_help="Write the listing of a folder of pictures.")
@click.argument("folder")
@click.argument("path", metavar="[LISTING]", default="database_info.txt", type=click.Path(path_type=Path))
@options.keep_hidden
def listing(folder: str, path: Path, keep_hidden: bool) -> None:
    """Write the listing of the pictures below FOLDER: one a line, the folder as it was typed followed by the path below
    it, at any depth, sorted by bytes. LISTING: database_info.txt unless given. What looks like pictures and isn't
    listed is counted at the end."""
    left_out = LeftOut()
    count = write_listing(
        folder, path, partial(say, err=True), left_out=left_out, selection=Selection(keep_hidden=keep_hidden)
    )
    say(f"{path}: {count} images")
    if left_out.total():
        say(str(left_out), err=True)

"""The indexer's command line: ``python indexer/main.py``, or ``hashlake index``.

read the listing → load the model → build and publish the version → report what was skipped
"""

import sys
from functools import partial
from pathlib import Path
from typing import get_args

if __name__ == "__main__":  # run as a file: the rooms are beside this folder, not in it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import click

from hashing.errors import HashingError
from hashing.model import HashModel
from indexer.builder import Report, Request, build
from indexer.errors import IndexingError
from indexer.listing import Listing
from indexer.progress import Progress
from searcher.errors import SearcherError
from searcher.manifest import Mode
from searcher.store import IndexStore, check_name


@click.command(
    short_help="Hash a listing of images and publish an index version.",
    context_settings={"token_normalize_func": lambda token: token.replace("-", "_")},
)
@click.option(
    "--database",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The listing: one image a line, as extract_datalake.sh writes it.",
)
@click.option(
    "--model_path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The TorchScript hash model (.pt).",
)
@click.option(
    "--new_index_database_version",
    "name",
    required=True,
    metavar="NAME",
    help="Name of the version to publish, such as 1.5.0.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:0.")
@click.option(
    "--index_store",
    default="index_store",
    show_default=True,
    envvar="HASHLAKE_INDEX_STORE",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the index versions.",
)
@click.option(
    "--datalake_root",
    default=".",
    show_default=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that relative lines of the listing start from.",
)
@click.option(
    "--base_version",
    metavar="NAME",
    help="Keep the codes of this version for files whose size and modification time are unchanged.",
)
@click.option("--checksum", is_flag=True, help="With --base_version: compare file contents instead.")
@click.option(
    "--mode",
    default="default",
    show_default=True,
    type=click.Choice(get_args(Mode)),
    help="How the version is searched: by comparing every code, or with tables, faster from a million images on.",
)
@click.option("--keep_current", is_flag=True, help="Publish the version without making it the current one.")
@click.option("--json", "as_json", is_flag=True, help="Report progress and result as JSON, an object a line.")
@click.option("--image_size", type=int, help="Input size of a model that comes without a card.")
def index(
    database: Path,
    model_path: Path,
    name: str,
    device: str,
    index_store: Path,
    datalake_root: Path,
    base_version: str | None,
    checksum: bool,
    mode: Mode,
    keep_current: bool,
    as_json: bool,
    image_size: int | None,
) -> None:  # fmt: skip
    """Hash every image of a listing and publish the codes as a new index version, which becomes the current one.

    Servers that follow the store switch to it with their next request. Killed at any moment, the same command goes
    on where it stopped. Images that cannot be read are reported at the end and recorded in the version.
    """
    if checksum and base_version is None:
        raise click.UsageError("--checksum compares with a base version: add --base_version")
    check_name(name)
    listing = Listing(database)
    model = HashModel.load(model_path, device, image_size=image_size)
    request = Request(IndexStore(index_store), name, listing, datalake_root, base_version, checksum, mode, keep_current)
    progress = partial(Progress, as_json=as_json)
    report = build(request, model, tell=lambda line: click.echo(line, err=True), progress=progress)
    if as_json:
        click.echo(report.manifest.model_dump_json())
    else:
        _say(report, "published" if keep_current else "current")


def _say(report: Report, state: str) -> None:
    manifest = report.manifest
    for path, reason in report.skipped:
        click.echo(f"skipped {path}: {reason}", err=True)
    if manifest.skipped > len(report.skipped):
        rest = manifest.skipped - len(report.skipped)
        click.echo(f"… and {rest:,} more: see the table skipped in {manifest.version}/images.db", err=True)
    kept = f" ({report.reused:,} of them known before)" if report.reused else ""
    click.echo(
        f"version {manifest.version} is {state}: {manifest.count:,} images{kept}, {manifest.skipped:,} skipped, "
        f"{manifest.model.bits} bits, model {manifest.model.name}, {report.seconds:.1f} s"
    )


if __name__ == "__main__":
    try:
        index()
    except (HashingError, SearcherError, IndexingError) as error:
        sys.exit(f"Error: {error}")
    except OSError as error:
        sys.exit(f"Error: {error.filename or 'input/output'}: {error.strerror or error}")

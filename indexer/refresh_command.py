"""``hashlake refresh``, which `make serve`, the cron job, the chart and POST /api/reindex call."""

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import click

from contract.terminal import say
from embedding.model_files import current_model, models_folder
from indexer import options
from indexer.errors import IndexingError
from indexer.progress import Progress
from indexer.refresh import Found, Refresh
from indexer.refresh import refresh as run
from indexer.splitting import splitters_for
from searcher.scan.tables import Mode
from searcher.versions.names import line_of
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.left_out import LeftOut
from sources.listing import Listing
from sources.listing_writer import write_listing
from sources.mapped import MappedSource, Mapping
from sources.registry import open_source
from sources.selection import Selection
from sources.source import Source
from sources.splitters import suffixes_of


@click.command(short_help="Bring the index store up to date with a folder of pictures.")
@click.argument("folder", required=False)
@click.option(
    "--model_path",
    type=click.Path(path_type=Path),
    help="The TorchScript hash model (.pt).  [default: the one that made the current version]",
)
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the listing of FOLDER is kept. Without FOLDER: the listing to be indexed.",
)
@click.option(
    "--source",
    "address",
    metavar="ADDRESS",
    help="Instead of FOLDER: s3://bucket/prefix, photos.zip, urls:FILE and so on, as for hashlake index.",
)
@options.split
@options.detector
@options.regions_alone
@options.map_path
@options.device
@options.index_store
@click.option(
    "--datalake_root",
    default=".",
    show_default=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that a relative FOLDER, and relative lines of the listing, start from.",
)
@click.option(
    "--new_index_database_version",
    "name",
    metavar="NAME",
    help="Publish a version called so, even if nothing has changed.",
)
@click.option(
    "--mode", type=click.Choice(get_args(Mode)), help="How a new version is searched.  [default: as the current one]"
)
@options.keep_current
@options.keep_hidden
@options.as_json
def refresh(
    folder: str | None,
    model_path: Path | None,
    database: Path | None,
    address: str | None,
    splits: tuple[str, ...],
    detector: str | None,
    regions_alone: bool,
    mappings: tuple[str, ...],
    device: str,
    index_store: Path,
    datalake_root: Path,
    name: str | None,
    mode: Mode | None,
    keep_current: bool,
    keep_hidden: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Bring the index store up to date with the pictures below FOLDER. When nothing has changed, nothing is done.

    Codes of unchanged files are taken from the newest version of the same model. The mode stays, unless another one is
    asked for. Fit for a cron job; killed at any moment, the same command goes on where it stopped.
    """
    if folder is None and database is None and address is None:
        raise click.UsageError("name a FOLDER of pictures, or a listing with --database, or a --source")
    if address is not None and (folder is not None or database is not None):
        raise click.UsageError("--source replaces FOLDER and --database")
    if keep_current and name is None:
        raise click.UsageError("--keep_current needs a version of its own: add --new_index_database_version")
    left_out = LeftOut()
    maps = [Mapping.parse(each) for each in mappings]
    splitters = splitters_for(splits, detector, regions_alone=regions_alone)
    selection = Selection(suffixes_of(splitters), keep_hidden)
    with ExitStack() as opened:
        source: Source
        if address is not None:
            source = opened.enter_context(open_source(address, selection))
        else:
            listing = database or Path(opened.enter_context(TemporaryDirectory())) / "database_info.txt"
            if folder is not None:
                write_listing(folder, listing, partial(say, err=True), datalake_root, left_out, selection)
            source = FolderSource(datalake_root, Listing(listing))
        if folder is not None or address is not None:
            if as_json:
                say(json.dumps({"listed": source.count, "left_out": left_out}))
            else:
                say(f"{database or folder or address}: {source.count} images")
        if maps:
            source = MappedSource(source, maps)
        store = IndexStore(index_store)
        request = Refresh(
            store, source, model_path or _current_model(store.folder), device,
            name, mode, keep_current, left_out, splitters,
        )  # fmt: skip
        done = run(request, partial(say, err=True), partial(Progress, as_json=as_json))
    if as_json:
        manifest = store.manifest(done.name) if isinstance(done, Found) else done.manifest
        say(manifest.model_dump_json())
    elif not isinstance(done, Found):
        done.say("published" if keep_current else "current")
    elif done.was_current:
        name, _ = line_of(done.name)  # folded changes aren't changes of the files
        say(f"version {name} is current, and nothing has changed since")
    else:
        say(f"{done.name} is current")
    if left_out.total() and not as_json:
        say(str(left_out), err=True)


def _current_model(store: Path) -> Path:
    models = models_folder()
    if found := current_model(store, models):
        return found
    raise IndexingError(f"no model in {models} made the current version of {store}: name one with --model_path")

"""The indexer's command line: ``python indexer/main.py`` or ``hashlake index``.

open the listing or source → load the model → build and publish the version → report what was skipped
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import get_args

if __name__ == "__main__":  # run as a file: the rooms lie beside this folder, not in it
    sys.path[0] = str(Path(__file__).resolve().parents[1])

try:
    import click

    from contract.known_warnings import ignore_known_warnings
    from contract.registry import NotRegistered
    from contract.terminal import run, say
    from detection.errors import DetectionError
    from embedding.errors import EmbeddingError
    from embedding.registry import load_embedder
    from indexer import options
    from indexer.builder import Request, build
    from indexer.efiss_options import efiss_options
    from indexer.errors import IndexingError
    from indexer.progress import Progress
    from indexer.splitting import splitters_for
    from indexer.workers import workers_at
    from pictures.errors import ImageError
    from searcher.errors import SearcherError
    from searcher.scan.tables import Mode
    from searcher.versions.names import check_new_name
    from searcher.versions.store import IndexStore
    from sources.errors import SourceError
    from sources.folder import FolderSource
    from sources.listing import Listing
    from sources.mapped import MappedSource, Mapping
    from sources.registry import open_source
    from sources.selection import Selection
    from sources.source import Source
    from sources.splitters import suffixes_of, with_words
except ImportError as error:
    if __name__ != "__main__":
        raise
    sys.exit(f"Error: {error}: run `make serve` first, or enter the environment that it made: . .venv/bin/activate")

_ERRORS = (ImageError, EmbeddingError, DetectionError, SearcherError, IndexingError, SourceError, NotRegistered)


@click.command(
    short_help="Hash a listing of images and publish an index version.",
    context_settings={"token_normalize_func": lambda token: token.replace("-", "_")},
)
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The listing: one image a line, as extract_datalake.sh writes it.",
)
@click.option(
    "--source",
    "address",
    metavar="ADDRESS",
    help="Instead of a listing: where the pictures come from: a folder or an archive (photos.zip), s3://bucket/prefix, "
    "urls:FILE, a file with a URL a line.",
)
@options.split
@options.detector
@options.regions_alone
@options.map_path
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
@options.device
@options.index_store
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
@options.keep_current
@options.as_json
@click.option(
    "--workers",
    "workers",
    default="local",
    show_default=True,
    metavar="ADDRESS",
    help="Who hashes: this process (local), processes of this machine, one a core or GPU (ray), or those of a Ray "
    "cluster (ray://HOST:10001, or ray:HOST:6379 on a machine of the cluster).",
)
@click.option("--image_size", type=int, help="Input size of a model that comes without a card.")
@efiss_options
def index(
    database: Path | None,
    address: str | None,
    splits: tuple[str, ...],
    detector: str | None,
    regions_alone: bool,
    mappings: tuple[str, ...],
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
    workers: str,
    image_size: int | None,
) -> None:  # fmt: skip
    """Hash every image of a listing and publish the codes as a new index version, which becomes the current one.

    Servers that follow the store switch to it with their next request. Killed at any moment, the same command goes
    on where it stopped. Images that cannot be read are reported at the end and recorded in the version.
    """
    if (database is None) == (address is None):
        raise click.UsageError("name the pictures with either --database or --source")
    if checksum and base_version is None:
        raise click.UsageError("--checksum compares with a base version: add --base_version")
    check_new_name(name)
    load = partial(load_embedder, model_path.absolute(), image_size=image_size)
    opened = workers_at(workers, load, device)
    splitters = splitters_for(splits, detector, regions_alone=regions_alone)
    selection = Selection(suffixes_of(splitters))
    maps = [Mapping.parse(each) for each in mappings]
    with _opened(database, datalake_root) if database else open_source(address or "", selection) as found:
        source = MappedSource(found, maps) if maps else found
        model = load_embedder(model_path, device, image_size=image_size)
        splitters = with_words(splitters, getattr(model, "words", None))  # of a model with a text tower
        request = Request(IndexStore(index_store), name, source, base_version, checksum, mode, keep_current, splitters)
        progress = partial(Progress, as_json=as_json)
        report = build(request, model, tell=partial(say, err=True), progress=progress, workers=opened)
    if as_json:
        say(report.manifest.model_dump_json())
    else:
        report.say("published" if keep_current else "current")


@contextmanager
def _opened(database: Path, root: Path) -> Iterator[Source]:
    yield FolderSource(root, Listing(database))


if __name__ == "__main__":
    ignore_known_warnings()
    run(index, lambda error: isinstance(error, _ERRORS))

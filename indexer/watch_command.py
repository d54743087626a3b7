"""``hashlake watch``: a loop that keeps a collection up to date with a source. Options have the names that the
environment of an image's ``watch`` command gives them, too."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

import click

from contract.terminal import say
from embedding.model_files import models_folder
from indexer import options
from indexer.errors import IndexingError
from indexer.progress import Progress
from indexer.splitting import splitters_for
from indexer.watch_status import Status, StatusServer
from sources.registry import open_source
from sources.selection import Selection
from sources.splitters import suffixes_of, with_words

_KNOWN = {"WF_EXTRACT_IMAGES", "WF_EXTRACT_PDFS", "WF_LOG_LEVEL"}
_YES, _NO = ("yes", "true", "t", "y", "1"), ("no", "false", "f", "n", "0")


class _Flag(click.ParamType[bool]):
    """yes, true, t, y and 1; no, false, f, n and 0; in any case."""

    name = "yes/no"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if isinstance(value, bool):
            return value
        text = str(value).strip().lower()
        if text not in (*_YES, *_NO):
            self.fail(f"{value!r} is neither yes nor no", param, ctx)
        return text in _YES


def _flag(name: str, variable: str, default: bool, help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(
        f"--{name}", is_flag=False, flag_value="yes", default=default, type=_Flag(), envvar=variable, help=help,
        show_default=False,
    )  # fmt: skip


@click.command(short_help="Keep a collection up to date with a source of pictures.")
@click.argument("address", metavar="SOURCE", envvar="HASHLAKE_SOURCE")
@click.option("--collection", "name", required=True, envvar=["HASHLAKE_COLLECTION", "RUN_NAME"], help="Its name.")
@click.option(
    "--model_path", type=click.Path(dir_okay=False, path_type=Path), help="The model (.pt).  [default: MODEL_NAME's]"
)
@click.option(
    "--model_name",
    envvar="MODEL_NAME",
    help="Instead of a path: a model of the models folder, as ViT-B/32 or its file.",
)
@options.device
@options.index_store
@options.split
@options.detector
@options.regions_alone
@options.keep_hidden
@_flag("once", "RUN_ONCE", False, "Make one pass, and end.")
@_flag("clean", "CLEAN", False, "Empty the collection before the first pass.")
@_flag("remove_gone", "HASHLAKE_REMOVE_GONE", False, "Remove images that the source no longer has.")
@_flag("images", "WF_EXTRACT_IMAGES", True, "Embed pictures.  [default: yes]")
@_flag("pdfs", "WF_EXTRACT_PDFS", False, "Embed the pages of PDFs, and their text if the model reads any.")
@click.option(
    "--every", default=30.0, show_default=True, type=click.FloatRange(0.1), envvar="SLEEPING_TIME",
    help="Seconds between passes.",
)  # fmt: skip
@click.option(
    "--threads", default=4, show_default=True, type=click.IntRange(1, 256), envvar="NUMTHREADS", help="That embed."
)
@click.option(
    "--log_level", default="WARNING", show_default=True, envvar="WF_LOG_LEVEL",
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False),
    help="What is logged beside the passes.",
)  # fmt: skip
@click.option(
    "--status_host", default="127.0.0.1", show_default=True, envvar="HASHLAKE_STATUS_HOST",
    help="Where GET /status answers.",
)  # fmt: skip
@click.option(
    "--status_port", type=click.IntRange(1, 65535), envvar="HASHLAKE_STATUS_PORT",
    help="Port of GET /status; without it there is none.",
)  # fmt: skip
def watch(
    address: str,
    name: str,
    model_path: Path | None,
    model_name: str | None,
    device: str,
    index_store: Path,
    splits: tuple[str, ...],
    detector: str | None,
    regions_alone: bool,
    keep_hidden: bool,
    once: bool,
    clean: bool,
    remove_gone: bool,
    images: bool,
    pdfs: bool,
    every: float,
    threads: int,
    log_level: str,
    status_host: str,
    status_port: int | None,
) -> None:
    """Embed what SOURCE has and the collection hasn't, again and again: a folder, an archive, s3://bucket/prefix,
    urls:FILE or iiif:URL. A folder's changes are noticed at once where the system tells them; else SOURCE is listed
    --every seconds.

    Killed at any moment, the next run goes on: an image is in the collection once, or is embedded again under its name.
    What cannot be read is recorded with its reason, and tried again when it changes.
    """
    _refuse_unknown()
    if not images and not (pdfs or splits):
        raise click.UsageError("there is nothing to embed: neither --images nor --pdfs is wanted")
    logging.basicConfig(level=log_level.upper(), force=True)
    model = model_path or _model_called(model_name)
    status, ended = Status(), threading.Event()
    try:
        server = StatusServer(status, status_host, status_port)
    except OSError as error:
        raise IndexingError(f"{status_host}:{status_port} cannot be listened on: {error.strerror}") from error
    before = signal.signal(signal.SIGTERM, partial(_end, ended))
    with server:
        # Imported late: PyTorch takes seconds to load, and the status answers meanwhile.
        from embedding.registry import load_embedder
        from indexer.watch import Watch, open_collection
        from indexer.watch_changes import changes_of

        try:
            embedder = load_embedder(model, device)
            words = getattr(embedder, "words", None)  # of a model with a text tower
            ours = [*splits] if any(each.startswith("pdf") for each in splits) or not pdfs else [*splits, _pdf(words)]
            splitters = with_words(splitters_for(ours, detector, regions_alone=regions_alone), words)
            collection = open_collection(index_store, name, embedder.identity, clean=clean)
            work = Watch(collection, embedder, splitters, threads, remove_gone, only_parts=not images)
            selection = Selection(suffixes_of(splitters), keep_hidden)
            with changes_of(address) as changed:
                while True:
                    status.enter("processing")
                    changed.clear()
                    started = time.monotonic()
                    with open_source(address, selection) as source:
                        found = work.run(source, address, status.done, Progress)
                    say(
                        f"{name}: {found.listed:,} listed, {found.added:,} added, {found.removed:,} removed, "
                        f"{found.failed:,} failed ({found.failing:,} altogether), {time.monotonic() - started:.1f} s",
                        err=True,
                    )
                    status.done(1.0)
                    if once or ended.is_set():
                        break
                    status.enter("sleeping")
                    changed.wait(every, ended)
                    if ended.is_set():
                        break
            status.status = "completed"
        except Exception as error:
            status.status, status.error_message = "failed", str(error)
            status.error_code = "db_error" if type(error).__module__ == "searcher.errors" else "workflow_error"
            raise
        finally:
            signal.signal(signal.SIGTERM, before)


def _pdf(words: object) -> str:
    """What PDFs are taken apart into: pages, and text if the model reads any."""
    return "pdf" if words is None else "pdf:text"


def _end(ended: threading.Event, number: int, frame: FrameType | None) -> None:
    """SIGTERM: the present pass is finished where it stands, since nothing is lost by that."""
    ended.set()
    raise SystemExit(0)


def _refuse_unknown() -> None:
    """Refuses settings of the kind that nobody knows, unless they are empty, which counts as unset."""
    given = {name for name, text in os.environ.items() if text}
    unknown = sorted(name for name in given - _KNOWN if name.startswith("WF_"))
    if unknown:
        raise click.UsageError(f"{unknown[0]} is no setting of watch; there are: {', '.join(sorted(_KNOWN))}")


def _model_called(name: str | None) -> Path:
    """Returns the file of the model called ``name``: ViT-B/32 is ViT-B-32.pt in the models folder."""
    if name is None:
        raise click.UsageError("name a model with --model_path, or MODEL_NAME")
    folder = models_folder()
    path = folder / (name if name.endswith(".pt") else f"{name.replace('/', '-').replace('@', '-')}.pt")
    if not path.is_file():
        raise IndexingError(f"{folder} has no model {path.name}: name another one, or import it there")
    return path

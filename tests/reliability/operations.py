"""What changes a store, as its own processes do it: index, fold, add, publish."""

import os
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from indexer.builder import Request, build
from indexer.errors import IndexingError
from searcher.errors import SearcherError
from searcher.live.collection import Collection
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fake_embedder import CellEmbedder
from tests.searcher.live.fixtures import addition
from tests.searcher.live.killed import processes

processes.set_forkserver_preload([__name__])

#: No process owns files as this user.
_NOBODY = 65534

MODEL = CellEmbedder()
#: Files by name, with their codes; what version 1.0 has, and 2.0, which is published beside it; what is added to them.
PICTURES = {f"{number}.png": number * 163 for number in range(60)}
BASE = [addition("base", 1)]
NEXT = [addition(f"next/{number}", number) for number in range(100)]
ADDED = [addition(f"added/{number}", number) for number in range(40)]
MORE = [addition(f"more/{number} {'x' * 500}", number) for number in range(100)]


def store_in(folder: Path) -> IndexStore:
    return IndexStore(folder / "index_store")


def collection_in(folder: Path) -> Collection:
    return Collection("default", folder / "index_store")


def _index(folder: Path) -> None:
    source = FolderSource(folder, Listing(folder / "database_info.txt"))
    build(Request(store_in(folder), "3.0", source), MODEL, lambda _line: None)


def _fold(folder: Path) -> None:
    collection_in(folder).fold()


def _add(folder: Path) -> None:
    collection_in(folder).add(MORE)


def _publish(folder: Path) -> None:
    store_in(folder).promote("2.0")


#: By name, each with the images that the collection has afterwards.
OPERATIONS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "index": (_index, {*PICTURES, *(each.path for each in ADDED)}),
    "fold": (_fold, {each.path for each in [*BASE, *ADDED]}),
    "add": (_add, {each.path for each in [*BASE, *ADDED, *MORE]}),
    "publish": (_publish, {each.path for each in [*NEXT, *ADDED]}),
}


def _run(name: str, folder: Path, largest_file: int | None, as_nobody: bool, told: Connection) -> None:
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    if as_nobody and os.geteuid() == 0:
        os.seteuid(_NOBODY)
    operation, _ = OPERATIONS[name]
    try:
        operation(folder)
        told.send("done")
    except (SearcherError, IndexingError) as error:
        told.send(f"refused: {error}")
    except Exception as error:
        told.send(f"failed: {type(error).__name__}: {error}")


class Running:
    """The operation ``name`` in a process of its own, which may write no file over a size, and perhaps only what
    everybody may."""

    def __init__(self, name: str, folder: Path, largest_file: int | None = None, *, as_nobody: bool = False) -> None:
        self._ours, theirs = processes.Pipe(duplex=False)
        self._process = processes.Process(target=_run, args=(name, folder, largest_file, as_nobody, theirs))
        self._process.start()
        theirs.close()

    @property
    def outcome(self) -> str:
        """ "done", "refused: …", or "failed: …"."""
        told: str = self._ours.recv()
        self._process.join()
        assert self._process.exitcode == 0
        return told


def run(name: str, folder: Path, largest_file: int | None = None, *, as_nobody: bool = False) -> str:
    return Running(name, folder, largest_file, as_nobody=as_nobody).outcome

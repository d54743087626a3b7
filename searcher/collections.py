"""The collections below an index store.

index_store/                      the collection ``default``: the datalake's
index_store/collections/shoes/    the collection ``shoes``, an index store with versions of its own
index_store/collections/hats/     the collection ``hats``, which another engine keeps, as its engine.json says
"""

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from contract.model import ModelIdentity
from contract.names import DEFAULT_COLLECTION
from searcher.engines.configuration import ENGINE_FILE, Configuration
from searcher.engines.foreign import ForeignCollection
from searcher.engines.registry import engine_of
from searcher.errors import BadCollectionName, CollectionExists, CollectionInUse, CollectionMissing, JournalDamaged
from searcher.live.collection import Collection
from searcher.versions.acknowledged import sync_folder
from searcher.versions.images import IMAGES_FILE, ImageTable
from searcher.versions.names import is_name, is_new_name
from searcher.versions.store import CURRENT_FILE, FIRST_VERSION, IndexStore
from searcher.versions.vectors import write_vectors

COLLECTIONS = "collections"
_NEW = ".new-"
_DELETED = ".deleted-"
#: By default, a process may have 1,024 files open.
_AWAKE = 50


class Collections:
    """The collections below ``folder``, the index store; a search may use up to ``threads``. Threads may share it.

    ``warm_up``: this process searches them (``VersionFollower``). ``refused`` counts the versions that could not be
    used. Only the ``_AWAKE`` most recently opened keep files open, about ten each.
    """

    def __init__(self, folder: Path, threads: int = 1, *, warm_up: bool = False) -> None:
        self._folder = folder
        self._threads = threads
        self._warm_up = warm_up
        self._refused_before = 0  # by collections that are no longer open
        self._lock = threading.Lock()
        self._open: dict[str, Collection | ForeignCollection] = {}
        self._awake: dict[str, Collection | ForeignCollection] = {}

    @property
    def refused(self) -> int:
        with self._lock:
            return self._refused_before + sum(map(_refused, self._open.values()))

    def names(self) -> list[str]:
        """The names of all collections, ``default`` first."""
        folder = self._folder / COLLECTIONS
        found = [each.name for each in folder.iterdir() if self._exists(each.name)] if folder.is_dir() else []
        return [DEFAULT_COLLECTION, *sorted(found)]

    def open(self, name: str) -> Collection | ForeignCollection:
        """The collection ``name``. Raises CollectionMissing if there is none, EngineUnavailable if the file that says
        where it lives cannot be read, EngineRefused if that engine isn't installed."""
        if name != DEFAULT_COLLECTION and not self._exists(name):
            self._forget(name)
            shown = name if is_name(name) else repr(name[:64])  # half of a surrogate pair cannot be sent
            raise CollectionMissing(f"there is no collection {shown}")
        folder = self._folder if name == DEFAULT_COLLECTION else self._folder / COLLECTIONS / name
        tired: Collection | ForeignCollection | None = None
        configuration = Configuration.read(folder) if (folder / ENGINE_FILE).exists() else None
        with self._lock:
            collection = self._open.get(name)
            if collection is None or _configuration_of(collection) != configuration:
                collection = self._open[name] = self._opened(name, folder, configuration)
            self._awake.pop(name, None)
            self._awake[name] = collection
            if len(self._awake) > _AWAKE:
                tired = self._awake.pop(next(iter(self._awake)))
        if tired is not None:
            tired.rest()
        return collection

    def create(
        self, name: str, model: ModelIdentity, engine: str | None = None, place: str | None = None
    ) -> Collection | ForeignCollection:
        """Create the collection ``name`` for vectors of ``model``: empty, or with what an ``engine``, given by its
        address, has at ``place`` (by default what is called ``name`` there). Raises BadCollectionName,
        CollectionExists, and as ``OpenEngine.create``."""
        if name == DEFAULT_COLLECTION or self._exists(name):
            raise CollectionExists(f"there is a collection {name} already")
        if not is_new_name(name) or name.lower() == DEFAULT_COLLECTION:
            raise BadCollectionName(
                f"{name!r} cannot be a collection's name: use up to 64 letters, digits, dots, dashes and underscores, "
                "starting with a letter or a digit; names of the store's own files and of Windows' devices are taken"
            )
        try:
            with self._changing() as parent:
                # Built beside and renamed: a collection appears whole, or not at all.
                new = parent / f"{_NEW}{uuid4().hex}"
                if engine is None:
                    _first_version(IndexStore(new), model)
                else:
                    configuration = Configuration(address=engine, place=place or name, model=model)
                    new.mkdir()
                    engine_of(configuration).create(configuration).write(new)
                if (parent / name).exists():  # created meanwhile, or left by a process that wrote to a deleted one
                    if self._exists(name):
                        raise CollectionExists(f"there is a collection {name} already")
                    os.rename(parent / name, parent / f"{_DELETED}{uuid4().hex}")
                os.rename(new, parent / name)
                sync_folder(parent)
        except OSError as error:
            raise JournalDamaged(f"the collection {name} cannot be created ({error.strerror})") from error
        return self.open(name)

    def delete(self, name: str) -> None:
        """Delete the collection ``name`` with all its images. Reads in progress finish.

        Raises StoreBusy while it is folded.
        """
        if name == DEFAULT_COLLECTION:
            raise CollectionInUse("the collection default is the datalake's and cannot be deleted")
        collection = self.open(name)
        with self._changing() as parent:
            if not self._exists(name):
                raise CollectionMissing(f"there is no collection {name}")
            if isinstance(collection, ForeignCollection):
                collection.engine.delete()
            with IndexStore(collection.folder).indexing():
                os.rename(parent / name, parent / f"{_DELETED}{uuid4().hex}")
                sync_folder(parent)
        self._forget(name)

    def _forget(self, name: str) -> None:
        with self._lock:
            forgotten = self._open.pop(name, None)
            self._refused_before += _refused(forgotten) if forgotten else 0
            self._awake.pop(name, None)

    def _opened(self, name: str, folder: Path, configuration: Configuration | None) -> Collection | ForeignCollection:
        if configuration is not None:
            return ForeignCollection(name, folder, configuration, self._threads)
        return Collection(name, folder, self._threads, warm_up=self._warm_up)

    @contextmanager
    def _changing(self) -> Iterator[Path]:
        """The folder of the collections, locked against processes that create or delete one. Finally removes what was
        set aside, or left behind by killed processes."""
        parent = self._folder / COLLECTIONS
        if not parent.is_dir():
            parent.mkdir(parents=True, exist_ok=True)
            sync_folder(self._folder)
        with (parent / ".changing.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                yield parent
            finally:
                for left in [*parent.glob(f"{_NEW}*"), *parent.glob(f"{_DELETED}*")]:
                    shutil.rmtree(left, ignore_errors=True)

    def _exists(self, name: str) -> bool:
        """Whether there is such a collection, be it one that has lost its CURRENT."""
        if not is_name(name):
            return False
        folder = self._folder / COLLECTIONS / name
        return any((folder / file).is_file() for file in (CURRENT_FILE, ENGINE_FILE)) or bool(
            IndexStore(folder).names()
        )


def _configuration_of(collection: Collection | ForeignCollection) -> Configuration | None:
    return collection.configuration if isinstance(collection, ForeignCollection) else None


def _refused(collection: Collection | ForeignCollection) -> int:
    return collection.follower.refused if isinstance(collection, Collection) else 0


def _first_version(store: IndexStore, model: ModelIdentity) -> None:
    with store.indexing():
        folder = store.building(FIRST_VERSION)
        folder.mkdir(parents=True)
        files = write_vectors(folder, model.spaces, {space.name: space.empty() for space in model.spaces}).files
        ImageTable(folder / IMAGES_FILE, writable=True).close()
        store.publish(FIRST_VERSION, model=model, count=0, skipped=0, files=[*files, IMAGES_FILE])

"""The collections below an index store.

index_store/                      the collection ``default``: the datalake's
index_store/collections/shoes/    the collection ``shoes``, an index store with versions of its own
index_store/collections/hats/     the collection ``hats``, which another engine keeps, as its engine.json says
index_store/collections/.aliases.json    further names, and names that moved (aliases.py)
"""

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from contract.model import ModelIdentity
from contract.names import DEFAULT_COLLECTION
from searcher.aliases import Aliases, AliasFile
from searcher.engines.configuration import ENGINE_FILE, Configuration
from searcher.engines.foreign import ForeignCollection
from searcher.engines.registry import engine_of
from searcher.errors import (
    AliasesDamaged,
    BadCollectionName,
    CollectionExists,
    CollectionInUse,
    CollectionMissing,
    JournalDamaged,
)
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
        self._aliases = AliasFile(folder / COLLECTIONS)
        self._lock = threading.Lock()
        # By their folders' names.
        self._open: dict[str, Collection | ForeignCollection] = {}
        self._awake: dict[str, Collection | ForeignCollection] = {}

    @property
    def refused(self) -> int:
        with self._lock:
            return self._refused_before + sum(map(_refused, self._open.values()))

    def names(self) -> list[str]:
        """The names of all collections, ``default`` first. Where nobody knows what they are called, those of their
        folders: opening one says why."""
        return list(self.stores())

    def stores(self) -> dict[str, IndexStore]:
        """The index store of each collection by its name, in the order of ``names``; that of a collection in another
        engine has no versions. A name isn't the folder's, where it moved."""
        try:
            aliases = self._aliases.read()
        except AliasesDamaged:
            aliases = Aliases({})
        folder = self._folder / COLLECTIONS
        found = [each.name for each in folder.iterdir() if self._is_there(each.name)] if folder.is_dir() else []
        called = sorted((aliases.name(at), at) for at in found)
        return {DEFAULT_COLLECTION: IndexStore(self._folder)} | {name: IndexStore(folder / at) for name, at in called}

    def aliases(self) -> dict[str, str]:
        """Each further name of a collection, and what that collection is called. Raises AliasesDamaged."""
        aliases = self._aliases.read()
        there = {DEFAULT_COLLECTION, *map(aliases.folder, self.names())}
        return {name: aliases.name(at) for at in there for name in aliases.others(at)}

    def open(self, name: str) -> Collection | ForeignCollection:
        """The collection that ``name`` means. Raises CollectionMissing if there is none, AliasesDamaged if that cannot
        be known, EngineUnavailable if the file that says where it lives cannot be read, EngineRefused if that engine
        isn't installed."""
        while True:
            aliases = self._aliases.read()
            at = aliases.folder(name)
            if at != DEFAULT_COLLECTION and not self._is_there(at):
                self._forget(at)
                raise _missing(name)
            collection = self._open_in(at, aliases.name(at))
            if self._aliases.read().folder(name) == at:  # else the name moved, perhaps after what moved it looked here
                return collection

    def _open_in(self, at: str, called: str) -> Collection | ForeignCollection:
        """The collection in the folder ``at``, which is ``called`` so."""
        folder = self._folder if at == DEFAULT_COLLECTION else self._folder / COLLECTIONS / at
        tired: Collection | ForeignCollection | None = None
        configuration = Configuration.read(folder) if (folder / ENGINE_FILE).exists() else None
        with self._lock:
            collection = self._open.get(at)
            if collection is None or collection.name != called or _configuration_of(collection) != configuration:
                self._refused_before += _refused(collection) if collection else 0
                collection = self._open[at] = self._opened(called, folder, configuration)
            self._awake.pop(at, None)
            self._awake[at] = collection
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
        self._require_free(name)
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
                self._require_free(name)  # it may have been created meanwhile
                if (parent / name).exists():  # left by a process that wrote to a deleted one
                    os.rename(parent / name, parent / f"{_DELETED}{uuid4().hex}")
                os.rename(new, parent / name)
                sync_folder(parent)
        except OSError as error:
            raise JournalDamaged(f"the collection {name} cannot be created ({error.strerror})") from error
        return self.open(name)

    def delete(self, name: str) -> None:
        """Delete the collection ``name`` with all its images. Reads in progress finish.

        Raises StoreBusy while it is folded, CollectionInUse for a collection that has further names, and for a name
        that is one.
        """
        if name == DEFAULT_COLLECTION:
            raise CollectionInUse("the collection default is the datalake's and cannot be deleted")
        collection = self.open(name)
        with self._changing() as parent:
            aliases = self._aliases.read()
            at = aliases.folder(name)
            if not self._is_there(at):
                raise _missing(name)
            if (called := aliases.name(at)) != name:
                raise CollectionInUse(
                    f"{name} is an alias of the collection {called}: remove the alias, or delete that"
                )
            if others := aliases.others(at):
                raise CollectionInUse(
                    f"the collection {name} is also called {', '.join(others)}: give that name to another collection, "
                    "or remove it, before"
                )
            if isinstance(collection, ForeignCollection):
                collection.engine.delete()
            with IndexStore(collection.folder).indexing():
                os.rename(parent / at, parent / f"{_DELETED}{uuid4().hex}")
                sync_folder(parent)
            self._write_aliases(aliases.said)
        self._forget(at)

    def give_name(self, name: str, to: str, keep: str | None = None) -> None:
        """From now on, ``name`` means the collection ``to``, in every process, and nothing that is asked meanwhile
        fails. A collection that is called ``name`` is called ``keep`` from now on, and keeps its images.

        Raises CollectionMissing if there is no collection ``to``, BadCollectionName, CollectionInUse for ``default``,
        and CollectionExists if ``name`` is the only name of a collection and ``keep`` isn't given, or is taken.
        """
        if name == DEFAULT_COLLECTION:
            raise CollectionInUse("the name default is the datalake's: give another one to the collection")
        with self._changing():
            aliases = self._aliases.read()
            at, before = aliases.folder(to), aliases.folder(name)
            if at != DEFAULT_COLLECTION and not self._is_there(at):
                raise _missing(to)
            if before == at:
                return
            said = dict(aliases.said) | {name: at}
            if not self._is_there(before) or aliases.name(before) != name:  # no collection loses its name
                if name not in aliases.said:
                    self._require_free(name)
            elif keep is not None and aliases.said.get(keep) != before:
                self._require_free(keep)
                said[keep] = before
            elif keep is None and not aliases.others(before):
                raise CollectionExists(f"{name} is a collection: say by `keep` what that is called from then on")
            self._write_aliases(said)
        self._forget(at)
        self._forget(before)

    def remove_name(self, name: str) -> None:
        """Take back ``give_name``: if a collection's folder is called so, the name means that one again. Raises
        CollectionMissing if there is no such alias, and CollectionInUse if a collection has no other name."""
        with self._changing():
            aliases = self._aliases.read()
            at = aliases.folder(name)
            if name not in aliases.said:
                if name == DEFAULT_COLLECTION or self._is_there(name):
                    raise CollectionInUse(f"{name} is a collection, and no alias of one")
                raise CollectionMissing(f"there is no alias {_shown(name)}")
            if self._is_there(at) and aliases.name(at) == name:
                raise CollectionInUse(
                    f"{name} is all that this collection is called, since {at} means {aliases.folder(at)}: give it "
                    f"another name, or the name {at} back"
                )
            self._write_aliases({each: meant for each, meant in aliases.said.items() if each != name})
        self._forget(at)
        self._forget(name)

    def _write_aliases(self, said: Mapping[str, str]) -> None:
        """Write ``said`` of collections that are there, if it says something new."""
        there = {name: at for name, at in said.items() if at == DEFAULT_COLLECTION or self._is_there(at)}
        if there != self._aliases.read().said:
            self._aliases.write(there)

    def _require_free(self, name: str) -> None:
        """Raises BadCollectionName or CollectionExists unless something new may be called ``name``."""
        if name == DEFAULT_COLLECTION or self._is_there(name):
            raise CollectionExists(f"there is a collection {name} already")
        if (meant := self._aliases.read().said.get(name)) is not None:
            raise CollectionExists(f"{name} is an alias of the collection {self._aliases.read().name(meant)}")
        if not is_new_name(name) or name.lower() == DEFAULT_COLLECTION:
            raise BadCollectionName(
                f"{name!r} cannot be a collection's name: use up to 64 letters, digits, dots, dashes and underscores, "
                "starting with a letter or a digit; names of the store's own files and of Windows' devices are taken"
            )

    def _forget(self, at: str) -> None:
        with self._lock:
            forgotten = self._open.pop(at, None)
            self._refused_before += _refused(forgotten) if forgotten else 0
            self._awake.pop(at, None)

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

    def _is_there(self, at: str) -> bool:
        """Whether a collection is in the folder called ``at``, be it one that has lost its CURRENT."""
        if not is_name(at):
            return False
        folder = self._folder / COLLECTIONS / at
        return any((folder / file).is_file() for file in (CURRENT_FILE, ENGINE_FILE)) or bool(
            IndexStore(folder).names()
        )


def _missing(name: str) -> CollectionMissing:
    return CollectionMissing(f"there is no collection {_shown(name)}")


def _shown(name: str) -> str:
    return name if is_name(name) else repr(name[:64])  # half of a surrogate pair cannot be sent


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

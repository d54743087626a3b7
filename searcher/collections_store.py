"""The collections below an index store.

index_store/                      the collection ``default``: the datalake's
index_store/collections/shoes/    the collection ``shoes``, an index store with versions of its own
"""

import fcntl
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np

from searcher.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.collection import Collection
from searcher.errors import BadCollectionName, CollectionExists, CollectionInUse, CollectionMissing, JournalDamaged
from searcher.images import IMAGES_FILE, ImageTable
from searcher.journal import sync_folder
from searcher.manifest import ModelIdentity
from searcher.store import CURRENT_FILE, IndexStore

DEFAULT = "default"
COLLECTIONS = "collections"
#: The version that a collection begins with, which is empty.
FIRST_VERSION = "0"
_NEW = ".new-"
_DELETED = ".deleted-"
#: A process may have 1,024 files open, where nobody has set another limit.
_AWAKE = 50
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")


class Collections:
    """The collections below ``folder``, the index store; a search may use up to ``threads``. Threads may share it.

    Only the ``_AWAKE`` that were opened last keep files open, about ten each.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._folder = folder
        self._threads = threads
        self._lock = threading.Lock()
        self._open: dict[str, Collection] = {}
        self._awake: dict[str, Collection] = {}

    def names(self) -> list[str]:
        """All there are, ``default`` first."""
        folder = self._folder / COLLECTIONS
        found = [each.name for each in folder.iterdir() if self._exists(each.name)] if folder.is_dir() else []
        return [DEFAULT, *sorted(found)]

    def open(self, name: str) -> Collection:
        """The collection ``name``. CollectionMissing where there is none."""
        if name != DEFAULT and not (_NAME.fullmatch(name) and self._exists(name)):
            self._forget(name)
            shown = name if _NAME.fullmatch(name) else repr(name[:64])  # half of a surrogate pair cannot be sent
            raise CollectionMissing(f"there is no collection {shown}")
        folder = self._folder if name == DEFAULT else self._folder / COLLECTIONS / name
        tired: Collection | None = None
        with self._lock:
            if name not in self._open:
                self._open[name] = Collection(name, folder, self._threads)
            collection = self._open[name]
            self._awake.pop(name, None)
            self._awake[name] = collection
            if len(self._awake) > _AWAKE:
                tired = self._awake.pop(next(iter(self._awake)))
        if tired is not None:
            tired.rest()
        return collection

    def create(self, name: str, model: ModelIdentity) -> Collection:
        """Make the collection ``name``, empty, for codes of ``model``."""
        if not _NAME.fullmatch(name):
            raise BadCollectionName(
                f"{name!r} cannot be a collection's name: use up to 64 letters, digits, dots, dashes and underscores, "
                "starting with a letter or a digit"
            )
        if name == DEFAULT or self._exists(name):
            raise CollectionExists(f"there is a collection {name} already")
        try:
            with self._changing() as parent:
                # Made beside and renamed: a collection is there whole, or not at all.
                new = parent / f"{_NEW}{uuid4().hex}"
                _first_version(IndexStore(new), model)
                if (parent / name).exists():  # made meanwhile, or left by somebody who came too late to a deleted one
                    if self._exists(name):
                        raise CollectionExists(f"there is a collection {name} already")
                    os.rename(parent / name, parent / f"{_DELETED}{uuid4().hex}")
                os.rename(new, parent / name)
                sync_folder(parent)
        except OSError as error:
            raise JournalDamaged(f"the collection {name} cannot be created ({error.strerror})") from error
        return self.open(name)

    def delete(self, name: str) -> None:
        """Delete the collection ``name`` with all its images. Whoever is reading it reads to the end.

        StoreBusy while it is folded.
        """
        if name == DEFAULT:
            raise CollectionInUse("the collection default is the datalake's and cannot be deleted")
        store = self.open(name).store
        with self._changing() as parent:
            if not self._exists(name):
                raise CollectionMissing(f"there is no collection {name}")
            with store.indexing():
                os.rename(parent / name, parent / f"{_DELETED}{uuid4().hex}")
                sync_folder(parent)
        self._forget(name)

    def _forget(self, name: str) -> None:
        with self._lock:
            self._open.pop(name, None)
            self._awake.pop(name, None)

    @contextmanager
    def _changing(self) -> Iterator[Path]:
        """The folder of the collections, in which no other process makes or deletes one meanwhile. Takes away what
        they set aside, or left behind when they were killed."""
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
        return _NAME.fullmatch(name) is not None and (self._folder / COLLECTIONS / name / CURRENT_FILE).is_file()


def _first_version(store: IndexStore, model: ModelIdentity) -> None:
    with store.indexing():
        folder = store.building(FIRST_VERSION)
        folder.mkdir(parents=True)
        write_codes(np.empty((0, model.bits // 8), np.uint8), folder / INDEX_FILE)
        files = [INDEX_FILE, IMAGES_FILE]
        if model.detail_bits is not None:
            write_codes(np.empty((0, model.detail_bits // 8), np.uint8), folder / DETAILS_FILE)
            files.append(DETAILS_FILE)
        ImageTable(folder / IMAGES_FILE, writable=True).close()
        store.publish(FIRST_VERSION, model=model, count=0, skipped=0, files=files)

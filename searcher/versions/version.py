"""One published index version, open for searching.

    index_store/1.5.0/   manifest.json   its description, and the checksum of every file
                         index.faiss     codes, mapped, and a file for each further space of the model (vectors.py)
                         multi_index_*   tables, mapped, in the mode "unnecessary fast"
                         embedding_lists_*   of many embeddings, mapped
                         images.db       row ↔ path

A version never changes. Opening does the cheap checks (manifest, sizes, counts, what is known of it), so that a file
cut short is refused instead of killing the process that maps it; ``verify`` reads every byte.
"""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.model import ModelIdentity
from contract.space import CODE, EMBEDDING, Vectors
from searcher.errors import VersionDamaged
from searcher.matches import Matches
from searcher.scan.floats import FloatIndex
from searcher.scan.lists import LIST_FILES, map_lists
from searcher.scan.ranking import Query, Ranked, Ranking, compile_kernels, in_positions, nearest_of
from searcher.scan.search import CodeIndex
from searcher.versions.images import IMAGES_FILE, ImageTable
from searcher.versions.manifest import MANIFEST_FILE, FileEntry, Manifest, file_entry, read_manifest
from searcher.versions.vectors import file_of, files_of, map_floats
from searcher.versions.verdict import Verdict, record, refuse_if_damaged, stamps_of


class IndexVersion:
    """The version in ``folder``; one search may use up to ``threads``. Raises VersionDamaged if it isn't whole.

    ``vectors`` are the mapped vectors of all images, row by row.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.folder = folder
        self.manifest = manifest = read_manifest(folder)
        self.check()
        self._indexes: dict[str, CodeIndex] = {}
        vectors: dict[str, NDArray[Any]] = {}
        for space in manifest.model.spaces:
            file = file_of(space)
            if space.kind == "binary":
                index = CodeIndex.open(
                    folder, count=manifest.count, bits=space.width, threads=threads, file=file,
                    mode=manifest.mode if space.name == CODE else "default",
                )  # fmt: skip
                self._indexes[space.name] = index
                vectors[space.name] = index.codes
            else:
                vectors[space.name] = map_floats(folder / file, space, manifest.count)
        self.vectors: Vectors = vectors
        self._floats = FloatIndex(vectors[EMBEDDING], threads) if EMBEDDING in vectors else None
        self._lists = None
        if set(LIST_FILES) <= manifest.files.keys():
            if self._floats is None or CODE not in self._indexes:
                raise VersionDamaged(f"version {self.name} has lists of embeddings, and no embeddings or no codes")
            width, bits = self._floats.width, self._indexes[CODE].bits
            self._lists = map_lists(folder, count=manifest.count, width=width, bits=bits)
        self._ranking = Ranking(self._indexes, self._floats, manifest.shortlists, self._lists)
        try:
            self.images = ImageTable(folder / IMAGES_FILE)
            images = len(self.images)
        except sqlite3.Error as error:
            raise VersionDamaged(f"{IMAGES_FILE} of version {self.name} cannot be read ({error})") from error
        if images != manifest.count:
            raise VersionDamaged(
                f"{IMAGES_FILE} of version {self.name} has {images} images, and there are {manifest.count} codes"
            )

    @property
    def name(self) -> str:
        return self.manifest.version

    @property
    def model(self) -> ModelIdentity:
        """The model that made its vectors."""
        return self.manifest.model

    def require_model(self, model: ModelIdentity) -> None:
        """As ``Manifest.require_model``."""
        self.manifest.require_model(model)

    def check(self) -> None:
        """Raise VersionDamaged if a file has another size than the manifest says, or is known to be damaged. Cheap
        enough to ask every second: what is mapped may be changed in place at any time."""
        _check_sizes(self.folder, self.manifest)
        if not (self.folder / MANIFEST_FILE).is_file():
            raise VersionDamaged(f"{MANIFEST_FILE} of version {self.name} is gone")
        refuse_if_damaged(self.folder)

    def can(self, rank: str) -> bool:
        """Whether its images can be ranked by ``rank``."""
        return self._ranking.can(rank)

    def search(self, queries: Sequence[Query], allowed: NDArray[np.uint8] | None = None) -> list[Matches]:
        """The images nearest to each of ``queries``, among the rows in the bitmap ``allowed``
        (``CodeIndex.search``), with the order and the ValueErrors of ``Ranking.search``."""
        return [
            self._matches(query.vectors, found)
            for query, found in zip(queries, self.ranked(queries, allowed), strict=True)
        ]

    def search_any(self, queries: Sequence[Query]) -> Matches:
        """The images nearest to any of ``queries``, which ask for one thing in several positions."""
        found, answers = nearest_of(self.ranked(queries), queries[0].top_k)
        return self._matches(in_positions(queries, answers), found)

    def ranked(self, queries: Sequence[Query], allowed: NDArray[np.uint8] | None = None) -> list[Ranked]:
        """Like ``search``, with rows instead of paths."""
        return self._ranking.search(queries, allowed)

    def warm_up(self) -> None:
        """Spare the first searches a wait: load the compiled kernels, and start to map the files' pages."""
        compile_kernels(self.manifest.model.spaces)
        for index in self._indexes.values():
            index.warm_up()
        if self._floats is not None:
            self._floats.warm_up()

    def _matches(self, asked: Vectors, found: Ranked) -> Matches:
        rows = found.rows.tolist()
        return Matches(
            self.images.paths(rows), found.of_order.tolist(), [None] * len(rows), rows, asked,
            self.manifest.model.spaces, lambda: {name: array[found.rows] for name, array in self.vectors.items()},
            found.order[0],
        )  # fmt: skip


def verify(folder: Path, read: Callable[[Path], FileEntry] = file_entry) -> Manifest:
    """Read every byte of the version in ``folder``, each file by ``read``, and compare with its manifest. Raises
    VersionDamaged. Either way, the verdict is kept for all who serve the version."""
    stamps, reading = stamps_of(folder), MANIFEST_FILE
    try:
        manifest = read_manifest(folder)
        for name, entry in manifest.files.items():
            reading = name
            _check_size(folder, name, entry)
            if _read(folder / name, read).sha256 != entry.sha256:
                raise VersionDamaged(
                    f"{name} of version {manifest.version} has changed: its sha256 is not the manifest's"
                )
        _check_sizes(folder, manifest)
    except VersionDamaged as error:
        _keep(folder, Verdict.now(stamps, reading, str(error)))
        raise
    _keep(folder, Verdict.now(stamps))
    IndexVersion(folder).images.close()
    return manifest


def _read(path: Path, read: Callable[[Path], FileEntry]) -> FileEntry:
    try:
        return read(path)
    except OSError as error:
        raise VersionDamaged(f"{path.name} of version {path.parent.name} cannot be read ({error.strerror})") from error


def _keep(folder: Path, verdict: Verdict) -> None:
    if verdict.stamps == stamps_of(folder):  # else it was deleted, or written meanwhile
        record(folder, verdict)


def _check_sizes(folder: Path, manifest: Manifest) -> None:
    for name in (*files_of(manifest.model.spaces, manifest.mode), IMAGES_FILE):
        if name not in manifest.files:
            raise VersionDamaged(f"the manifest of version {folder.name} doesn't list {name}")
    for name, entry in manifest.files.items():
        _check_size(folder, name, entry)


def _check_size(folder: Path, name: str, entry: FileEntry) -> None:
    try:
        size = (folder / name).stat().st_size
    except OSError as error:
        raise VersionDamaged(f"{name} of version {folder.name} cannot be read ({error.strerror})") from error
    if size != entry.size:
        raise VersionDamaged(f"{name} of version {folder.name} has {size} bytes; its manifest says {entry.size}")

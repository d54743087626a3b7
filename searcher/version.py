"""One published index version, open for searching.

    index_store/1.5.0/   manifest.json   what it is, and the checksum of every file
                         index.faiss     codes, mapped
                         details.faiss   detail codes, mapped, where the model gives them
                         multi_index_*   tables, mapped, in the mode "unnecessary fast"
                         images.db       row ↔ path

A version never changes. Opening checks what is cheap (manifest, sizes, counts), so that a file cut short is refused
instead of killing the process that maps it; ``verify`` reads every byte.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from searcher.codes import DETAILS_FILE, INDEX_FILE
from searcher.errors import VersionDamaged
from searcher.gpu import Near
from searcher.images import IMAGES_FILE, ImageTable
from searcher.manifest import Manifest, file_entry, read_manifest
from searcher.ranking import Ranking
from searcher.search import CodeIndex, Hits, Query, compile_kernels
from searcher.tables import TABLE_FILES


@dataclass(frozen=True)
class Matches:
    """The answer to one query: ``paths``, best first, and the distance (bits) between the codes for each.

    ``metadata``, JSON text or None for each, is told where a collection is searched (``overlay.View``).
    """

    paths: list[str]
    distances: list[int]
    metadata: list[str | None] = field(default_factory=list)


class IndexVersion:
    """The version in ``folder``; one search may use up to ``threads``. Raises VersionDamaged when it isn't whole."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        _check_sizes(folder, self.manifest)
        manifest = self.manifest
        self.codes = CodeIndex.open(
            folder, count=manifest.count, bits=manifest.model.bits, mode=manifest.mode, threads=threads
        )
        self.details: CodeIndex | None = None
        if manifest.model.detail_bits is not None:
            self.details = CodeIndex.open(
                folder, count=manifest.count, bits=manifest.model.detail_bits, threads=threads, file=DETAILS_FILE
            )
        self._ranking = Ranking(self.codes, self.details)
        try:
            self.images = ImageTable(folder / IMAGES_FILE)
            images = len(self.images)
        except sqlite3.Error as error:
            raise VersionDamaged(f"{IMAGES_FILE} of version {self.name} cannot be read ({error})") from error
        if images != self.manifest.count:
            raise VersionDamaged(f"version {self.name} has {self.manifest.count} codes and {images} images")

    @property
    def name(self) -> str:
        return self.manifest.version

    @property
    def has_details(self) -> bool:
        """Whether it has detail codes, which put images at one distance in order."""
        return self.details is not None

    def search(self, queries: Sequence[Query], allowed: NDArray[np.uint8] | None = None) -> list[Matches]:
        """The images nearest to each of ``queries``, among the rows that the bitmap ``allowed`` has
        (``CodeIndex.search``), in the order of ``Ranking.search``, which also says what is a ValueError."""
        return [
            Matches(self.images.paths(hits.rows.tolist()), hits.distances.tolist())
            for hits in self.hits(queries, allowed)
        ]

    def hits(self, queries: Sequence[Query], allowed: NDArray[np.uint8] | None = None) -> list[Hits]:
        """As ``search``, with rows instead of paths."""
        return self._ranking.search(queries, allowed)

    def warm_up(self) -> None:
        """Do what the first searches would wait for: load the compiled kernels, and begin to map the files' pages."""
        compile_kernels(self.manifest.model.bits, self.manifest.model.detail_bits)
        self.codes.warm_up()
        if self.details is not None:
            self.details.warm_up()

    def offer_gpu(self, offer: Callable[[NDArray[np.uint8]], Near]) -> None:
        """Search the codes on a GPU if what ``offer`` makes of them is faster there; detail codes stay on the CPU."""
        self.codes.offer_gpu(offer, self.details.codes if self.details is not None else None)


def verify(folder: Path) -> Manifest:
    """Read every byte of the version in ``folder`` and compare with its manifest. Raises VersionDamaged."""
    manifest = read_manifest(folder)
    _check_sizes(folder, manifest)
    for name, entry in manifest.files.items():
        if file_entry(folder / name).sha256 != entry.sha256:
            raise VersionDamaged(f"{name} of version {manifest.version} has changed: its sha256 is not the manifest's")
    IndexVersion(folder).images.close()
    return manifest


def _check_sizes(folder: Path, manifest: Manifest) -> None:
    tables = TABLE_FILES if manifest.mode == "unnecessary fast" else []
    details = [] if manifest.model.detail_bits is None else [DETAILS_FILE]
    for name in (INDEX_FILE, IMAGES_FILE, *details, *tables):
        if name not in manifest.files:
            raise VersionDamaged(f"the manifest of version {folder.name} doesn't list {name}")
    for name, entry in manifest.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise VersionDamaged(f"{name} of version {folder.name} cannot be read ({error.strerror})") from error
        if size != entry.size:
            raise VersionDamaged(f"{name} of version {folder.name} has {size} bytes; its manifest says {entry.size}")

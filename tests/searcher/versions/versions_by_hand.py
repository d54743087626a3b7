"""Index versions of two-byte codes, made with the searcher room alone: no model, no pictures."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from contract.model import ModelIdentity
from searcher.matches import Matches
from searcher.scan.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.scan.ranking import Query
from searcher.scan.table_builder import build_tables
from searcher.scan.tables import TABLE_FILES, Mode, write_tables
from searcher.versions.images import IMAGES_FILE, ImageFile, ImageTable
from searcher.versions.manifest import Manifest
from searcher.versions.store import IndexStore
from tests.vectors import query_of, spaces_of

MODEL = ModelIdentity(
    name="grid", sha256="a" * 64, bits=16, precision="float32", preprocessing={"image_size": 16, "resize": "stretch"}
)


def as_codes(*values: int) -> NDArray[np.uint8]:
    """One row of two bytes a value, most significant first."""
    return np.array(values, ">u2").view(np.uint8).reshape(-1, 2)


def as_details(*values: int) -> NDArray[np.uint8]:
    """One row of one byte a value."""
    return np.array(values, np.uint8).reshape(-1, 1)


def asked(*queries: tuple[int, int] | tuple[int, int, int | None]) -> list[Query]:
    """A query for each code, top_k and, if it has one, radius."""
    return [query_of(as_codes(code)[0], None, top_k, *radius) for code, top_k, *radius in queries]


def answered(matches: Matches) -> tuple[list[str], list[int]]:
    return matches.paths, matches.distances


def file_of(path: str) -> ImageFile:
    return ImageFile(path, size=len(path), mtime_ns=1_600_000_000_000_000_007, digest=bytes(range(16)))


def build(
    store: IndexStore,
    name: str,
    codes: Mapping[str, int],
    skipped: Mapping[str, str],
    mode: Mode = "default",
    details: NDArray[np.uint8] | None = None,
) -> list[str]:
    """Everything of version ``name`` but its publication. Answers the files."""
    folder = store.building(name)
    folder.mkdir(parents=True)
    write_codes(as_codes(*codes.values()), folder / INDEX_FILE)
    with ImageTable(folder / IMAGES_FILE, writable=True) as table:
        table.begin()
        for row, path in enumerate(codes):
            assert table.add(row, file_of(path))
        for path, reason in skipped.items():
            table.skip(path, reason)
        table.commit()
    files = [INDEX_FILE, IMAGES_FILE]
    if details is not None:
        write_codes(details, folder / DETAILS_FILE)
        files.append(DETAILS_FILE)
    if mode == "unnecessary fast":
        write_tables(build_tables(as_codes(*codes.values())), folder)
        files += TABLE_FILES
    return files


def publish(
    store: IndexStore,
    name: str,
    codes: Mapping[str, int] | None = None,
    skipped: Mapping[str, str] | None = None,
    model: ModelIdentity = MODEL,
    mode: Mode = "default",
    details: NDArray[np.uint8] | None = None,
) -> Manifest:
    """Publish version ``name`` with ``codes`` by path, in their order; without any, of one image called by its name."""
    codes = {f"{name}.png": 0} if codes is None else codes
    files = build(store, name, codes, skipped or {}, mode, details)
    if details is not None:
        model = model.model_copy(update={"spaces": spaces_of(16, 8 * details.shape[1])})
    return store.publish(name, model=model, count=len(codes), skipped=len(skipped or {}), files=files, mode=mode)

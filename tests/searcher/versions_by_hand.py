"""Index versions of two-byte codes, made with the searcher room alone: no model, no pictures."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from searcher.codes import INDEX_FILE, write_codes
from searcher.images import IMAGES_FILE, ImageFile, ImageTable
from searcher.manifest import Manifest, Mode, ModelIdentity
from searcher.store import IndexStore
from searcher.table_builder import build_tables
from searcher.tables import TABLE_FILES, write_tables

MODEL = ModelIdentity(
    name="grid", sha256="a" * 64, bits=16, precision="float32", preprocessing={"image_size": 16, "resize": "stretch"}
)


def as_codes(*values: int) -> NDArray[np.uint8]:
    """One row of two bytes a value, most significant first."""
    return np.array(values, ">u2").view(np.uint8).reshape(-1, 2)


def file_of(path: str) -> ImageFile:
    return ImageFile(path, size=len(path), mtime_ns=1_600_000_000_000_000_007, digest=bytes(range(16)))


def build(
    store: IndexStore, name: str, codes: Mapping[str, int], skipped: Mapping[str, str], mode: Mode = "default"
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
    if mode == "default":
        return [INDEX_FILE, IMAGES_FILE]
    write_tables(build_tables(as_codes(*codes.values())), folder)
    return [INDEX_FILE, IMAGES_FILE, *TABLE_FILES]


def publish(
    store: IndexStore,
    name: str,
    codes: Mapping[str, int] | None = None,
    skipped: Mapping[str, str] | None = None,
    model: ModelIdentity = MODEL,
    mode: Mode = "default",
) -> Manifest:
    """Publish version ``name`` with ``codes`` by path, in their order; without any, of one image called by its name."""
    codes = {f"{name}.png": 0} if codes is None else codes
    files = build(store, name, codes, skipped or {}, mode)
    return store.publish(name, model=model, count=len(codes), skipped=len(skipped or {}), files=files, mode=mode)

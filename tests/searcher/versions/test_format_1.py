"""Versions from before spaces had names: they are opened, searched, folded, and taken as the base of another version.

The folder is made here byte by byte, as an earlier release left it.
"""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import faiss
import numpy as np
import pytest

from contract.space import row_of
from embedding.torchscript import TorchScriptEmbedder
from indexer.builder import Request, build
from searcher.live.collection import Collection
from searcher.versions.manifest import MANIFEST_FILE
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion, verify
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fakes import write_datalake
from tests.vectors import entry_of, query_of

CODES = [0x8001, 0xFF00, 0xFF00]
DETAILS = [0x00000001, 0x0000FFFF, 0x00000000]
PATHS = ["a.png", "b.png", "c.png"]


def write_index(path: Path, values: list[int], width: int) -> None:
    index = faiss.IndexBinaryFlat(8 * width)
    index.add(np.frombuffer(b"".join(value.to_bytes(width, "big") for value in values), np.uint8).reshape(-1, width))
    faiss.write_index_binary(index, str(path))


def write_version(store: Path, model: TorchScriptEmbedder, keys: dict[str, object]) -> Path:
    """The version 1.0.0 of format 1, current in ``store``; of its model the manifest says ``keys``."""
    folder = store / "1.0.0"
    folder.mkdir(parents=True)
    write_index(folder / "index.faiss", CODES, 2)
    if keys.get("detail_bits"):
        write_index(folder / "details.faiss", DETAILS, 4)
    with closing(sqlite3.connect(folder / "images.db")) as connection, connection:
        connection.executescript(
            "CREATE TABLE images(row INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,"
            " mtime_ns INTEGER NOT NULL, digest BLOB NOT NULL);"
            "CREATE TABLE skipped(path TEXT NOT NULL, reason TEXT NOT NULL);"
            "CREATE TABLE build(key TEXT PRIMARY KEY, value NOT NULL);"
        )
        rows = [(row, path, *stat_of(store.parent / path)) for row, path in enumerate(PATHS)]
        connection.executemany("INSERT INTO images VALUES (?, ?, ?, ?, ?)", rows)
    files = {
        path.name: {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in sorted(folder.iterdir())
    }
    card = model.card
    manifest = {
        "format": 1, "version": "1.0.0", "created": "2020-05-02T12:00:00Z",
        "model": {
            "name": card.name, "sha256": model.sha256, "precision": "float32",
            "preprocessing": card.preprocessing.model_dump(mode="json"), **keys,
        },
        "count": 3, "skipped": 0, "mode": "default", "folded": 0, "files": files,
    }  # fmt: skip
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    (store / "CURRENT").write_text("1.0.0\n")
    return folder


def stat_of(path: Path) -> tuple[int, int, bytes]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, hashlib.blake2b(path.read_bytes(), digest_size=16).digest()


@pytest.fixture(params=["details", "no details", "before there were details"])
def model(
    request: pytest.FixtureRequest, grid: TorchScriptEmbedder, colours: TorchScriptEmbedder
) -> TorchScriptEmbedder:
    return colours if request.param == "details" else grid


@pytest.fixture
def version(request: pytest.FixtureRequest, model: TorchScriptEmbedder, tmp_path: Path) -> Path:
    write_datalake(tmp_path, dict(zip(PATHS, zip(CODES, DETAILS, strict=True), strict=True)))
    keys: dict[str, object] = {"bits": 16, "detail_bits": model.card.detail_bits, "decoder": "Pillow 12"}
    if "before there were details" in request.node.callspec.id:
        keys = {"bits": 16}
    return write_version(tmp_path / "index_store", model, keys)


def test_it_is_opened_verified_and_searched(version: Path, model: TorchScriptEmbedder) -> None:
    assert verify(version).format == 1
    opened = IndexVersion(version)
    assert opened.manifest.model.spaces == model.identity.spaces
    opened.manifest.require_model(model.identity)
    detail = np.zeros(4, np.uint8) if opened.can("detail") else None
    (matches,) = opened.search([query_of(np.array([0xFF, 0x00], np.uint8), detail)])
    assert (matches.paths, matches.distances) == (
        (["c.png", "b.png", "a.png"] if opened.can("detail") else ["b.png", "c.png", "a.png"]), [0, 0, 8]
    )  # fmt: skip


def test_its_collection_changes_and_is_folded(version: Path, model: TorchScriptEmbedder) -> None:
    collection = Collection("default", version.parent)
    detail = b"\1\2\3\4" if model.card.detail_bits else None
    collection.add([entry_of("http://example.org/d.png", b"\x80\x00", detail)])
    collection.remove(["a.png"])
    before = collection.view().images()
    assert [image.path for image in before] == ["b.png", "c.png", "http://example.org/d.png"]
    manifest = collection.fold()
    assert manifest is not None and (manifest.format, manifest.count) == (2, 3)
    assert json.loads((version.parent / "1.0.0-f1" / MANIFEST_FILE).read_text())["spaces"][0]["file"] == "index.faiss"
    assert collection.view().images() == before


def test_it_is_the_base_of_another(
    version: Path, model: TorchScriptEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = tmp_path / "listing.txt"
    listing.write_text("".join(f"{path}\n" for path in PATHS))
    old = IndexVersion(version)
    monkeypatch.setattr(TorchScriptEmbedder, "embed", None)  # nothing is embedded again
    request = Request(IndexStore(version.parent), "2.0.0", FolderSource(tmp_path, Listing(listing)), "1.0.0")
    report = build(request, model, lambda _line: None)
    assert (report.reused, report.manifest.count, report.manifest.format) == (3, 3, 2)
    new = IndexVersion(version.parent / "2.0.0")
    assert [row_of(new.vectors, row) for row in range(3)] == [row_of(old.vectors, row) for row in range(3)]

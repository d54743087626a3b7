"""A version as anybody reads it from the disk: plain FAISS, plain SQLite, none of the project's own readers."""

import sqlite3
from contextlib import closing
from pathlib import Path

import faiss
import numpy as np


def codes_by_path(version: Path, file: str = "index.faiss") -> dict[str, bytes]:
    """The code of every path of the version: row i of ``file`` beside row i of images.db, in row order."""
    index = faiss.read_index_binary(str(version / file))
    rows = _select(version, "SELECT row, path FROM images ORDER BY row")
    assert [row for row, _ in rows] == list(range(index.ntotal))
    return {path: np.asarray(index.reconstruct(row)).tobytes() for row, path in rows}


def images_of(version: Path) -> list[tuple[object, ...]]:
    """The whole table ``images``, in row order."""
    return _select(version, "SELECT * FROM images ORDER BY row")


def skipped_of(version: Path) -> list[tuple[str, str]]:
    """(path, reason) of everything that has no row, in the order of the listing."""
    return _select(version, "SELECT path, reason FROM skipped ORDER BY rowid")


def _select(version: Path, query: str) -> list[tuple]:  # type: ignore[type-arg]
    with closing(sqlite3.connect(version / "images.db")) as connection:
        return connection.execute(query).fetchall()

"""The figures of documents as vectors, committed batch by batch: a run that is killed goes on where it stopped.

    pages of a document ─▶ prepared ─▶ one space of a model ─▶ DIR/figures.db
                        ─▶ small pictures, for people (elements/similarity/portraits.py)

What is kept belongs to one model file, by its sha256, and one space. A figure that cannot be read has no vector: it is
reported, and compared with nothing.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import DETAIL, EMBEDDING, Space
from elements.documents import IMAGES, open_document, splitters_for
from elements.errors import ElementsError
from elements.pages import Page, Pages, about_of
from elements.similarity.portraits import Portraits, portrait_name
from embedding.embedder import Embedder
from pictures.errors import ImageError
from sources.errors import Unreadable

FIGURES_FILE = "figures.db"
#: Pictures per forward pass, and per commit.
_CHUNK = 16

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run(what TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS figures(
    document TEXT NOT NULL, name TEXT NOT NULL, version TEXT, number INTEGER NOT NULL, file TEXT NOT NULL,
    vector BLOB, local BLOB, reason TEXT, run INTEGER NOT NULL, PRIMARY KEY (document, name, file));
"""


@dataclass(frozen=True)
class Figure:
    """``file``: what it is called in results, unlike any other in its document. ``name``: where it comes from.
    ``portrait``: what its small picture is called, if there is one."""

    file: str
    name: str
    portrait: str | None = None


@dataclass(frozen=True)
class Figures:
    """The figures of one document: ``vectors``, (n, columns) of the space, belong to ``known``. ``unread`` have a
    reason."""

    document: str
    known: list[Figure]
    vectors: NDArray[Any]
    unread: list[tuple[Figure, str]]


def space_of(model: Embedder, name: str | None) -> Space:
    """Returns the space of ``model`` called ``name``; unless given, the one that tells most pictures apart. Raises
    ElementsError."""
    spaces = {space.name: space for space in model.identity.spaces}
    wanted = name or next((each for each in (EMBEDDING, DETAIL) if each in spaces), next(iter(spaces)))
    if wanted not in spaces:
        raise ElementsError(f"the model has no space {wanted}; it has: {', '.join(spaces)}")
    return spaces[wanted]


class FigureStore:
    """The figures in ``folder``, as ``space`` of ``model`` has them, and, where ``local`` makes them of a file's bytes,
    their local features, as bytes. Another model or space begins anew, as does asking for local features."""

    def __init__(
        self, folder: Path, model: Embedder, space: Space, local: Callable[[bytes], bytes] | None = None
    ) -> None:
        """Raises ElementsError if the folder cannot be used."""
        self._path = folder / FIGURES_FILE
        self._model = model
        self._space = space
        self._local = local
        self._portraits = Portraits(folder)
        run = {"model": model.identity.sha256, "space": space.name, "local": str(local is not None)}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._connected() as connection:
                connection.executescript(_SCHEMA)
                before = dict(connection.execute("SELECT what, value FROM run").fetchall())
                if before and before != run:
                    connection.execute("DELETE FROM figures")
                connection.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", run.items())
                (last,) = connection.execute("SELECT coalesce(max(run), 0) FROM figures").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise ElementsError(f"figures cannot be kept in {folder}: {error}") from error
        self._run = last + 1

    def read(self, document: str, address: str, tell: Callable[[bool], None]) -> None:
        """Make the vectors of the figures in the document at ``address``, which is called ``document``, that aren't
        known; ``tell`` of each figure whether it has one. Raises as ``open_document`` does."""
        splitters = splitters_for(address)
        chunk: list[_Prepared] = []
        with open_document(address, splitters) as source:
            for page, data in Pages(source, address, splitters).read(_Known(self, document)):
                if data is None:
                    self._place(document, page)
                    tell(True)
                    continue
                try:
                    if isinstance(data, Unreadable):
                        raise data
                    local = None if self._local is None else self._local(data)
                    prepared = _Prepared(page, self._model.prepare(data), local)
                    self._portraits.keep(document, page.name, page.version, data)
                    chunk.append(prepared)
                except (Unreadable, ImageError) as error:
                    self._save(document, [(page, None, None, str(error))])
                    tell(False)
                if len(chunk) == _CHUNK:
                    self._embed(document, chunk, tell)
            self._embed(document, chunk, tell)
        with self._connected() as connection:
            connection.execute("DELETE FROM figures WHERE document = ? AND run < ?", (document, self._run))

    def of(self, document: str) -> Figures:
        """Returns the figures of ``document``, in the order of its pages."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT file, name, version, vector, reason FROM figures WHERE document = ? ORDER BY number, file",
                (document,),
            ).fetchall()
        known: list[Figure] = []
        unread: list[tuple[Figure, str]] = []
        for file, name, version, _, reason in rows:
            if reason is not None:
                unread.append((Figure(file, name), reason))
                continue
            portrait = portrait_name(document, name, version)
            known.append(Figure(file, name, portrait if self._portraits.has(portrait) else None))
        vectors = self._space.array([vector for _, _, _, vector, reason in rows if reason is None])
        return Figures(document, known, vectors, unread)

    def tidy(self, documents: Sequence[Figures]) -> None:
        """Remove the small pictures of figures that aren't in ``documents``."""
        self._portraits.forget_all_but({figure.portrait for each in documents for figure in each.known})

    def local(self, document: str) -> list[bytes]:
        """Returns the local features of the figures of ``document`` that are known, in the order of ``of``."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT local FROM figures WHERE document = ? AND reason IS NULL ORDER BY number, file", (document,)
            ).fetchall()
        return [local for (local,) in rows]

    def has(self, document: str, name: str, version: str | None) -> bool:
        """Whether the figure called ``name`` has a vector in this version."""
        with self._connected() as connection:
            row = connection.execute(
                "SELECT 1 FROM figures WHERE document = ? AND name = ? AND version IS ? AND reason IS NULL",
                (document, name, version),
            ).fetchone()
        return row is not None

    def _embed(self, document: str, chunk: list["_Prepared"], tell: Callable[[bool], None]) -> None:
        if not chunk:
            return
        vectors = self._model.embed(np.stack([each.picture for each in chunk]))[self._space.name]
        self._save(document, [(each.page, vectors[row].tobytes(), each.local, None) for row, each in enumerate(chunk)])
        for _ in chunk:
            tell(True)
        chunk.clear()

    def _save(self, document: str, figures: list[tuple[Page, bytes | None, bytes | None, str | None]]) -> None:
        with self._connected() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO figures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (document, page.name, page.version, page.number, _file(page), vector, local, reason, self._run)
                    for page, vector, local, reason in figures
                ],
            )

    def _place(self, document: str, page: Page) -> None:
        with self._connected() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO figures SELECT document, name, version, ?, ?, vector, local, NULL, ? "
                "FROM figures WHERE document = ? AND name = ? AND version IS ? AND reason IS NULL LIMIT 1",
                (page.number, _file(page), self._run, document, page.name, page.version),
            )

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            yield connection


@dataclass(frozen=True)
class _Prepared:
    """A figure before the forward pass."""

    page: Page
    picture: NDArray[np.uint8]
    local: bytes | None


class _Known:
    """The figures of one document in ``store``."""

    def __init__(self, store: FigureStore, document: str) -> None:
        self._store = store
        self._document = document

    def has(self, name: str, version: str | None) -> bool:
        return self._store.has(self._document, name, version)


def _file(page: Page) -> str:
    """Returns what the figure on ``page`` is called: as its list calls it (``images:URL``), or by its page."""
    name = about_of(page.about).get("name") if page.document.startswith(IMAGES) else None  # others may say it twice
    return f"{name}.jpg" if isinstance(name, str) and name else page.file

"""What was found on each page, committed page by page: a run that is killed goes on where it stopped.

    DIR/pages.db      pages(name, version, document, number, file, …, boxes | reason)
    DIR/crops/        the picture of every box (elements/extraction.py)

A page that failed is tried again by the next run. Another detector or source begins anew.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from contract.boxes import Box
from elements.errors import ElementsError
from elements.pages import Page
from sources.spool import storable

PAGES_FILE = "pages.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS run(what TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS pages(
    name TEXT NOT NULL, version TEXT, document TEXT NOT NULL, called TEXT NOT NULL, number INTEGER NOT NULL,
    file TEXT NOT NULL, width INTEGER, height INTEGER, about TEXT, boxes TEXT, reason TEXT,
    run INTEGER NOT NULL, PRIMARY KEY (name, file));
"""


@dataclass(frozen=True)
class Found:
    """A page with the ``boxes`` on it, the best first, in pixels of its whole ``size``; or the ``reason`` why it could
    not be looked at."""

    page: Page
    size: tuple[int, int] | None
    boxes: tuple[Box, ...] = ()
    reason: str | None = None


class Results:
    """The results in ``folder`` of ``detector``, a name that changes with it, on ``source``."""

    def __init__(self, folder: Path, detector: str, source: str) -> None:
        """Makes the folder if there is none. Raises ElementsError if the folder cannot be used."""
        self.folder = folder
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(folder / PAGES_FILE, timeout=30, check_same_thread=False)
            with self._connection:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing
                self._connection.executescript(_SCHEMA)
                self._begin({"detector": detector, "source": storable(source)})
                (last,) = self._connection.execute("SELECT coalesce(max(run), 0) FROM pages").fetchone()
                self._run = last + 1
        except (OSError, sqlite3.Error) as error:
            raise ElementsError(f"results cannot be kept in {folder}: {error}") from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def has(self, name: str, version: str | None) -> bool:
        """Whether the page called ``name`` was looked at in this version."""
        with self._lock:
            row = self._connection.execute(
                "SELECT 1 FROM pages WHERE name = ? AND version IS ? AND reason IS NULL", (name, version)
            ).fetchone()
        return row is not None

    def place(self, page: Page) -> None:
        """``page``, which is known, is at this place now, and maybe at others too: books share canvases."""
        with self._lock, self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO pages SELECT name, version, ?, ?, ?, ?, width, height, about, boxes, NULL, ? "
                "FROM pages WHERE name = ? AND version IS ? AND reason IS NULL LIMIT 1",
                (page.document, page.called, page.number, page.file, self._run, page.name, page.version),
            )

    def save(self, found: Found) -> None:
        page, size = found.page, found.size or (None, None)
        boxes = json.dumps([asdict(box) for box in found.boxes])
        with self._lock, self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (page.name, page.version, page.document, page.called, page.number, page.file, *size, page.about,
                 boxes, found.reason, self._run),
            )  # fmt: skip

    def whole(self) -> None:
        """This run has seen all pages: those that it hasn't are gone."""
        with self._lock, self._connection:
            self._connection.execute("DELETE FROM pages WHERE run < ?", (self._run,))

    def known(self) -> int:
        """Returns how many pages were looked at."""
        with self._lock:
            (count,) = self._connection.execute("SELECT count(*) FROM pages WHERE reason IS NULL").fetchone()
        return int(count)

    def documents(self) -> list[str]:
        """Returns the documents, sorted by the name of their files."""
        with self._lock:
            rows = self._connection.execute("SELECT DISTINCT document, called FROM pages ORDER BY called").fetchall()
        return [document for document, _ in rows]

    def of(self, document: str) -> Iterator[Found]:
        """Yields the pages of ``document`` in their order."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT called, name, version, number, file, width, height, about, boxes, reason FROM pages "
                "WHERE document = ? ORDER BY number, file",
                (document,),
            ).fetchall()
        for called, name, version, number, file, width, height, about, boxes, reason in rows:
            size = None if width is None else (width, height)
            page = Page(document, called, number, name, file, version, size, about)
            yield Found(page, size, tuple(Box(**each) for each in json.loads(boxes)), reason)

    def _begin(self, run: dict[str, str]) -> None:
        before = dict(self._connection.execute("SELECT what, value FROM run").fetchall())
        if before and before != run:
            self._connection.execute("DELETE FROM pages")
        self._connection.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", run.items())

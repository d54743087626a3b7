"""Stores extraction jobs and what is delivered of them, in one SQLite file that the gateway and the jobs' own process
share.

    queued ─▶ running ─▶ succeeded, with a delivery for each file that a callback wants
                      ─▶ failed, cancelled

A job whose process has gone is queued again when the next one begins.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field

from gateway.errors import GatewayError

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED = ("succeeded", "failed", "cancelled")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs(
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, job TEXT NOT NULL,
    cancel INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS jobs_of_state ON jobs(state, number);
CREATE TABLE IF NOT EXISTS deliveries(
    number INTEGER PRIMARY KEY, job TEXT NOT NULL, next REAL, delivery TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS deliveries_of_job ON deliveries(job);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries(next) WHERE next IS NOT NULL;
"""


class Detecting(BaseModel):
    """Elements to find. ``anew``: what is known of the document is forgotten first."""

    kind: Literal["detect"] = "detect"
    source: str = Field(description="the document", examples=["https://iiif.example.org/ms-12/manifest.json"])
    detector: str = Field(description="what finds elements", examples=["layout"])
    anew: bool = False


class Comparing(BaseModel):
    """Documents to compare, by their names: how similar are their figures?"""

    kind: Literal["similarity"] = "similarity"
    documents: dict[str, str] = Field(
        description="addresses by name", examples=[{"ms-12": "https://iiif.example.org/ms-12/manifest.json"}]
    )
    model: str = Field(description="as it was asked for", examples=["relahash-general-64bits"])
    model_path: str = Field(description="below the models folder", examples=["relahash-general-64bits.pt"])
    top_k: int = 20
    mutual: bool = False
    verify: bool = False
    compatible: bool = Field(default=False, description="the callback gets extractorAPI's files of scores")


Request = Annotated[Detecting | Comparing, Field(discriminator="kind")]


class Compared(BaseModel):
    """Two documents, or one and itself: how many pairs of figures they have, and what the file of scores is called."""

    documents: list[str] = Field(examples=[["ms-12", "ms-13"]])
    pairs: int = Field(examples=[240])
    file: str = Field(examples=["fb8e20fc2e4c3f24….npy"])


class Document(BaseModel):
    """What was made of one document; ``name`` is what its files are called."""

    document: str = Field(examples=["https://iiif.example.org/ms-12/manifest.json"])
    name: str = Field(examples=["ms-12"])
    pages: int = Field(examples=[120])
    failed: int = Field(description="pages that could not be looked at", examples=[0])
    boxes: int = Field(examples=[48])


class Job(BaseModel):
    """One job: what was asked, how far it is, how it ended. ``documents`` of detecting, ``compared`` of comparing."""

    id: str = Field(examples=["3f9c01ab22d0"])
    app: str = Field(description="the name of the key that it was asked with", examples=["catalogue"])
    state: State = "queued"
    done: int = Field(default=0, description="pages or pictures so far", examples=[12])
    total: int = Field(default=0, description="pages in all; 0 where that isn't known", examples=[120])
    failed: int = Field(default=0, description="those that could not be read", examples=[0])
    message: str = Field(default="", description="why it failed", examples=[""])
    request: Request
    callback: str | None = Field(default=None, description="where results are sent", examples=[None])
    documents: list[Document] = []
    compared: list[Compared] = []
    created: AwareDatetime
    finished: AwareDatetime | None = None


class Delivery(BaseModel):
    """A file that is sent to a callback, and what became of it."""

    url: str = Field(examples=["https://app.example.org/annotate/ms-12"])
    field: str = Field(description="of the form, that the file is in", examples=["annotation_file"])
    name: str = Field(description="of the file", examples=["ms-12.txt"])
    fields: dict[str, str] = Field(description="other fields of the form", examples=[{"model": "layout_05_2020"}])
    media_type: str = Field(default="text/plain", examples=["text/plain"])
    path: str = Field(exclude=True)
    state: Literal["waiting", "delivered", "given up"] = "waiting"
    tries: int = Field(default=0, examples=[1])
    answer: str = Field(default="", description="what the last try met", examples=["status 200"])
    tried: AwareDatetime | None = None


class JobStore:
    """The jobs in the file at ``path``. Several processes may use it at once."""

    def __init__(self, path: Path) -> None:
        """Creates the file if there is none. Raises GatewayError if it cannot be used."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._connected() as connection:
                connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise GatewayError(f"cannot use the extraction jobs in {path}: {error}") from error

    def create(self, app: str, requests: Sequence[Detecting | Comparing], callback: str | None) -> list[Job]:
        """Queue a job for each of ``requests``: all of them, or none."""
        now = datetime.now(UTC)
        jobs = [
            Job(id=secrets.token_hex(6), app=app, request=each, callback=callback, created=now) for each in requests
        ]
        with self._connected() as connection:
            connection.executemany(
                "INSERT INTO jobs(id, state, job) VALUES (?, ?, ?)",
                [(job.id, job.state, job.model_dump_json()) for job in jobs],
            )
        return jobs

    def get(self, job_id: str) -> Job | None:
        with self._connected() as connection:
            row = connection.execute("SELECT job FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else Job.model_validate_json(row[0])

    def newest(self, count: int) -> list[Job]:
        """Returns the newest jobs, newest first, without what became of each document."""
        with self._connected() as connection:
            rows = connection.execute("SELECT job FROM jobs ORDER BY number DESC LIMIT ?", (count,)).fetchall()
        jobs = (Job.model_validate_json(text) for (text,) in rows)
        return [job.model_copy(update={"documents": [], "compared": []}) for job in jobs]

    def begin_next(self) -> Job | None:
        """Returns the job that waits longest, which runs from now on."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")  # nobody may cancel it as one that waits meanwhile
            row = connection.execute("SELECT job FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1").fetchone()
            if row is None:
                return None
            job = Job.model_validate_json(row[0]).model_copy(update={"state": "running", "message": ""})
            connection.execute(
                "UPDATE jobs SET state = 'running', job = ? WHERE id = ?", (job.model_dump_json(), job.id)
            )
        return job

    def has_work(self) -> bool:
        """Whether a job waits, or has not ended."""
        with self._connected() as connection:
            row = connection.execute("SELECT 1 FROM jobs WHERE state IN ('queued', 'running') LIMIT 1").fetchone()
        return row is not None

    def save(self, job: Job, deliveries: Sequence[Delivery] = ()) -> None:
        """Save ``job``, and its ``deliveries`` with it."""
        with self._connected() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, job = ? WHERE id = ?", (job.state, job.model_dump_json(), job.id)
            )
            connection.executemany(
                "INSERT INTO deliveries(job, next, delivery) VALUES (?, ?, ?)",
                [(job.id, time.time(), _text(each)) for each in deliveries],
            )

    def queue_again(self) -> None:
        """Queue the jobs that are said to run: their process has gone."""
        with self._connected() as connection:
            for (text,) in connection.execute("SELECT job FROM jobs WHERE state = 'running'").fetchall():
                job = Job.model_validate_json(text).model_copy(update={"state": "queued"})
                connection.execute(
                    "UPDATE jobs SET state = 'queued', job = ? WHERE id = ?", (job.model_dump_json(), job.id)
                )

    def cancel(self, job_id: str) -> None:
        """Ask the job to end: one that waits has ended at once."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE jobs SET cancel = 1 WHERE id = ?", (job_id,))
            row = connection.execute("SELECT job FROM jobs WHERE id = ? AND state = 'queued'", (job_id,)).fetchone()
            if row is not None:
                ended = Job.model_validate_json(row[0]).model_copy(
                    update={"state": "cancelled", "finished": datetime.now(UTC)}
                )
                connection.execute(
                    "UPDATE jobs SET state = 'cancelled', job = ? WHERE id = ?", (ended.model_dump_json(), job_id)
                )

    def remove(self, choose: Callable[[Sequence[Job], Collection[str]], Sequence[Job]]) -> None:
        """Remove the jobs that ``choose`` returns, and what is sent of them.

        It is given all jobs, oldest first, without what became of each document, and the ids of those of which
        something is still to be delivered. No job begins meanwhile; where it raises, none is removed."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = connection.execute(
                "SELECT json_remove(job, '$.documents', '$.compared') FROM jobs ORDER BY number"
            ).fetchall()
            waiting = connection.execute("SELECT DISTINCT job FROM deliveries WHERE next IS NOT NULL").fetchall()
            jobs = [Job.model_validate_json(text) for (text,) in rows]
            going = [(job.id,) for job in choose(jobs, {job for (job,) in waiting})]
            connection.executemany("DELETE FROM deliveries WHERE job = ?", going)
            connection.executemany("DELETE FROM jobs WHERE id = ?", going)

    def is_cancelled(self, job_id: str) -> bool:
        """Whether the job is asked to end."""
        with self._connected() as connection:
            row = connection.execute("SELECT cancel FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return bool(row and row[0])

    def deliveries(self, job_id: str) -> list[Delivery]:
        """Returns what is sent of the job, in order."""
        with self._connected() as connection:
            rows = connection.execute("SELECT delivery FROM deliveries WHERE job = ? ORDER BY number", (job_id,))
            return [Delivery.model_validate_json(text) for (text,) in rows.fetchall()]

    def due(self, count: int) -> list[tuple[int, Delivery]]:
        """Returns the deliveries to try now, with their numbers."""
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT number, delivery FROM deliveries WHERE next <= ? ORDER BY next LIMIT ?", (time.time(), count)
            ).fetchall()
        return [(number, Delivery.model_validate_json(text)) for number, text in rows]

    def tried(self, number: int, delivery: Delivery, again_in: float | None) -> None:
        """Save ``delivery``, which was tried, and is again after so many seconds, unless it is None."""
        with self._connected() as connection:
            connection.execute(
                "UPDATE deliveries SET next = ?, delivery = ? WHERE number = ?",
                (None if again_in is None else time.time() + again_in, _text(delivery), number),
            )

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            yield connection


def _text(delivery: Delivery) -> str:
    return json.dumps(delivery.model_dump(mode="json") | {"path": delivery.path})

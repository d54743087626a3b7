"""Stores reindexing jobs in one SQLite table, written by the job's own process, read by the gateway.

A job outlives the gateway that started it. It runs as long as its process does: a job whose process has gone without
recording how it ended was interrupted.
"""

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
from pydantic import AwareDatetime, BaseModel, Field

from gateway.errors import GatewayError
from searcher.scan.tables import Mode

State = Literal["running", "succeeded", "failed", "cancelled", "interrupted"]
Kind = Literal["reindex", "promote"]
Phase = Literal[
    "listing", "loading", "indexing", "packing", "registering", "switching", "publishing", "waiting", "done"
]

JOBS_FILE = "jobs.db"
#: A job that has no process after this time won't get one: the gateway was killed in between.
_START_SECONDS = 60.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs(
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL,
    pid INTEGER, started REAL, stop TEXT);
"""


class ReindexRequest(BaseModel):
    """What to build. ``model_path``: a .pt file, or a folder holding one, below the models folder; the served model
    unless given. ``source``: as ``admitted_source`` takes it."""

    new_index_database_version: str = Field(
        description="name of the version to publish: up to 64 letters, digits, dots, dashes and underscores",
        examples=["1.2.0"],
    )
    mode: Mode = Field(default="default", description="how the version will be searched", examples=["default"])
    model_path: str | None = Field(
        default=None,
        description="a .pt file, or a folder holding one, below the models folder; the served model unless given",
        examples=["relahash-small-64bits.pt"],
    )
    source: str | None = Field(
        default=None,
        max_length=2048,
        description="where the pictures are, this time: s3://bucket/prefix, iiif:https://…, or a folder, an archive, "
        "urls:FILE or iiif:FILE below HASHLAKE_DATALAKE_ROOT; never with credentials, which the gateway's environment "
        "has; unless given, HASHLAKE_SOURCE, or the datalake",
        examples=["s3://lake/photos"],
    )


class Switched(BaseModel):
    """The answer once every worker serves another version."""

    result: Literal["success"] = Field(default="success", description="always this", examples=["success"])
    previous_index_database_version: str | None = Field(
        description="what was served before; null if nothing was", examples=["1.1.0"]
    )
    index_database_version: str = Field(description="what is served now", examples=["1.2.0"])
    timestamp: str = Field(description="UTC", examples=["2020-05-02 12:00:00"])

    @classmethod
    def now(cls, previous: str | None, version: str) -> "Switched":
        return cls(
            previous_index_database_version=previous,
            index_database_version=version,
            timestamp=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
        )


class Job(BaseModel):
    """One reindexing, or one switch to a version of another model: what was asked, how far it is, how it ended."""

    id: str = Field(examples=["3f9c01ab"])
    kind: Kind = Field(
        default="reindex",
        description="reindex: build a version and serve it; promote: serve one that another model made",
        examples=["reindex"],
    )
    state: State = Field(default="running", description="whether it runs, or how it ended", examples=["succeeded"])
    phase: Phase = Field(default="listing", description="the step it is at, or ended at", examples=["done"])
    done: int = Field(default=0, description="images hashed, or found unreadable, so far", examples=[4332])
    total: int = Field(default=0, description="images listed; 0 while that isn't known", examples=[4332])
    rate: float = Field(default=0.0, description="images a second", examples=[650.2])
    skipped: int = Field(default=0, description="images that could not be read", examples=[3])
    left_out: dict[str, int] = Field(
        default_factory=dict,
        description="what looks like pictures and isn't listed, by its kind; hidden: in trash and thumbnail folders",
        examples=[{"cr2": 2, "hidden": 12}],
    )
    eta_seconds: float | None = Field(default=None, description="until all images are hashed", examples=[None])
    message: str = Field(default="", description="why it failed", examples=[""])
    request: ReindexRequest = Field(description="as posted")
    created: AwareDatetime = Field(description="UTC", examples=["2020-05-02T11:59:00Z"])
    finished: AwareDatetime | None = Field(
        default=None, description="UTC; null while it runs", examples=["2020-05-02T12:00:00Z"]
    )
    result: Switched | None = Field(default=None, description="once it has succeeded")


class JobStore:
    """The jobs in the file at ``path``. Several processes may use it at once."""

    def __init__(self, path: Path) -> None:
        """Creates the file if there is none. Raises GatewayError if it cannot be used."""
        self.path = path
        try:
            with self._connected() as connection:
                connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise GatewayError(f"cannot use the jobs in {path}: {error}") from error

    def create(self, request: ReindexRequest, kind: Kind = "reindex") -> Job:
        job = Job(id=secrets.token_hex(4), kind=kind, request=request, created=datetime.now(UTC))
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO jobs(id, job, started) VALUES (?, ?, ?)", (job.id, job.model_dump_json(), time.time())
            )
        return job

    def create_again(self, job: Job) -> Job:
        """Reset ``job``, which has ended, to begin again. Returns it as stored."""
        again = Job(id=job.id, kind=job.kind, request=job.request, created=job.created)
        with self._connected() as connection:
            connection.execute(
                "UPDATE jobs SET job = ?, pid = NULL, started = ?, stop = NULL WHERE id = ?",
                (again.model_dump_json(), time.time(), job.id),
            )
        return again

    def get(self, job_id: str) -> Job | None:
        """Returns the job, or None. If its process has gone, the job is marked as ended first."""
        found = self._select("WHERE id = ?", job_id)
        return found[0] if found else None

    def all(self) -> list[Job]:
        """Returns the newest hundred jobs, newest first."""
        return self._select("ORDER BY number DESC LIMIT 100")

    def latest(self) -> Job | None:
        """Returns the newest job, or None if there was none."""
        return next(iter(self._select("ORDER BY number DESC LIMIT 1")), None)

    def running(self) -> Job | None:
        return next((job for job in self.all() if job.state == "running"), None)

    def save(self, job: Job) -> None:
        with self._connected() as connection:
            connection.execute("UPDATE jobs SET job = ? WHERE id = ?", (job.model_dump_json(), job.id))

    def started(self, job_id: str, pid: int) -> None:
        """Record the process that carries out the job."""
        with self._connected() as connection:
            connection.execute("UPDATE jobs SET pid = ?, started = ? WHERE id = ?", (pid, _start_of(pid), job_id))

    def process(self, job_id: str) -> psutil.Process | None:
        """Returns the process that carries out the job, or None if it isn't running."""
        with self._connected() as connection:
            row = connection.execute("SELECT pid, started FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return psutil.Process(row[0]) if row and _alive(*row) else None

    def ask_to_stop(self, job_id: str, state: Literal["cancelled", "interrupted"]) -> None:
        """Record the state that the job is to have once its process has ended."""
        with self._connected() as connection:
            connection.execute("UPDATE jobs SET stop = ? WHERE id = ?", (state, job_id))

    def asked_to_stop(self, job_id: str) -> State | None:
        """Returns the state that the job is to have once its process has ended; None if nobody asked it to stop."""
        with self._connected() as connection:
            (stop,) = connection.execute("SELECT stop FROM jobs WHERE id = ?", (job_id,)).fetchone()
        state: State | None = stop
        return state

    def _select(self, clause: str, *values: str) -> list[Job]:
        with self._connected() as connection:
            rows = connection.execute(f"SELECT job, pid, started, stop FROM jobs {clause}", values).fetchall()  # noqa: S608
        return [self._now(*row) for row in rows]

    def _now(self, text: str, pid: int | None, started: float | None, stop: str | None) -> Job:
        job = Job.model_validate_json(text)
        waiting = pid is None and started is not None and time.time() - started < _START_SECONDS
        if job.state != "running" or waiting or _alive(pid, started):
            return job
        ended = job.model_copy(
            update={
                "state": "cancelled" if stop == "cancelled" else "interrupted",
                "message": "" if stop else "its process ended unexpectedly",
                "finished": datetime.now(UTC),
            }
        )
        with self._connected() as connection:
            # Matches only the text read above: the job may have recorded its own end since.
            connection.execute("UPDATE jobs SET job = ? WHERE job = ?", (ended.model_dump_json(), text))
            (text,) = connection.execute("SELECT job FROM jobs WHERE id = ?", (job.id,)).fetchone()
        return Job.model_validate_json(text)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            yield connection


def _start_of(pid: int) -> float:
    """Returns when the process began, which tells it from a later process with the same number."""
    return psutil.Process(pid).create_time()


def _alive(pid: int | None, started: float | None) -> bool:
    if pid is None or started is None:
        return False
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

"""Takes extraction jobs, has a process carry them out, and delivers what they found."""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gateway.errors import RequestRefused
from gateway.extractor.delivering import Delivering
from gateway.extractor.folders import Folders
from gateway.extractor.jobs import ENDED, Comparing, Detecting, Job, JobStore
from gateway.extractor.removing import Removing
from gateway.processes import HASHLAKE, ChildProcess, start_detached
from gateway.settings import GatewaySettings

_log = logging.getLogger(__name__)

#: How often it is looked whether jobs wait for a process, and deliveries for their time.
_LOOK_SECONDS = 1.0
#: How often a watched job is read.
_WATCH_SECONDS = 0.2
_STOP_SECONDS = 10.0
#: How often old results are looked for.
_TIDY_SECONDS = 600.0
_COMMAND = [sys.executable, "-m", "gateway.extractor.runner"]


#: Name, size in bytes and time of change of files.
_Files = frozenset[tuple[str, int, int]]


class Extraction:
    """The jobs in the state folder of ``settings``. Between ``start`` and ``close`` they are carried out."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.folders = Folders(settings.state)
        self.jobs = JobStore(self.folders.jobs)
        self._removing = Removing(self.jobs, self.folders)
        self._keep = settings.extractor_keep_days, settings.extractor_max_mb * 1024 * 1024
        self._delivering = Delivering(self.jobs, settings.fetching.reach)
        self._child: subprocess.Popen[bytes] | None = None
        self._work: list[asyncio.Task[None]] = []
        self._new = asyncio.Event()
        self._closing = False
        self._looking = asyncio.Lock()
        self._models = settings.models
        self._detectors: tuple[_Files, list[dict[str, Any]]] | None = None

    def start(self) -> None:
        works = (self._keep_employing, self._keep_delivering, self._keep_tidy)
        self._work = [asyncio.create_task(each()) for each in works]

    async def add(self, app: str, requests: Sequence[Detecting | Comparing], callback: str | None) -> list[Job]:
        """Queue a job for each of ``requests``, asked by ``app``."""
        jobs = await asyncio.to_thread(self.jobs.create, app, requests, callback)
        self._new.set()
        return jobs

    async def get(self, job_id: str) -> Job:
        """Returns the job. Raises RequestRefused (404)."""
        job = await asyncio.to_thread(self.jobs.get, job_id)
        if job is None:
            raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no job {job_id}", reason="no_such_job")
        return job

    async def cancel(self, job: Job) -> None:
        """Ask ``job`` to end. Raises RequestRefused (409) if it has ended."""
        if job.state in ENDED:
            raise RequestRefused(HTTPStatus.CONFLICT, f"the job {job.id} has ended already: {job.state}")
        await asyncio.to_thread(self.jobs.cancel, job.id)

    async def remove(self, job: Job) -> None:
        """Remove ``job``, and its results unless another job shares them. Raises RequestRefused (404, 409)."""
        await asyncio.to_thread(self._removing.remove, job.id)

    async def detectors(self) -> list[dict[str, Any]]:
        """Returns what is said of each detector. Whoever asks, with a key or without, at most one process looks, and
        again only when files in the folder of models have changed. Raises CommandFailed and ValueError."""
        async with self._looking:
            files = await asyncio.to_thread(_files_in, self._models)
            if self._detectors is None or self._detectors[0] != files:
                async with ChildProcess.started([*HASHLAKE, "elements", "detectors", "--json"]) as child:
                    self._detectors = files, json.loads(await child.succeeded())
            return self._detectors[1]

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """Yields the job now, and whenever it changes, until it has ended, or this stops working."""
        seen: Job | None = None
        while True:
            job = await self.get(job_id)
            if job != seen:
                yield job
            if job.state in ENDED or self._closing:
                return
            seen = job
            await asyncio.sleep(_WATCH_SECONDS)

    async def close(self) -> None:
        """Stop working: a running job is queued again, and goes on with the next start. May be called
        again."""
        self._closing = True
        if self._work:
            for task in self._work:
                task.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)
            await asyncio.to_thread(self._stop)

    async def _keep_delivering(self) -> None:
        while True:
            try:
                await self._delivering.deliver_due()
            except Exception:
                _log.exception("deliveries are in trouble")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _keep_tidy(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._removing.tidy, *self._keep)
            except Exception:
                _log.exception("old results are in trouble")
            await asyncio.sleep(_TIDY_SECONDS)

    async def _keep_employing(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._employ)
            except Exception:
                _log.exception("extraction jobs are in trouble")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._new.wait()
            self._new.clear()

    def _employ(self) -> None:
        """Start a process if jobs wait and none works on them."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        if self._child is None and self.jobs.has_work() and self._worker() is None:
            self._child = start_detached(_COMMAND, self.folders.log)

    def _worker(self) -> int | None:
        """Returns the number of the process that works on the jobs, which an earlier gateway may have started."""
        with contextlib.suppress(FileNotFoundError, ValueError), self.folders.lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
        return None

    def _stop(self) -> None:
        worker = self._worker() or (None if self._child is None else self._child.pid)
        if worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGTERM)
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_STOP_SECONDS)


def _files_in(folder: Path) -> _Files:
    found = set()
    for path in folder.glob("*.pt"):
        with contextlib.suppress(OSError):  # gone meanwhile
            about = path.stat()
            found.add((path.name, about.st_size, about.st_mtime_ns))
    return frozenset(found)

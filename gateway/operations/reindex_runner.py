"""Starting, watching and stopping reindexing jobs. One runs at a time."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Literal

import psutil

from gateway.errors import RequestRefused, TorchServeError, unreachable
from gateway.operations.job_folders import without_folders
from gateway.operations.jobs import JOBS_FILE, Job, JobStore, ReindexRequest
from gateway.operations.reindex_source import admitted_source
from gateway.processes import start_detached
from gateway.settings import GatewaySettings
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.model_folder import find_model
from searcher.errors import StoreBusy
from searcher.versions.store import IndexStore

#: How often a watched job is read; its process records its progress twice a second.
_LOOK_SECONDS = 0.2
#: How long a stopping gateway waits for its job to end.
_STOP_SECONDS = 10.0
#: The folder of what each job's processes have said; those of jobs that are listed no longer are removed.
JOB_LOGS = "job_logs"
_LOG_BYTES = 64 * 1024


class Reindexing:
    """Starts, watches and stops jobs, which are stored in the state folder of ``settings``."""

    def __init__(self, settings: GatewaySettings, torchserve: TorchServeClient) -> None:
        self.jobs = JobStore(settings.state / JOBS_FILE)
        self._settings = settings
        self._torchserve = torchserve
        self._store = IndexStore(settings.index_store)
        self._lock = asyncio.Lock()
        self._children: list[subprocess.Popen[bytes]] = []

    async def start(self, request: ReindexRequest) -> Job:
        """Start a job. Raises RequestRefused, or SearcherError, if the job is bound to fail or another one runs."""
        async with self._lock:
            await asyncio.to_thread(self._check, request)
            try:
                await self._torchserve.workers()
            except TorchServeError as error:
                raise unreachable() from error
            job = await asyncio.to_thread(self.jobs.create, request)
            self._spawn(job)
            return job

    async def promote(self, version: str, model_path: str) -> Job:
        """Start a job that serves ``version``, which the model at ``model_path`` made, and that model. Raises
        RequestRefused if another job runs, or nothing is served."""
        request = ReindexRequest(new_index_database_version=version, model_path=model_path)
        async with self._lock:
            await asyncio.to_thread(self._require_idle)
            try:
                await self._torchserve.workers()
            except TorchServeError as error:
                raise unreachable() from error
            job = await asyncio.to_thread(self.jobs.create, request, "promote")
            self._spawn(job)
            return job

    def log(self, job: Job) -> str:
        """Returns the end of what the processes of ``job`` have said, at most 64 KiB, without this machine's folders;
        the empty text if they said nothing, or that isn't kept any more."""
        try:
            with self._log_of(job.id).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
                return without_folders(file.read().decode(errors="replace"))
        except FileNotFoundError:
            return ""

    def sources(self) -> list[str]:
        """Returns the sources that jobs were asked to index, as far as they are still admitted."""
        found = []
        for request in (job.request for job in self.jobs.all()):
            if request.source is not None:
                with contextlib.suppress(RequestRefused):
                    found.append(admitted_source(request.source, self._settings))
        return list(dict.fromkeys(found))

    async def resume(self, job: Job) -> Job:
        """Start ``job`` again, which ended without success; it keeps the work already done. Raises RequestRefused
        (409)."""
        async with self._lock:
            if job.state in ("running", "succeeded"):
                raise RequestRefused(HTTPStatus.CONFLICT, f"the job {job.id} has {_PAST[job.state]}")
            await asyncio.to_thread(self._require_idle)
            job = await asyncio.to_thread(self.jobs.create_again, job)
            self._spawn(job)
            return job

    async def cancel(self, job: Job) -> None:
        if job.state != "running":
            raise RequestRefused(HTTPStatus.CONFLICT, f"the job {job.id} isn't running: it has {_PAST[job.state]}")
        await asyncio.to_thread(self._stop, job.id, "cancelled")

    async def close(self) -> None:
        """Stop the running job cleanly, to be resumed later."""
        job = await asyncio.to_thread(self.jobs.running)
        if job is not None:
            await asyncio.to_thread(self._stop, job.id, "interrupted")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ended(job.id), _STOP_SECONDS)
        for child in self._children:
            child.poll()

    async def ended(self, job_id: str) -> Job:
        """Waits for the job to end, and returns it."""
        async for job in self.watch(job_id):
            last = job
        return last

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """Yields the job now, and whenever it changes, until it has ended."""
        seen: Job | None = None
        while True:
            for child in self._children:
                child.poll()  # otherwise it would stay a zombie
            job = await asyncio.to_thread(self.jobs.get, job_id)
            assert job is not None
            if job != seen:
                yield job
            if job.state != "running":
                return
            seen = job
            await asyncio.sleep(_LOOK_SECONDS)

    def _check(self, request: ReindexRequest) -> None:
        """Raises SearcherError or RequestRefused for problems that the job itself would only find later."""
        self._store.building(request.new_index_database_version)
        if request.model_path is not None:
            find_model(self._settings.models, request.model_path)
        settings = self._settings
        if request.source is not None:
            admitted_source(request.source, settings)
        elif settings.datalake is None and settings.source is None and not settings.database.is_file():
            raise RequestRefused(
                HTTPStatus.CONFLICT, "there is no listing to index: set HASHLAKE_DATALAKE or HASHLAKE_DATABASE"
            )
        self._require_idle()

    def _require_idle(self) -> None:
        running = self.jobs.running()
        if running is not None:
            raise RequestRefused(HTTPStatus.CONFLICT, f"the job {running.id} is running; one runs at a time")
        try:
            with self._store.indexing():
                pass
        except StoreBusy as error:
            raise RequestRefused(HTTPStatus.CONFLICT, "an indexer that was started elsewhere is at work") from error

    def _spawn(self, job: Job) -> None:
        self._children = [child for child in self._children if child.poll() is None]
        command = [sys.executable, "-m", "gateway.operations.reindex_job", job.id]
        log = self._log_of(job.id)
        log.parent.mkdir(exist_ok=True)
        kept = {self._log_of(each.id) for each in self.jobs.all()}
        for old in {*log.parent.glob("*.log")} - kept:
            old.unlink(missing_ok=True)
        child = start_detached(command, log)
        self._children.append(child)
        self.jobs.started(job.id, child.pid)  # the job does so too, unless it ends before that

    def _log_of(self, job_id: str) -> Path:
        return self._settings.state / JOB_LOGS / f"{job_id}.log"

    def _stop(self, job_id: str, state: Literal["cancelled", "interrupted"]) -> None:
        self.jobs.ask_to_stop(job_id, state)
        process = self.jobs.process(job_id)
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()


_PAST = {
    "running": "not ended yet",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "been cancelled",
    "interrupted": "been interrupted",
}

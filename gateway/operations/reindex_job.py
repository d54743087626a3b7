"""One reindexing job, in its own process, which outlives the gateway.

    python -m gateway.operations.reindex_job JOB

    list ─▶ index ─▶ publish                                                        ─▶ wait for every worker
    list ─▶ index ─▶ pack ─▶ register ─▶ switch the default model ─▶ publish        ─▶ wait     (another model)

Listing and indexing, and packing, are the project's own commands, run as child processes. With another model, the index
is built first, but not made current. The new model's workers start beside the old ones, and load the newest version of
their own model; requests go to them only once all of them answer from it. Until then nothing changes for clients, and
a failure is undone.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contract.names import MODEL_NAME
from gateway.errors import CommandFailed, RequestRefused, StepFailed, TorchServeError
from gateway.operations.job_folders import without_folders
from gateway.operations.jobs import JOBS_FILE, Job, JobStore, Phase, Switched
from gateway.operations.reindex_source import admitted_source
from gateway.processes import HASHLAKE, ChildProcess
from gateway.settings import GatewaySettings
from gateway.torchserve.client import Answered, TorchServeClient
from gateway.torchserve.model_folder import ModelFolder, find_model
from searcher.errors import SearcherError, VersionDamaged
from searcher.versions.store import IndexStore

#: Time for every worker to serve the new version; each loads it with its next query, and queries are sent until it has.
WAIT_SECONDS = 60.0
#: After a switch, time for the old model's workers to finish their requests; a batch takes milliseconds.
DRAIN_SECONDS = 3.0


class _Stopped(Exception):
    """The job was asked to stop."""


class Reindex:
    """Carries out ``job``; ``run`` returns when it has ended, well or not."""

    def __init__(self, settings: GatewaySettings, jobs: JobStore, job: Job, torchserve: TorchServeClient) -> None:
        self._settings = settings
        self._jobs = jobs
        self._job = job
        self._torchserve = torchserve
        self._store = IndexStore(settings.index_store)
        self._child: ChildProcess | None = None
        self._stopping = False

    def stop(self) -> None:
        """Stop before the next step, and end the running command. Once the model switch has begun, nothing is stopped:
        the rest takes moments, and a half-done switch would be worse than either state."""
        self._stopping = True
        if self._child is not None:
            self._child.ask_to_end()

    async def run(self) -> None:
        """Carry out the job, and record how it ended."""
        name = self._job.request.new_index_database_version
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {self._job.kind} {name}", flush=True)  # the log's first line
        previous: str | None = None
        try:
            with contextlib.suppress(VersionDamaged):  # a new version mends it
                previous = self._store.current()
            await self._reindex(name)
        except _Stopped:
            self._ended(state=self._jobs.asked_to_stop(self._job.id) or "interrupted")
        except (StepFailed, TorchServeError, SearcherError, RequestRefused, OSError) as error:
            self._ended(state="failed", message=f"{self._job.phase}: {error}")
        except Exception as error:
            self._ended(state="failed", message=f"{self._job.phase}: unexpected {type(error).__name__}")
            raise
        else:
            self._ended(state="succeeded", phase="done", result=Switched.now(previous, name))

    async def _reindex(self, name: str) -> None:
        served = str((await self._torchserve.served_model())["sha256"])
        model = await asyncio.to_thread(self._model, self._job.request.model_path, served)
        sha256 = await asyncio.to_thread(_sha256, model)
        another = sha256 != served
        if self._job.kind == "promote" and not self._store.has(name):
            raise StepFailed(f"there is no version {name} any more")
        if not self._store.has(name):  # a resumed job may have built it already
            await self._index(name, model, keep_current=another)
        manifest = self._store.manifest(name)
        listed = manifest.count + manifest.skipped
        self._note(done=listed, total=listed, skipped=manifest.skipped)
        if another:
            await self._switch(model, name)
        else:
            if not self._is_current(name):
                self._begin("publishing")
                await asyncio.to_thread(self._store.promote, name)
            with contextlib.suppress(TorchServeError):  # the version is served even if this fails
                await self._unregister_others()
        self._note(phase="waiting", eta_seconds=None)
        require_all(await self._torchserve.ask_workers(name, WAIT_SECONDS), name)

    def _is_current(self, name: str) -> bool:
        try:
            return self._store.current() == name
        except VersionDamaged:
            return False

    def _model(self, model_path: str | None, served: str) -> Path:
        """Returns the model file that the request names, or that of the model with the sha256 ``served``."""
        folder = self._settings.models
        if model_path is None:
            models = ModelFolder(folder).models(served)
            model_path = next((model.model_path for model in models if model.current), None)
        if model_path is None:
            raise StepFailed("the served model is not in the models folder: name one with model_path")
        return find_model(folder, model_path)

    async def _index(self, name: str, model: Path, *, keep_current: bool) -> None:
        settings, asked = self._settings, self._job.request
        source = settings.source if asked.source is None else admitted_source(asked.source, settings)
        listing = settings.database
        if settings.datalake is not None:
            listing = settings.state / f"listing-{self._job.id}.txt"
        self._begin("loading" if settings.datalake is None and source is None else "listing")
        pictures = ["--database", str(listing)] if source is None else ["--source", source]
        command = [
            *HASHLAKE, "refresh",
            *pictures,
            *(word for kind in settings.split.split() for word in ("--split", kind)),
            "--model_path", str(model),
            "--device", settings.device,
            "--new_index_database_version", name,
            "--index_store", str(settings.index_store),
            "--datalake_root", str(settings.datalake_root),
            "--mode", asked.mode,
            "--json",
            *(["--keep_current"] if keep_current else []),
            *([] if settings.datalake is None or source else ["--", str(settings.datalake)]),
        ]  # fmt: skip
        await self._command(command)
        if settings.datalake is not None:
            listing.unlink(missing_ok=True)

    async def _switch(self, model: Path, name: str) -> None:
        """Serve ``model`` with the version ``name``, which is built but not yet current; on failure, change nothing."""
        torchserve, model_store = self._torchserve, self._settings.model_store
        old = await torchserve.workers()
        await self._unregister_others()
        new = f"{int(float(old.model_version)) + 1}.0"
        staged = model_store / f"{MODEL_NAME}-{new}.mar"
        self._begin("packing")
        try:
            await self._pack(model, new, staged)
            self._begin("registering")
            await torchserve.register(staged.name, len(old.ready))
            # While another model's version is current, workers answer from the newest of their own.
            first = name if self._job.kind == "reindex" else None
            require_all(await torchserve.ask_workers(first, WAIT_SECONDS, new), first)
            self._begin("switching")
            await self._commit(staged, old.model_version, new, name)
        except BaseException:
            with contextlib.suppress(TorchServeError):
                await torchserve.unregister(new)
            raise
        finally:
            staged.unlink(missing_ok=True)
        await asyncio.sleep(DRAIN_SECONDS)
        # Nothing depends on the old workers any more: if TorchServe fails to end them, the next switch does.
        with contextlib.suppress(TorchServeError):
            await torchserve.unregister(old.model_version)

    async def _unregister_others(self) -> None:
        """End the workers left behind by a job that was killed while it switched the model."""
        served = (await self._torchserve.workers()).model_version
        for left in await self._torchserve.model_versions():
            if left != served:
                await self._torchserve.unregister(left)

    async def _pack(self, model: Path, model_version: str, staged: Path) -> None:
        scratch = staged.with_suffix(".packing")
        command = [*HASHLAKE, "archive", "--model_path", str(model), "--model_version", model_version]
        try:
            await self._command([*command, "--model_store", str(scratch)])
            os.replace(scratch / f"{MODEL_NAME}.mar", staged)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    async def _commit(self, staged: Path, old: str, new: str, name: str) -> None:
        """Switch the archive for TorchServe's next start, the default model, and CURRENT: all three, or none."""
        archive = staged.with_name(f"{MODEL_NAME}.mar")
        before = staged.with_suffix(".before")
        before.unlink(missing_ok=True)
        os.link(archive, before)
        try:
            os.replace(staged, archive)
            try:
                await self._torchserve.set_default(new)
                self._note(phase="publishing")
                await asyncio.to_thread(self._store.promote, name)
            except BaseException:
                os.replace(before, archive)
                with contextlib.suppress(TorchServeError):
                    await self._torchserve.set_default(old)
                    await asyncio.sleep(DRAIN_SECONDS)
                raise
        finally:
            before.unlink(missing_ok=True)
        for stamp in archive.parent.glob(".*.pt"):  # make's stamp of the model in the archive
            stamp.unlink()

    async def _command(self, command: list[str]) -> None:
        """Run one of the project's commands and follow its progress. If it fails, raises StepFailed with the last line
        of its standard error; if the job was asked to stop, _Stopped."""
        try:
            async with ChildProcess.started(command) as self._child:
                if self._stopping:  # asked between the step's begin and the child's start
                    self._child.ask_to_end()
                async for line in self._child.lines():
                    self._follow(line)
                await self._child.succeeded()
        except CommandFailed as error:
            print(self._child.said if self._child else error, flush=True)  # for the job's log
            if self._stopping:
                raise _Stopped from error
            raise StepFailed(str(error)) from error
        finally:
            self._child = None

    def _follow(self, line: bytes) -> None:
        """Record the progress that a line of the indexer's output reports."""
        try:
            said: Any = json.loads(line)
        except ValueError:
            return
        if isinstance(said, dict) and "listed" in said:
            self._note(phase="loading", total=said["listed"], left_out=said.get("left_out", {}))
        elif isinstance(said, dict) and "done" in said:
            figures = {key: said[key] for key in ("done", "total", "rate", "skipped", "eta_seconds")}
            self._note(phase="indexing", **figures)

    def _begin(self, phase: Phase) -> None:
        """Begin the step ``phase``. Raises _Stopped if the job was asked to stop."""
        if self._stopping:
            raise _Stopped
        self._note(phase=phase)

    def _ended(self, *, message: str = "", **facts: Any) -> None:
        # Clients read the message: drop this machine's folders from it, but keep the file names.
        message = without_folders(message)
        self._note(finished=datetime.now(UTC), eta_seconds=None, message=message, **facts)

    def _note(self, **facts: Any) -> None:
        if facts.get("phase", self._job.phase) != self._job.phase or "state" in facts:
            words = (facts.get("state"), facts.get("phase"), facts.get("message"))
            print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}", *filter(None, words), flush=True)  # for the job's log
        self._job = self._job.model_copy(update=facts)
        self._jobs.save(self._job)


def require_all(heard: dict[int, Answered], name: str | None) -> None:
    """Raises StepFailed unless every worker answers from the version ``name``; with None, from any."""
    others = [
        f"worker {pid} answers from {answered.version}" if answered.version else f"worker {pid}: {answered.reason}"
        for pid, answered in sorted(heard.items())
        if answered.version is None or name not in (None, answered.version)
    ]
    if others or not heard:
        raise StepFailed(f"not every worker serves {name or 'a version'}: {'; '.join(others) or 'there is no worker'}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def main(job_id: str) -> None:
    settings = GatewaySettings()  # the gateway has checked them; what is missing since fails the step that needs it
    jobs = JobStore(settings.state / JOBS_FILE)
    job = jobs.get(job_id)
    if job is None:
        raise SystemExit(f"there is no job {job_id}")
    jobs.started(job_id, os.getpid())
    async with TorchServeClient(settings.inference, settings.run, settings.start_timeout) as torchserve:
        reindex = Reindex(settings, jobs, job, torchserve)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, reindex.stop)
        if jobs.asked_to_stop(job_id):  # before this process could get the signal
            reindex.stop()
        await reindex.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

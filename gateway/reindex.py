"""One reindexing job, in a process of its own: ``python -m gateway.reindex JOB``. It outlives the gateway.

    list ─▶ index ─▶ publish                                                        ─▶ wait for every worker
    list ─▶ index ─▶ pack ─▶ register ─▶ switch the default model ─▶ publish        ─▶ wait     (another model)

Listing, indexing and packing are the project's own commands, run as child processes. With another model the index is
built first and not yet made current; the new model's workers start beside the old ones, and take the newest version of
their own model; only when all of them answer from it do requests go to them. Until then nothing has changed for
anybody, and what fails is undone.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sys
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.children import HASHLAKE, end_with_parent
from gateway.errors import RequestRefused
from gateway.jobs import JOBS_FILE, Job, JobStore, Phase, Switched
from gateway.models import ModelFolder, find_model
from gateway.settings import Settings
from gateway.torchserve import MODEL_NAME, Answered, TorchServe, TorchServeError
from searcher.errors import SearcherError
from searcher.store import IndexStore

#: Every worker takes a new version with its next query, and queries are sent to it.
WAIT_SECONDS = 60.0
#: After a switch, the other model's workers finish what they were given; they take milliseconds a batch.
DRAIN_SECONDS = 3.0
_ROOMS = Path(__file__).resolve().parents[1]
#: "/srv/index_store cannot be written" → "index_store cannot be written"
_FOLDERS = re.compile(r"""(?<![^\s'"])/(?:[^/\s'"]+/)*""")


class StepFailed(Exception):
    """A step cannot be done; the message says why."""


class _Stopped(Exception):
    """Somebody has asked the job to stop."""


class Reindex:
    """Carries out ``job``; ``run`` returns when it has ended, however it ended."""

    def __init__(self, settings: Settings, jobs: JobStore, job: Job, torchserve: TorchServe) -> None:
        self._settings = settings
        self._jobs = jobs
        self._job = job
        self._torchserve = torchserve
        self._store = IndexStore(settings.index_store)
        self._child: asyncio.subprocess.Process | None = None
        self._stopping = False

    def stop(self) -> None:
        """Stop before the next step, and end the command that runs. From the switch of the model on nothing is
        stopped: the rest takes moments, and half of it would be worse than either state."""
        self._stopping = True
        if self._child and self._child.returncode is None:
            self._child.terminate()

    async def run(self) -> None:
        """Do it, and note how it ended."""
        name = self._job.request.new_index_database_version
        try:
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
        if not self._store.has(name):  # a job that is resumed may have built it before
            await self._index(name, model, sha256, keep_current=another)
        manifest = self._store.manifest(name)
        listed = manifest.count + manifest.skipped
        self._note(done=listed, total=listed, skipped=manifest.skipped)
        if another:
            await self._switch(model, name)
        else:
            if self._store.current() != name:
                self._begin("publishing")
                await asyncio.to_thread(self._store.promote, name)
            with contextlib.suppress(TorchServeError):  # the version is served whether they are ended or not
                await self._unregister_others()
        self._note(phase="waiting", eta_seconds=None)
        require_all(await self._torchserve.ask_workers(name, WAIT_SECONDS), name)

    def _model(self, model_path: str | None, served: str) -> Path:
        """The file that the request names, or that of the model ``served``."""
        folder = self._settings.models
        if model_path is None:
            models = ModelFolder(folder).models(served)
            model_path = next((model.model_path for model in models if model.current), None)
        if model_path is None:
            raise StepFailed("the served model is not in the models folder: name one with model_path")
        return find_model(folder, model_path)

    async def _index(self, name: str, model: Path, sha256: str, *, keep_current: bool) -> None:
        settings = self._settings
        listing = settings.database
        if settings.datalake is not None:
            self._begin("listing")
            listing = settings.state.absolute() / f"listing-{self._job.id}.txt"
            script = str(_ROOMS / "indexer" / "extract_datalake.sh")
            await self._command(["bash", script, str(settings.datalake), str(listing)], settings.datalake_root)
        self._begin("indexing")
        command = [
            *HASHLAKE, "index",
            "--database", str(listing),
            "--model_path", str(model),
            "--device", settings.device,
            "--new_index_database_version", name,
            "--index_store", str(settings.index_store),
            "--datalake_root", str(settings.datalake_root),
            "--mode", self._job.request.mode,
            "--json",
        ]  # fmt: skip
        base = self._base(sha256)
        await self._command(
            command + (["--base_version", base] if base else []) + (["--keep_current"] if keep_current else [])
        )
        if settings.datalake is not None:
            listing.unlink(missing_ok=True)

    def _base(self, sha256: str) -> str | None:
        """The newest version of the same model: codes of unchanged files are taken from there."""
        same = [manifest.version for manifest in self._store.manifests() if manifest.model.sha256 == sha256]
        return same[-1] if same else None

    async def _switch(self, model: Path, name: str) -> None:
        """Serve ``model`` with the version ``name``, which is built and not current yet; or leave all as it was."""
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
            require_all(await torchserve.ask_workers(name, WAIT_SECONDS, new), name)
            self._begin("switching")
            await self._commit(staged, old.model_version, new, name)
        except BaseException:
            with contextlib.suppress(TorchServeError):
                await torchserve.unregister(new)
            raise
        finally:
            staged.unlink(missing_ok=True)
        await asyncio.sleep(DRAIN_SECONDS)
        # Nothing depends on it any more: what TorchServe cannot end now, the next switch ends.
        with contextlib.suppress(TorchServeError):
            await torchserve.unregister(old.model_version)

    async def _unregister_others(self) -> None:
        """End the workers that a job left behind which was killed while it switched the model."""
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
        """The archive for the next start, the default model, CURRENT: all three, or none."""
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
        for stamp in archive.parent.glob(".*.pt"):  # make's note of which model the archive holds
            stamp.unlink()

    async def _command(self, command: list[str], folder: Path | None = None) -> None:
        """Run a command of the project, following its progress. StepFailed, with its last words, if it fails."""
        child = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=end_with_parent,
        )
        self._child = child
        if self._stopping:  # since this step began
            child.terminate()
        assert child.stdout and child.stderr
        said: deque[str] = deque(maxlen=5)

        async def listen(stream: asyncio.StreamReader) -> None:
            async for line in stream:
                if text := line.decode(errors="replace").strip():
                    said.append(text)

        async def follow(stream: asyncio.StreamReader) -> None:
            async for line in stream:
                self._follow(line)

        await asyncio.gather(listen(child.stderr), follow(child.stdout), child.wait())
        if child.returncode:
            if self._stopping:
                raise _Stopped
            last = said[-1] if said else f"it ended with status {child.returncode}"
            raise StepFailed(last.removeprefix("Error: "))

    def _follow(self, line: bytes) -> None:
        """Take over what the indexer says of its progress."""
        try:
            said: Any = json.loads(line)
        except ValueError:
            return
        if isinstance(said, dict) and "done" in said:
            self._note(**{key: said[key] for key in ("done", "total", "rate", "skipped", "eta_seconds")})

    def _begin(self, phase: Phase) -> None:
        """The next step, unless somebody has asked to stop."""
        if self._stopping:
            raise _Stopped
        self._note(phase=phase)

    def _ended(self, *, message: str = "", **facts: Any) -> None:
        # Clients read it: no folder of this machine, only what is in it.
        message = _FOLDERS.sub("", message)
        self._note(finished=datetime.now(UTC), eta_seconds=None, message=message, **facts)

    def _note(self, **facts: Any) -> None:
        self._job = self._job.model_copy(update=facts)
        self._jobs.save(self._job)


def require_all(heard: dict[int, Answered], name: str) -> None:
    """StepFailed unless every worker answers from the version ``name``."""
    others = [
        f"worker {pid} answers from {answered.version}" if answered.version else f"worker {pid}: {answered.reason}"
        for pid, answered in sorted(heard.items())
        if answered.version != name
    ]
    if others or not heard:
        raise StepFailed(f"not every worker serves {name}: {'; '.join(others) or 'there is no worker'}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def main(job_id: str) -> None:
    settings = Settings()  # the gateway has checked it; what has gone since fails the step that needs it
    jobs = JobStore(settings.state / JOBS_FILE)
    job = jobs.get(job_id)
    if job is None:
        raise SystemExit(f"there is no job {job_id}")
    jobs.started(job_id, os.getpid())
    async with TorchServe(settings.inference, settings.management) as torchserve:
        reindex = Reindex(settings, jobs, job, torchserve)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, reindex.stop)
        if jobs.asked_to_stop(job_id):  # before there was a process to tell
            reindex.stop()
        await reindex.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

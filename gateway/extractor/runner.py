"""The process that carries extraction jobs out, one after the other. It outlives the gateway that starts it.

    python -m gateway.extractor.runner

    next job ─▶ hashlake elements … as a child process ─▶ its progress, line by line ─▶ ended, and what is to be sent

One runs at a time: it holds a lock. If it is killed, its child ends with it, and the job goes on in the next one, page
by page as its folder says. It ends when no job waits.
"""

import asyncio
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.errors import CommandFailed
from gateway.extractor.folders import Folders, forget
from gateway.extractor.jobs import Delivery, Document, Job, JobStore
from gateway.processes import HASHLAKE, ChildProcess
from gateway.settings import GatewaySettings

#: How often a running job is asked whether it is cancelled.
_LOOK_SECONDS = 0.3
_SAVE_SECONDS = 0.5


class Runner:
    """Carries out the jobs in ``jobs``, whose results are in ``folders``."""

    def __init__(self, jobs: JobStore, folders: Folders) -> None:
        self._jobs = jobs
        self._folders = folders
        self._child: ChildProcess | None = None
        self._stopping = False

    def stop(self) -> None:
        """End the running job's child; the job is queued again."""
        self._stopping = True
        if self._child is not None:
            self._child.ask_to_end()

    async def run(self) -> None:
        """Carry out all jobs that wait."""
        self._jobs.queue_again()
        while not self._stopping and (job := self._jobs.next()) is not None:
            await self._carry_out(job.model_copy(update={"state": "running", "message": ""}))

    async def _carry_out(self, job: Job) -> None:
        folder = self._folders.found(job.request.source, job.request.detector)
        if job.request.anew and job.done == 0:
            forget(folder)
        self._jobs.save(job)
        try:
            last = await self._command(job, folder)
        except CommandFailed as error:
            if self._jobs.is_cancelled(job.id):
                self._ended(job, "cancelled")
            elif self._stopping:
                self._jobs.save(job.model_copy(update={"state": "queued"}))
            else:
                self._ended(job, "failed", message=str(error))
            return
        documents = [Document.model_validate(each) for each in last["documents"]]
        told = json.loads((folder / "documents.json").read_text(encoding="utf-8"))
        self._ended(
            job,
            "succeeded",
            _deliveries(job, folder, documents, told["detector"]),
            documents=documents,
            done=sum(each.pages for each in documents),
            total=sum(each.pages for each in documents),
            failed=sum(each.failed for each in documents),
        )

    async def _command(self, job: Job, folder: Path) -> dict[str, Any]:
        """Returns the last line that the command says. Raises CommandFailed."""
        asked = job.request
        command = [
            *HASHLAKE, "elements", "detect", "--detector", asked.detector, "--output", str(folder), "--json",
            "--", asked.source,
        ]  # fmt: skip
        said: dict[str, Any] = {}
        saved = 0.0
        async with ChildProcess.started(command) as child:
            self._child = child
            watching = asyncio.create_task(self._watch(job, child))
            try:
                async for line in child.lines():
                    said = json.loads(line)
                    now = asyncio.get_running_loop().time()
                    if "done" in said and now - saved >= _SAVE_SECONDS:
                        saved = now
                        self._jobs.save(job.model_copy(update=said))
                await child.succeeded()
            finally:
                watching.cancel()
                self._child = None
        if "documents" not in said:
            raise CommandFailed("the command said nothing of its results")
        return said

    async def _watch(self, job: Job, child: ChildProcess) -> None:
        while not self._jobs.is_cancelled(job.id):
            await asyncio.sleep(_LOOK_SECONDS)
        child.ask_to_end()

    def _ended(self, job: Job, state: str, deliveries: list[Delivery] | None = None, **known: Any) -> None:
        ended = job.model_copy(update={"state": state, "finished": datetime.now(UTC), **known})
        self._jobs.save(ended, deliveries or [])


def _deliveries(job: Job, folder: Path, documents: list[Document], detector: dict[str, Any]) -> list[Delivery]:
    """Returns what the job's callback gets: each document's annotation file, and which model made it."""
    if job.callback is None:
        return []
    model = f"{detector['stem']}_{datetime.fromtimestamp(detector['modified'], UTC):%m_%Y}"
    return [
        Delivery(
            url=f"{job.callback.rstrip('/')}/{each.name}",
            field="annotation_file",
            name=f"{each.name}.txt",
            fields={"model": model},
            path=str(folder / f"{each.name}.txt"),
        )
        for each in documents
    ]


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Yields whether this process is the only one that holds ``lock``, a file that then has its number."""
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield True


async def main() -> None:
    folders = Folders(GatewaySettings().state)
    jobs = JobStore(folders.jobs)
    with alone(folders.lock) as is_alone:
        if is_alone:
            runner = Runner(jobs, folders)
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runner.stop)
            await runner.run()


if __name__ == "__main__":
    asyncio.run(main())

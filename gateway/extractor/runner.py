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

from contract.address import reachable_host, url_of
from gateway.errors import CommandFailed
from gateway.extractor.folders import Folders, forget
from gateway.extractor.jobs import Delivery, Detecting, Job, JobStore
from gateway.extractor.kinds import command_of, folder_of, outcome
from gateway.processes import ChildProcess
from gateway.settings import GatewaySettings

#: How often a running job is asked whether it is cancelled.
_LOOK_SECONDS = 0.3
_SAVE_SECONDS = 0.5
#: What a command says of its progress.
_PROGRESS = ("done", "total", "failed")


class Runner:
    """Carries out the jobs in ``jobs``, whose results are in ``folders``, with models of the folder ``models``, and the
    collections of ``gateway``, by its URL."""

    def __init__(self, jobs: JobStore, folders: Folders, models: Path, gateway: str) -> None:
        self._jobs = jobs
        self._folders = folders
        self._models = models
        self._gateway = gateway
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
        while not self._stopping and (job := self._jobs.begin_next()) is not None:
            await self._carry_out(job)

    async def _carry_out(self, job: Job) -> None:
        folder = folder_of(job.request, self._folders)
        if isinstance(job.request, Detecting) and job.request.anew and job.done == 0:
            forget(folder)
        try:
            said = await self._command(job, command_of(job.request, folder, self._models, self._gateway))
            known, deliveries = outcome(job, folder, said)
        except CommandFailed as error:
            if self._jobs.is_cancelled(job.id):
                self._ended(job, "cancelled")
            elif self._stopping:
                self._jobs.queue_again()
            else:
                self._ended(job, "failed", message=str(error))
        except (LookupError, ValueError, OSError) as error:
            self._ended(job, "failed", message=f"the results cannot be read: {type(error).__name__}")
        else:
            self._ended(job, "succeeded", deliveries, **known)

    async def _command(self, job: Job, command: list[str]) -> dict[str, Any]:
        """Returns the last object that ``command`` says. Raises CommandFailed."""
        said: dict[str, Any] = {}
        saved = 0.0
        async with ChildProcess.started(command) as child:
            self._child = child
            watching = asyncio.create_task(self._watch(job, child))
            try:
                if self._stopping:  # asked before there was a child
                    child.ask_to_end()
                async for line in child.lines():
                    if (told := _object(line)) is None:  # a detector may be anybody's, and print
                        continue
                    said = told
                    now = asyncio.get_running_loop().time()
                    if now - saved >= _SAVE_SECONDS:
                        saved = now
                        progress = {key: value for key, value in said.items() if key in _PROGRESS}
                        self._jobs.save(job.model_copy(update=progress))
                await child.succeeded()
            finally:
                watching.cancel()
                self._child = None
        return said

    async def _watch(self, job: Job, child: ChildProcess) -> None:
        while not self._jobs.is_cancelled(job.id):
            await asyncio.sleep(_LOOK_SECONDS)
        child.ask_to_end()

    def _ended(self, job: Job, state: str, deliveries: list[Delivery] | None = None, **known: Any) -> None:
        so_far = self._jobs.get(job.id) or job  # with its progress
        ended = so_far.model_copy(update={"state": state, "finished": datetime.now(UTC), **known})
        self._jobs.save(ended, deliveries or [])


def _object(line: bytes) -> dict[str, Any] | None:
    """Returns the JSON object in ``line``, if it is one."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


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
    settings = GatewaySettings()  # the gateway has checked them
    folders = Folders(settings.state)
    jobs = JobStore(folders.jobs)
    with alone(folders.lock) as is_alone:
        if is_alone:
            gateway = url_of(reachable_host(settings.gateway_host), settings.gateway_port)
            runner = Runner(jobs, folders, settings.models, gateway)
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runner.stop)
            await runner.run()


if __name__ == "__main__":
    asyncio.run(main())

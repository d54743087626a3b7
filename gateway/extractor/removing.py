"""Removes jobs that have ended, and the results that no other job shares.

    asked for (DELETE /jobs/ID)              ─▶ the job, its deliveries, its results
    finished too long ago (keep_days)        ─▶ the same
    results take too much room (max_bytes)   ─▶ the jobs of those longest ago, until they fit
    results that no job names                ─▶ gone

Jobs that wait or run, and what still has to be delivered, stay whatever happens. While it is decided no job can begin;
what goes is first renamed, so that a job that comes finds all of its results, or none.
"""

import os
import secrets
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

from gateway.errors import RequestRefused
from gateway.extractor.folders import Folders, forget
from gateway.extractor.jobs import ENDED, Job, JobStore
from gateway.extractor.kinds import folder_of


class Removing:
    """Removes ``jobs`` and their results in ``folders``."""

    def __init__(self, jobs: JobStore, folders: Folders) -> None:
        self._jobs = jobs
        self._folders = folders

    def remove(self, job_id: str) -> None:
        """Remove the job, which has ended. Raises RequestRefused (404, 409)."""

        def choose(jobs: Sequence[Job], _waiting: Collection[str]) -> list[Job]:
            job = next((each for each in jobs if each.id == job_id), None)
            if job is None:
                raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no job {job_id}")
            if job.state not in ENDED:
                raise RequestRefused(HTTPStatus.CONFLICT, f"the job {job_id} is {job.state}: cancel it first")
            return self._moved_away(jobs, [job])

        self._jobs.remove(choose)
        forget(self._folders.gone)

    def tidy(self, keep_days: float, max_bytes: int) -> None:
        """Remove the jobs that finished more than ``keep_days`` ago, unless that is 0, then those longest ago until all
        results fit into ``max_bytes``, and results of no job."""
        sizes = {folder: _bytes_below(folder) for folder in _folders_in(self._folders.all_found)}
        oldest = datetime.now(UTC) - timedelta(days=keep_days) if keep_days else None

        def choose(jobs: Sequence[Job], waiting: Collection[str]) -> list[Job]:
            going = [
                job
                for job in jobs
                if oldest and job.finished and job.finished < oldest and job.id not in waiting and job.state in ENDED
            ]
            going += self._in_excess(jobs, going, waiting, sizes, max_bytes)
            named = {folder_of(job.request, self._folders) for job in jobs}
            for folder in sizes.keys() - named:
                self._move_away(folder)
            return self._moved_away(jobs, going)

        self._jobs.remove(choose)
        forget(self._folders.gone)

    def _in_excess(
        self,
        jobs: Sequence[Job],
        going: Sequence[Job],
        waiting: Collection[str],
        sizes: Mapping[Path, int],
        max_bytes: int,
    ) -> Iterator[Job]:
        """Yields the jobs, beside those that are ``going``, whose results have to make room."""
        left = {job.id for job in jobs} - {job.id for job in going}
        sharing: dict[Path, list[Job]] = defaultdict(list)
        for job in jobs:
            if job.id in left:
                sharing[folder_of(job.request, self._folders)].append(job)
        total = sum(size for folder, size in sizes.items() if folder in sharing)
        free = {
            folder: max(job.finished for job in those if job.finished)
            for folder, those in sharing.items()
            if all(job.state in ENDED and job.finished and job.id not in waiting for job in those)
        }
        for folder in sorted(free, key=free.__getitem__):
            if total <= max_bytes:
                return
            if size := sizes.get(folder, 0):
                total -= size
                yield from sharing[folder]

    def _moved_away(self, jobs: Sequence[Job], going: Sequence[Job]) -> list[Job]:
        """Returns ``going``, whose results are moved away where no other of ``jobs`` shares them."""
        gone = {job.id for job in going}
        staying = {folder_of(job.request, self._folders) for job in jobs if job.id not in gone}
        for folder in {folder_of(job.request, self._folders) for job in going} - staying:
            self._move_away(folder)
        return list(going)

    def _move_away(self, folder: Path) -> None:
        if folder.is_dir():
            self._folders.gone.mkdir(parents=True, exist_ok=True)
            folder.rename(self._folders.gone / f"{folder.name}-{secrets.token_hex(4)}")


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _bytes_below(folder: Path) -> int:
    """Returns how much room the files below ``folder`` take; one may vanish meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return total

"""Jobs as they are remembered: what a job is whose process has gone, and who wins when two say how it ended."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import gateway.operations.jobs
from gateway.errors import GatewayError
from gateway.operations.jobs import JOBS_FILE, Job, JobStore, ReindexRequest, Switched

ASKED = ReindexRequest(new_index_database_version="1.2.0", mode="unnecessary fast", model_path="small/")


@pytest.fixture
def jobs(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / JOBS_FILE)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """One that waits until its standard input ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as waiting:
        yield waiting
        waiting.kill()


def get(jobs: JobStore, job: Job) -> Job:
    found = jobs.get(job.id)
    assert found is not None
    return found


def test_a_job_is_kept_as_it_was_asked_and_saved(jobs: JobStore) -> None:
    job = jobs.create(ASKED)
    assert (job.state, job.phase, job.request, job.result) == ("running", "listing", ASKED, None)
    assert abs((datetime.now(UTC) - job.created).total_seconds()) < 60
    jobs.save(job.model_copy(update={"phase": "indexing", "done": 7, "total": 9, "rate": 3.5, "eta_seconds": 0.5}))
    found = get(JobStore(jobs.path), job)
    assert (found.phase, found.done, found.total, found.rate, found.eta_seconds) == ("indexing", 7, 9, 3.5, 0.5)
    assert (found.created, found.request) == (job.created, ASKED)


def test_a_job_that_nobody_knows_is_none(jobs: JobStore) -> None:
    assert jobs.get("00000000") is None


def test_jobs_are_listed_newest_first_a_hundred_of_them(jobs: JobStore) -> None:
    made = [jobs.create(ReindexRequest(new_index_database_version=f"{number}")) for number in range(103)]
    assert [job.id for job in jobs.all()] == [job.id for job in reversed(made[3:])]


def test_the_running_job_is_found_and_an_ended_one_is_not(jobs: JobStore) -> None:
    assert jobs.running() is None
    first, second = jobs.create(ASKED), jobs.create(ASKED)
    jobs.save(second.model_copy(update={"state": "failed"}))
    running = jobs.running()
    assert running is not None and running.id == first.id
    jobs.save(first.model_copy(update={"state": "succeeded"}))
    assert jobs.running() is None


def test_a_job_runs_while_its_process_does(jobs: JobStore, process: subprocess.Popen[bytes]) -> None:
    job = jobs.create(ASKED)
    assert jobs.process(job.id) is None
    jobs.started(job.id, process.pid)
    found = jobs.process(job.id)
    assert found is not None and found.pid == process.pid
    assert get(jobs, job).state == "running"


def test_a_job_whose_process_has_gone_was_interrupted(jobs: JobStore, process: subprocess.Popen[bytes]) -> None:
    job = jobs.create(ASKED)
    jobs.started(job.id, process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # gone, and a zombie still: nobody has waited for it
    found = get(jobs, job)
    assert (found.state, found.message) == ("interrupted", "its process ended unexpectedly")
    assert found.finished is not None
    process.wait()
    assert get(jobs, job) == found == JobStore(jobs.path).all()[0]
    assert jobs.process(job.id) is None


@pytest.mark.parametrize("state", ["cancelled", "interrupted"])
def test_a_job_that_was_told_to_stop_is_what_it_was_told_to_be(
    jobs: JobStore, process: subprocess.Popen[bytes], state: str
) -> None:
    job = jobs.create(ASKED)
    assert jobs.asked_to_stop(job.id) is None
    jobs.started(job.id, process.pid)
    jobs.ask_to_stop(job.id, state)  # type: ignore[arg-type]
    assert jobs.asked_to_stop(job.id) == state
    assert get(jobs, job).state == "running"
    process.kill()
    process.wait()
    assert (get(jobs, job).state, get(jobs, job).message) == (state, "")


def test_a_later_process_of_the_same_number_is_another_one(jobs: JobStore) -> None:
    job = jobs.create(ASKED)
    jobs.started(job.id, os.getpid())
    assert get(jobs, job).state == "running"
    with sqlite3.connect(jobs.path) as connection:
        connection.execute("UPDATE jobs SET started = started - 60")
    connection.close()
    assert get(jobs, job).state == "interrupted"


def test_a_job_has_a_minute_to_note_its_process(jobs: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs.create(ASKED)
    assert get(jobs, job).state == "running"
    monkeypatch.setattr(gateway.operations.jobs, "_START_SECONDS", 0.0)
    assert get(jobs, job).state == "interrupted"


def test_a_job_that_ends_while_it_is_looked_at_ended_as_it_says(
    jobs: JobStore, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read as running; then it succeeds and its process goes; only then is the process looked for."""
    job = jobs.create(ASKED)
    jobs.started(job.id, process.pid)
    done = job.model_copy(update={"state": "succeeded", "phase": "done", "result": Switched.now(None, "1.2.0")})

    def gone_meanwhile(_pid: int, _started: float) -> bool:
        jobs.save(done)
        return False

    monkeypatch.setattr(gateway.operations.jobs, "_alive", gone_meanwhile)
    assert get(jobs, job) == done
    monkeypatch.undo()
    assert get(jobs, job) == done


def test_a_job_begins_again_from_nothing_but_its_request(jobs: JobStore, process: subprocess.Popen[bytes]) -> None:
    job = jobs.create(ASKED)
    jobs.started(job.id, process.pid)
    jobs.ask_to_stop(job.id, "cancelled")
    process.kill()
    process.wait()
    ended = get(jobs, job)
    assert ended.state == "cancelled"
    jobs.save(ended.model_copy(update={"phase": "indexing", "done": 3, "message": "why"}))
    again = jobs.create_again(ended)
    assert again == Job(id=job.id, request=ASKED, created=job.created)
    assert get(jobs, job) == again
    assert (jobs.asked_to_stop(job.id), jobs.process(job.id)) == (None, None)
    assert [each.id for each in jobs.all()] == [job.id]


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / JOBS_FILE).write_bytes(b"not a database, and long enough to be looked at" * 40)
    with pytest.raises(GatewayError, match=r"cannot use the jobs in .*: file is not a database$"):
        JobStore(tmp_path / JOBS_FILE)

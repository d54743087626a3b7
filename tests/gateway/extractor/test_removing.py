"""Jobs that are removed, and whose results go with them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import RequestRefused
from gateway.extractor.folders import Folders
from gateway.extractor.jobs import Delivery, Detecting, Job, JobStore
from gateway.extractor.kinds import folder_of
from gateway.extractor.removing import Removing

NOW = datetime.now(UTC)
#: Bytes of each job's results.
SIZE = 1 << 20


class Store:
    """Jobs on documents by name, with results on the disk."""

    def __init__(self, folder: Path) -> None:
        self.folders = Folders(folder)
        self.jobs = JobStore(self.folders.jobs)
        self.removing = Removing(self.jobs, self.folders)

    def job(self, source: str, days_ago: float | None, state: Any = "succeeded", waits: bool = False) -> Job:
        """A job, finished so long ago; None: it runs."""
        (job,) = self.jobs.create("app", [Detecting(source=source, detector="d")], None)
        results = self.results(job)
        results.mkdir(parents=True, exist_ok=True)
        (results / "a.txt").write_bytes(bytes(SIZE))
        finished = None if days_ago is None else NOW - timedelta(days=days_ago)
        job = job.model_copy(update={"state": "running" if days_ago is None else state, "finished": finished})
        to = Delivery(url="http://e.org", field="f", name="a.txt", fields={}, path=str(results / "a.txt"))
        self.jobs.save(job, [to] if waits else [])
        return job

    def results(self, job: Job) -> Path:
        return folder_of(job.request, self.folders)

    def left(self) -> list[str]:
        assert not self.folders.gone.exists()
        names = [job.request.source for job in self.jobs.newest(100) if isinstance(job.request, Detecting)]
        assert sorted(path.name for path in self.folders.all_found.iterdir()) == sorted(
            {self.folders.found(name, "d").name for name in names}
        )
        return names[::-1]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_a_job_is_removed_with_results_that_it_shares_with_none(store: Store) -> None:
    one, same, other, running = store.job("a", 2), store.job("a", 1), store.job("b", 1, "failed"), store.job("c", None)
    store.removing.remove(one.id)
    assert store.left() == ["a", "b", "c"] and store.results(same).is_dir()
    store.removing.remove(same.id)
    store.removing.remove(other.id)
    assert store.left() == ["c"]
    with pytest.raises(RequestRefused, match="cancel it first"):
        store.removing.remove(running.id)
    with pytest.raises(RequestRefused, match="there is no job"):
        store.removing.remove(one.id)
    assert store.left() == ["c"] and store.results(running).is_dir()


def test_old_jobs_go(store: Store) -> None:
    store.job("old", 31)
    store.job("old and shared", 31)
    store.job("old and shared", 1)
    store.job("to be delivered", 31, waits=True)
    store.job("running", None)
    store.job("new", 29)
    store.removing.tidy(30, 1 << 40)
    assert store.left() == ["old and shared", "to be delivered", "running", "new"]
    store.removing.tidy(0, 1 << 40)
    assert len(store.left()) == 4


def test_those_longest_ago_make_room(store: Store) -> None:
    for source, days in {"second": 8, "first": 9, "third": 7}.items():
        store.job(source, days)
    store.job("first", 1)  # so its results are the newest
    store.job("running", None)
    store.job("to be delivered", 20, waits=True)
    store.removing.tidy(0, 4 * SIZE + SIZE // 2)
    assert store.left() == ["first", "third", "first", "running", "to be delivered"]
    store.removing.tidy(0, 1)
    assert store.left() == ["running", "to be delivered"]


def test_results_of_no_job_go(store: Store) -> None:
    store.job("a", 1)
    (store.folders.all_found / "orphan").mkdir()
    store.removing.tidy(0, 1 << 40)
    assert store.left() == ["a"]

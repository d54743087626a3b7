"""Callbacks that are dead, refuse, redirect, or may not be reached: tried again or given up, and always on record."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.extractor.delivering import PAUSES, Delivering
from gateway.extractor.jobs import Delivery, Detecting, JobStore
from sources.fetching.addresses import HostList, Reach
from tests.handler.server import free_ports

LOCAL = Reach(HostList.parse("127.0.0.0/8"))


@pytest.fixture
def app() -> Iterator[str]:
    """Answers /NUMBER with that status, and asks for patience."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(int(self.path.partition("?")[0].strip("/")))
            self.send_header("Retry-After", "9")
            self.send_header("Location", "/200")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def tried(
    folder: Path, url: str, reach: Reach = LOCAL, file: str = "a.txt", pauses: tuple[float, ...] = (5.0,)
) -> Delivery:
    """Returns the one delivery to ``url`` after everything that is due was tried."""
    (folder / "a.txt").write_text("1 a_0001.jpg\n")
    jobs = JobStore(folder / "jobs.db")
    (job,) = jobs.create("app", [Detecting(source="s", detector="d")], url)
    delivery = Delivery(url=url, field="annotation_file", name="a.txt", fields={}, path=str(folder / file))
    jobs.save(job, [delivery])
    asyncio.run(Delivering(jobs, reach, pauses).deliver_due())
    assert jobs.due(1) == []
    (after,) = jobs.deliveries(job.id)
    return after


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, "delivered"), (204, "delivered"), (302, "given up"), (400, "given up"), (403, "given up"),
     (404, "waiting"), (429, "waiting"), (500, "waiting"), (503, "waiting")],
)  # fmt: skip
def test_answers(app: str, tmp_path: Path, status: int, state: str) -> None:
    after = tried(tmp_path, f"{app}/{status}")
    assert (after.state, after.tries, after.answer) == (state, 1, f"status {status}")


def test_what_cannot_be_reached_is_tried_again_and_then_given_up(tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    url = f"http://127.0.0.1:{nobody}/annotate"
    after = tried(tmp_path, url)
    assert (after.state, after.tries) == ("waiting", 1) and "cannot be reached" in after.answer
    again = tmp_path / "again"
    again.mkdir()
    after = tried(again, url, pauses=(0.0, 0.0))
    assert (after.state, after.tries) == ("given up", 3)


def test_what_may_not_be_reached_gets_nothing(app: str, tmp_path: Path) -> None:
    after = tried(tmp_path, f"{app}/200", Reach())
    assert (after.state, after.answer) == ("given up", "the host 127.0.0.1 may not be asked")


def test_a_result_that_is_gone_may_come_back(app: str, tmp_path: Path) -> None:
    after = tried(tmp_path, f"{app}/200", file="gone.txt")
    assert (after.state, after.answer) == ("waiting", "the result is gone: No such file or directory")


def test_what_cannot_be_sent_keeps_no_other_from_being_sent(app: str, tmp_path: Path) -> None:
    jobs = JobStore(tmp_path / "jobs.db")
    (job,) = jobs.create("app", [Detecting(source="s", detector="d")], app)
    (tmp_path / "a.txt").write_text("")
    sent = Delivery(url=f"{app}/200", field="f", name="a.txt", fields={}, path=str(tmp_path / "a.txt"))
    jobs.save(job, [sent.model_copy(update={"media_type": "no\ntype"}), sent])
    asyncio.run(Delivering(jobs, LOCAL).deliver_due())
    odd, other = jobs.deliveries(job.id)
    assert (odd.state, other.state) == ("waiting", "delivered") and "it could not be sent" in odd.answer


def test_patience_has_an_end(app: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.fetching.sending.retry_after", lambda _: 1e9)
    assert tried(tmp_path, f"{app}/503").state == "waiting"
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as connection:
        (then,) = connection.execute("SELECT next FROM deliveries").fetchone()
    assert then <= time.time() + PAUSES[-1]


def test_a_log_has_no_secrets(app: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tried(tmp_path, f"{app}/400?key=hunter2")
    assert "was not delivered: status 400" in caplog.text and "hunter2" not in caplog.text

"""Callbacks that are dead, refuse, redirect, or may not be reached: tried again or given up, and always on record."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.extractor.delivering import Delivering
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
            self.send_response(int(self.path.strip("/")))
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


def test_a_result_that_is_gone(app: str, tmp_path: Path) -> None:
    after = tried(tmp_path, f"{app}/200", file="gone.txt")
    assert (after.state, after.answer) == ("given up", "the result is gone: No such file or directory")

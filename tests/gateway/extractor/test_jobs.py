"""Jobs between the gateway and their process: what is begun, stopped, cancelled, and where results go."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import CommandFailed
from gateway.extractor.extraction import Extraction
from gateway.extractor.folders import Folders
from gateway.extractor.jobs import Comparing, Detecting, Document, Job, JobStore
from gateway.extractor.kinds import command_of, outcome
from gateway.extractor.runner import Runner
from gateway.settings import GatewaySettings

ASKED = Detecting(source="s", detector="d", anew=True)


class Stopped:
    """A command that says how far it is, and ends as ``then`` makes it."""

    def __init__(self, then: Any) -> None:
        self._then = then

    @asynccontextmanager
    async def started(self, _command: Sequence[str]) -> AsyncIterator["Stopped"]:
        yield self

    async def lines(self) -> AsyncIterator[bytes]:
        yield b"loading weights"
        yield b'{"done": 3, "total": 9, "failed": 1}'
        yield b"3"

    async def succeeded(self) -> str:
        self._then()
        raise CommandFailed("it was stopped", -15)

    def ask_to_end(self) -> None:
        pass


@pytest.mark.parametrize("stopped", [True, False])
def test_a_job_that_is_stopped_keeps_its_progress(
    stopped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that begins anew would begin anew twice."""
    folders = Folders(tmp_path)
    jobs = JobStore(folders.jobs)
    (job,) = jobs.create("app", [ASKED], None)
    runner = Runner(jobs, folders, tmp_path, "")
    monkeypatch.setattr("gateway.extractor.runner.ChildProcess", Stopped(runner.stop if stopped else lambda: None))
    asyncio.run(runner.run())
    after = jobs.get(job.id)
    assert after is not None
    assert (after.state, after.done, after.total) == ("queued" if stopped else "failed", 3, 9)


def test_a_job_that_has_begun_is_no_longer_one_that_waits(tmp_path: Path) -> None:
    jobs = JobStore(tmp_path / "jobs.db")
    first, second = jobs.create("app", [ASKED, ASKED], None)
    begun = jobs.begin_next()
    assert begun is not None and (begun.id, begun.state) == (first.id, "running")
    jobs.cancel(first.id)
    jobs.cancel(second.id)
    states = {each.id: each.state for each in jobs.newest(9)}
    assert states == {first.id: "running", second.id: "cancelled"}  # its process ends the first
    assert jobs.is_cancelled(first.id) and jobs.begin_next() is None


def test_a_callback_keeps_its_query(tmp_path: Path) -> None:
    (tmp_path / "documents.json").write_text('{"detector": {"stem": "d", "modified": 0}}')
    document = Document(document="s", name="ms", pages=1, failed=0, boxes=0)
    for given, sent in (("http://a/b/", "http://a/b/ms"), ("http://a/b?key=1/", "http://a/b/ms?key=1/")):
        job = Job(id="1", app="a", request=ASKED, callback=given, created=datetime.now(UTC))
        _, (delivery,) = outcome(job, tmp_path, {"documents": [document.model_dump()]})
        assert delivery.url == sent


def test_a_dead_callback_keeps_no_job_from_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        extraction = Extraction(GatewaySettings(state=tmp_path))
        looked = asyncio.Event()
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(extraction._delivering, "deliver_due", forever)
        monkeypatch.setattr(extraction, "_employ", lambda: loop.call_soon_threadsafe(looked.set))
        extraction.start()
        try:
            for _ in range(2):
                looked.clear()
                await extraction.add("app", [ASKED], None)
                async with asyncio.timeout(10):
                    await looked.wait()
        finally:
            await extraction.close()

    asyncio.run(run())


def test_detectors_are_looked_for_once_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may ask, without a key."""
    looked = []

    class Listing(Stopped):
        async def succeeded(self) -> str:
            looked.append(1)
            await asyncio.sleep(0.01)
            return "[]"

    monkeypatch.setattr("gateway.extractor.extraction.ChildProcess", Listing(None))

    async def ask() -> list[list[dict[str, Any]]]:
        extraction = Extraction(GatewaySettings(state=tmp_path))
        return await asyncio.gather(*(extraction.detectors() for _ in range(20)))

    assert asyncio.run(ask()) == [[]] * 20 and len(looked) == 1


def test_detectors_are_looked_for_again_when_a_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    class Listing(Stopped):
        async def succeeded(self) -> str:
            said.append({"name": f"as of listing {len(said) + 1}"})
            return json.dumps(said[-1:])

    monkeypatch.setattr("gateway.extractor.extraction.ChildProcess", Listing(None))

    async def ask() -> list[str]:
        extraction = Extraction(GatewaySettings(state=tmp_path, models=tmp_path))
        names = []
        for content in (b"one", b"one", b"other", None):
            if content is None:
                (tmp_path / "d.pt").unlink()
            elif not (tmp_path / "d.pt").exists() or (tmp_path / "d.pt").read_bytes() != content:
                (tmp_path / "d.pt").write_bytes(content)
            names.append((await extraction.detectors())[0]["name"])
        return names

    assert asyncio.run(ask()) == [f"as of listing {number}" for number in (1, 1, 2, 3)]


def test_a_collection_is_a_document_where_the_gateway_has_it(tmp_path: Path) -> None:
    gateway = "http://127.0.0.1:8000"
    asked = Comparing(documents={"a": "collection:shoes", "b": "folder:/b"}, model="m", model_path="m.pt")
    command = command_of(asked, tmp_path, tmp_path, gateway)
    told = json.loads(Path(command[command.index("--documents") + 1]).read_text())
    assert told == {"a": "collection:http://127.0.0.1:8000/shoes", "b": "folder:/b"}
    found = command_of(Detecting(source="collection:shoes", detector="d"), tmp_path, tmp_path, gateway)
    assert found[-1] == "collection:http://127.0.0.1:8000/shoes"


def test_the_list_is_short_however_many_documents_a_job_has(tmp_path: Path) -> None:
    jobs = JobStore(tmp_path / "jobs.db")
    (job,) = jobs.create("app", [ASKED], None)
    document = Document(document="s", name="ms", pages=1, failed=0, boxes=0)
    jobs.save(job.model_copy(update={"documents": [document] * 3}))
    (listed,) = jobs.newest(9)
    whole = jobs.get(job.id)
    assert whole is not None and (len(listed.documents), len(whole.documents)) == (0, 3)

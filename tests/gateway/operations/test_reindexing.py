"""Reindexing and promoting before a real TorchServe: while clients ask, while processes die, when a step fails."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import gateway.operations.reindex_job
from contract.names import MODEL_NAME
from embedding.torchscript import TorchScriptEmbedder
from gateway.errors import TorchServeError
from gateway.operations.jobs import JOBS_FILE, Job, JobStore, ReindexRequest
from gateway.operations.reindex_job import Reindex
from gateway.settings import GatewaySettings
from gateway.torchserve.client import Answered, Workers
from indexer.builder import Request, build
from pictures.opening import UNKNOWN
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fakes import png_of, write_datalake
from tests.gateway.stack import WIDE, WIDE_FOLDER, Stack, environment, wait_until
from tests.handler.server import free_ports
from tests.indexer.stored import codes_by_path, skipped_of

#: 19 pictures: as many as the model unservable.pt can hash (16, 2 and 1 at a time, never 4).
LAKE = {f"data/{number:02}.png": number * 0x0101 ^ number << 3 for number in range(19)}
ARCHIVE = f"{MODEL_NAME}.mar"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Serves version first of LAKE; later tests serve others, all of the model grid.pt."""
    with Stack(tmp_path_factory.mktemp("stack"), LAKE) as running:
        answer = running.reindex("first")
        assert answer.status_code == 200, answer.text
        yield running


def model_in(archive: Path) -> str:
    """The sha256 of the model in a .mar."""
    with zipfile.ZipFile(archive) as opened:
        (name,) = (each for each in opened.namelist() if each.endswith(".pt"))
        return hashlib.sha256(opened.read(name)).hexdigest()


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_serves(stack: Stack, version: str) -> None:
    assert stack.store.current() == version
    assert all(found == {version} for found in stack.versions_by_worker().values())


class TestOneAnswer:
    """``POST /api/reindex`` that waits: the contract's answer."""

    def test_the_contracts_answer_and_what_is_new_changed_and_gone(self, stack: Stack) -> None:
        before = stack.store.current()
        answer = stack.reindex("answer-1")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        body = answer.json()
        timestamp = datetime.strptime(body.pop("timestamp"), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        assert abs((datetime.now(UTC) - timestamp).total_seconds()) < 300
        assert body == {
            "result": "success",
            "previous_index_database_version": before,
            "index_database_version": "answer-1",
        }
        assert_serves(stack, "answer-1")
        job = stack.call("GET", answer.headers["location"]).json()
        assert (job["state"], job["phase"], job["done"], job["total"], job["skipped"]) == (
            "succeeded",
            "done",
            19,
            19,
            0,
        )

        data = stack.lake / "data"
        try:
            (data / "00.png").write_bytes(png_of(0xF0F0))
            (data / "01.png").unlink()
            (data / "new.png").write_bytes(png_of(0x0F0F))
            (data / "no picture.jpg").write_text("no picture")
            answer = stack.reindex("answer-2", mode="unnecessary fast")
            assert answer.status_code == 200, answer.text
            assert answer.json()["previous_index_database_version"] == "answer-1"
            assert_serves(stack, "answer-2")
            expected = LAKE | {"data/00.png": 0xF0F0, "data/new.png": 0x0F0F}
            del expected["data/01.png"]
            version = stack.store.folder / "answer-2"
            assert codes_by_path(version) == {path: code.to_bytes(2, "big") for path, code in expected.items()}
            assert skipped_of(version) == [("data/no picture.jpg", UNKNOWN)]
            assert stack.store.manifest("answer-2").mode == "unnecessary fast"
            found = stack.call("POST", "/api/search", data={"code": "0f0f", "top_k": "1"}).json()
            assert [(each["path"], each["distance"]) for each in found["results"]] == [("data/new.png", 0)]
            job = stack.call("GET", answer.headers["location"]).json()
            assert (job["done"], job["total"], job["skipped"]) == (20, 20, 1)
        finally:
            (data / "new.png").unlink(missing_ok=True)
            (data / "no picture.jpg").unlink(missing_ok=True)
            write_datalake(stack.lake, LAKE)

    def test_of_another_source_whose_pictures_are_then_shown(self, stack: Stack) -> None:
        with zipfile.ZipFile(stack.lake / "more.zip", "w") as archive:
            archive.writestr("summer.png", png_of(0x0FF0))
        try:
            answer = stack.reindex("source-1", source="more.zip")
            assert answer.status_code == 200, answer.text
            name = f"{stack.lake}/more.zip#summer.png"
            assert codes_by_path(stack.store.folder / "source-1") == {name: b"\x0f\xf0"}
            job = stack.call("GET", answer.headers["location"]).json()
            assert job["request"]["source"] == "more.zip"
            assert stack.call("GET", "/images/0").content == png_of(0x0FF0)
            assert stack.reindex("source-2").status_code == 200  # the datalake again
            assert codes_by_path(stack.store.folder / "source-2").keys() == LAKE.keys()
        finally:
            (stack.lake / "more.zip").unlink()

    @pytest.mark.parametrize(
        ("fields", "status", "said"),
        [
            ({"source": "s3://key:secret@lake"}, 422, "source holds credentials"),
            ({"source": "/etc"}, 422, "source names nothing below the datalake's root"),
            ({"source": "x" * 2049}, 422, "source: String should have at most 2048 characters"),
            ({"new_index_database_version": "first"}, 409, "version first exists already"),
            ({"new_index_database_version": "../first"}, 422, "cannot be a version's name"),
            ({"new_index_database_version": ""}, 422, "cannot be a version's name"),
            ({"new_index_database_version": "CURRENT"}, 422, "cannot be a version's name"),
            ({"new_index_database_version": 2}, 422, "new_index_database_version: Input should be a valid string"),
            ({}, 422, "new_index_database_version: Field required"),
            ({"mode": "fast"}, 422, "mode: Input should be 'default' or 'unnecessary fast'"),
            ({"model_path": "none.pt"}, 422, "there is no such model"),
            ({"model_path": "wide/"}, 422, "a folder must hold one .pt file, and this one holds 0"),
            ({"model_path": "."}, 422, "a folder must hold one .pt file, and this one holds 5"),
            ({"model_path": "../elsewhere.pt"}, 422, "below the models' folder"),
            ({"model_path": "/etc/passwd"}, 422, "below the models' folder"),
            ({"model_path": "linked.pt"}, 422, "there is no such model"),
            ({"model_path": ""}, 422, "below the models' folder"),
        ],
    )  # fmt: skip
    def test_what_is_refused_at_once(self, stack: Stack, fields: dict[str, Any], status: int, said: str) -> None:
        if {"model_path", "mode", "source"} & fields.keys():
            fields = {"new_index_database_version": "refused"} | fields
        jobs = stack.call("GET", "/api/jobs").json()
        answer = stack.call("POST", "/api/reindex", json=fields)
        assert (answer.status_code, answer.json()["code"]) == (status, status)
        assert said in answer.json()["message"]
        assert str(stack.folder) not in answer.text
        assert stack.call("GET", "/api/jobs").json() == jobs

    def test_only_with_an_admin_key(self, stack: Stack) -> None:
        body = {"new_index_database_version": "refused"}
        assert stack.call("POST", "/api/reindex", json=body, key=None).status_code == 401
        assert stack.call("POST", "/api/reindex", json=body, key=stack.search_key).status_code == 403


class TestJobs:
    """Reindexing that does not wait: watched, cancelled, resumed, and its processes killed."""

    def test_polled_and_watched_to_its_end(self, stack: Stack) -> None:
        with stack.publishing_held():
            answer = stack.reindex("watched", wait=False)
            assert answer.status_code == 202
            job = answer.json()
            assert answer.headers["location"] == f"/api/jobs/{job['id']}"
            assert job.keys() == set(Job.model_fields)
            assert (job["state"], job["request"]["new_index_database_version"]) == ("running", "watched")
            assert stack.call("GET", "/api/jobs").json()["jobs"][0]["id"] == job["id"]

            events = self.watch(stack, job["id"])
            first = next(events)
            assert (first["id"], first["state"], first["result"]) == (job["id"], "running", None)
            wait_until(lambda: stack.built("watched"), "the index")
            polled = stack.job(job["id"])
            assert (polled["state"], polled["phase"], polled["done"], polled["total"]) == (
                "running",
                "indexing",
                19,
                19,
            )
            assert polled["rate"] > 0

            for refused in (
                stack.reindex("another"),
                stack.reindex("another", wait=False),
                stack.call("POST", f"/api/jobs/{job['id']}/resume"),
            ):
                assert (refused.status_code, refused.json()["code"]) == (409, 409)
            assert f"the job {job['id']} is running; one runs at a time" in stack.reindex("another").json()["message"]
        *between, last = events
        assert {each["state"] for each in between} <= {"running"}
        assert (last["state"], last["phase"], last["message"]) == ("succeeded", "done", "")
        assert last["result"]["index_database_version"] == "watched"
        assert last == stack.job(job["id"])
        assert_serves(stack, "watched")
        for method, path in (("DELETE", ""), ("POST", "/resume")):
            refused = stack.call(method, f"/api/jobs/{job['id']}{path}")
            assert (refused.status_code, "has succeeded" in refused.json()["message"]) == (409, True)

    def watch(self, stack: Stack, job_id: str) -> Iterator[dict[str, Any]]:
        """The jobs that server-sent events bring, until the stream ends."""
        headers = {"X-API-Key": stack.admin_key}
        with stack.client.stream("GET", f"/api/jobs/{job_id}/events", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            event = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    assert event == "job"
                    yield json.loads(value)

    def test_a_job_that_nobody_knows_is_404(self, stack: Stack) -> None:
        for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", ""), ("POST", "/resume")):
            answer = stack.call(method, f"/api/jobs/00000000{path}")
            assert (answer.status_code, answer.json()["message"]) == (404, "there is no job 00000000")

    def test_cancelled_while_somebody_waits_for_the_answer_and_resumed(self, stack: Stack) -> None:
        before = stack.store.current()
        with stack.publishing_held(), ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(stack.reindex, "cancelled")
            wait_until(lambda: stack.built("cancelled"), "the index")
            job_id = stack.call("GET", "/api/jobs").json()["jobs"][0]["id"]
            assert stack.call("DELETE", f"/api/jobs/{job_id}").status_code == 202
            job = stack.ended(job_id)
            assert (job["state"], job["message"], job["result"]) == ("cancelled", "", None)
            assert stack.call("DELETE", f"/api/jobs/{job_id}").status_code == 409
            answer = waiting.result()
            assert (answer.status_code, answer.json()["message"]) == (409, "cancelled: indexing")
            assert answer.headers["location"] == f"/api/jobs/{job_id}"
        assert stack.store.current() == before
        assert not stack.store.has("cancelled")
        self.resume(stack, job_id, "cancelled")

    def test_cancelled_before_it_has_begun(self, stack: Stack) -> None:
        """Its process is only starting, and cannot be told yet."""
        before = stack.store.current()
        job_id = stack.started("at-once")
        assert stack.call("DELETE", f"/api/jobs/{job_id}").status_code == 202
        assert stack.ended(job_id)["state"] == "cancelled"
        assert (stack.store.current(), stack.store.has("at-once")) == (before, False)

    def test_a_killed_gateway_finds_its_job_running_and_then_done(self, stack: Stack) -> None:
        with stack.publishing_held():
            job_id = stack.started("orphan")
            wait_until(lambda: stack.built("orphan"), "the index")
            stack.gateway.kill()
            stack.gateway.start()
            assert stack.job(job_id)["state"] == "running"
            assert stack.reindex("another").status_code == 409
        job = stack.ended(job_id)
        assert (job["state"], job["result"]["index_database_version"]) == ("succeeded", "orphan")
        assert_serves(stack, "orphan")

    def test_a_killed_job_is_interrupted_leaves_nothing_running_and_can_be_resumed(self, stack: Stack) -> None:
        before = stack.store.current()
        with stack.publishing_held():
            job_id = stack.started("killed")
            wait_until(lambda: stack.built("killed"), "the index")
            process = stack.job_process(job_id)
            assert process is not None
            children = process.children(recursive=True)
            assert children
            process.kill()
            job = stack.ended(job_id)
            assert (job["state"], job["message"]) == ("interrupted", "its process ended unexpectedly")
            assert not psutil.wait_procs(children, timeout=60)[1]
        assert_serves(stack, str(before))
        self.resume(stack, job_id, "killed")

    def test_a_stopped_gateway_stops_its_job_which_can_be_resumed(self, stack: Stack) -> None:
        before = stack.store.current()
        with stack.publishing_held():
            job_id = stack.started("stopped")
            wait_until(lambda: stack.built("stopped"), "the index")
            process = stack.job_process(job_id)
            assert process is not None
            family = [process, *process.children(recursive=True)]
            events = self.watch(stack, job_id)
            assert next(events)["state"] == "running"
            waiting = threading.Thread(target=lambda: stopped.append(stack.gateway.stop()))
            stopped: list[int] = []
            waiting.start()
            *_, last = events  # who watches gets to know, and holds nothing up
            waiting.join()
            assert stopped == [0]
            assert last["state"] == "interrupted"
            assert not psutil.wait_procs(family, timeout=60)[1]
            stack.gateway.start()
            assert stack.job(job_id)["state"] == "interrupted"
        assert "Traceback" not in stack.gateway.log.read_text()
        assert_serves(stack, str(before))
        self.resume(stack, job_id, "stopped")

    def resume(self, stack: Stack, job_id: str, version: str) -> None:
        answer = stack.call("POST", f"/api/jobs/{job_id}/resume")
        assert (answer.status_code, answer.json()["id"], answer.json()["state"]) == (202, job_id, "running")
        job = stack.ended(job_id)
        assert (job["state"], job["message"]) == ("succeeded", "")
        assert (job["done"], job["total"]) == (19, 19)
        assert_serves(stack, version)


class TestVersions:
    """Promoting, verifying and deleting, with workers that follow."""

    def test_forwards_and_back(self, stack: Stack) -> None:
        before = str(stack.store.current())
        stack.publish("promoted")
        for version, previous in (
            ("promoted", before),
            (before, "promoted"),
            ("promoted", before),
            ("promoted", "promoted"),
        ):
            answer = stack.call("POST", f"/api/versions/{version}/promote")
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", body.pop("timestamp"))
            assert body == {
                "result": "success",
                "previous_index_database_version": previous,
                "index_database_version": version,
            }
            assert_serves(stack, version)

    def test_what_cannot_be_served_is_refused_and_the_current_version_stays(self, stack: Stack) -> None:
        before = str(stack.store.current())
        stack.publish("wide", WIDE_FOLDER + "wide.pt")
        stack.publish("gone", "colours.pt")
        (stack.models / "colours.pt").rename(stack.folder / "colours.away")
        stack.publish("damaged")
        index = stack.store.folder / "damaged" / "index.faiss"
        content = bytearray(index.read_bytes())
        content[-1] ^= 1
        index.write_bytes(content)
        for version, status, said in (
            ("none", 404, "there is no version none"),
            ("..", 404, ""),
            (".hidden", 422, "cannot be a version's name"),
            ("gone", 409, "which is not in the models' folder: put its file there, or reindex"),
            ("damaged", 503, "index.faiss of version damaged has changed"),
        ):
            answer = stack.call("POST", f"/api/versions/{version}/promote")
            assert (answer.status_code, answer.json()["code"]) == (status, status)
            assert said in answer.json()["message"]
            assert str(stack.folder) not in answer.text
        (stack.folder / "colours.away").rename(stack.models / "colours.pt")
        assert_serves(stack, before)

        verified = stack.call("POST", "/api/versions/damaged/verify").json()
        assert (verified["whole"], verified["files"]) == (False, 2)
        assert "index.faiss of version damaged has changed" in verified["message"]
        assert stack.call("POST", "/api/versions/wide/verify").json() == {
            "version": "wide",
            "whole": True,
            "files": 2,
            "message": None,
        }
        for version in ("damaged", "gone", "wide"):
            assert stack.call("DELETE", f"/api/versions/{version}").status_code == 204
            assert stack.call("DELETE", f"/api/versions/{version}").status_code == 404
            assert not (stack.store.folder / version).exists()
        assert stack.call("DELETE", f"/api/versions/{before}").status_code == 409
        assert_serves(stack, before)


class TestFailures:
    """Whatever step fails: its name and why in the message, and the old model and version go on."""

    def failing(self, stack: Stack, version: str, **fields: object) -> str:
        """Reindex, in vain; the message."""
        before, archive = str(stack.store.current()), (stack.model_store / ARCHIVE).read_bytes()
        registered = stack.registered()
        answer = stack.reindex(version, **fields)
        assert answer.status_code == 500, answer.text
        message: str = answer.json()["message"]
        job = stack.call("GET", answer.headers["location"]).json()
        assert (job["state"], f"failed: {job['message']}") == ("failed", message)
        assert str(stack.folder) not in answer.text and "Traceback" not in answer.text
        assert_serves(stack, before)
        assert stack.registered() == registered
        assert (stack.model_store / ARCHIVE).read_bytes() == archive
        assert [each.name for each in stack.model_store.iterdir()] == [ARCHIVE]
        return message

    def test_a_damaged_model_file(self, stack: Stack) -> None:
        message = self.failing(stack, "not-1", model_path="damaged.pt")
        assert message == "failed: loading: damaged.pt is not a TorchScript model"
        assert not stack.store.has("not-1")

    def test_a_model_that_the_workers_cannot_load(self, stack: Stack) -> None:
        message = self.failing(stack, "not-2", model_path="unservable.pt")
        assert message.startswith("failed: registering: TorchServe refused: ")
        assert stack.call("GET", "/readyz").status_code == 200

    def test_a_datalake_that_has_vanished(self, stack: Stack) -> None:
        data = stack.lake / "data"
        data.rename(stack.lake / "elsewhere")
        try:
            assert self.failing(stack, "not-3") == "failed: listing: data is not a folder"
            stack.lake.rename(stack.folder / "elsewhere")
            try:
                message = self.failing(stack, "not-4")
            finally:
                (stack.folder / "elsewhere").rename(stack.lake)
            assert message == "failed: listing: Invalid value for '--datalake_root': Directory 'lake' does not exist."
        finally:
            (stack.lake / "elsewhere").rename(data)

    def test_a_disk_that_is_full(self, stack: Stack) -> None:
        """The image table of 400 pictures with long names takes more room than there is; the listing doesn't."""
        data = stack.lake / "data"
        links = [data / f"{'long' * 30}{number}.png" for number in range(400)]
        for link in links:
            os.link(data / "00.png", link)
        assert stack.gateway.stop() == 0
        stack.gateway.start(largest_file=64 * 1024)
        try:
            message = self.failing(stack, "not-5")
            assert re.match("failed: indexing: .* cannot be written: ", message)
            assert message.endswith("the served version is untouched, and the same command goes on from here")
            job_id = stack.call("GET", "/api/jobs").json()["jobs"][0]["id"]
        finally:
            assert stack.gateway.stop() == 0
            stack.gateway.start()
        answer = stack.call("POST", f"/api/jobs/{job_id}/resume")
        assert answer.status_code == 202
        assert stack.ended(job_id)["state"] == "succeeded"
        assert_serves(stack, "not-5")
        assert stack.store.manifest("not-5").count == 419
        for link in links:
            link.unlink()


class FakeTorchServe:
    """Registers models and switches between them as TorchServe does, in memory; the ``broken`` step fails once."""

    def __init__(self, served: str, archives: Path, broken: str = "") -> None:
        self.served = {"1.0": served}
        self.default = "1.0"
        self.archives = archives
        self.broken = broken

    def step(self, name: str) -> None:
        if self.broken == name:
            self.broken = ""
            raise TorchServeError(f"TorchServe refused: {name}")

    async def served_model(self) -> dict[str, Any]:
        return {"sha256": self.served[self.default]}

    async def workers(self, model_version: str | None = None) -> Workers:
        return Workers(model_version or self.default, {1: True, 2: True})

    async def model_versions(self) -> list[str]:
        return sorted(self.served)

    async def register(self, archive: str, workers: int) -> None:
        self.step("register")
        assert workers == 2
        self.served["2.0"] = (self.archives / archive).read_text()

    async def set_default(self, model_version: str) -> None:
        self.step("set-default")
        assert model_version in self.served
        self.default = model_version

    async def unregister(self, model_version: str) -> None:
        self.step(f"unregister {model_version}")
        assert model_version != self.default
        if model_version not in self.served:
            raise TorchServeError("TorchServe refused: no such version")
        del self.served[model_version]

    async def ask_workers(
        self, wanted: str | None, _seconds: float, _model_version: str | None = None
    ) -> dict[int, Answered]:
        if self.broken == "answer":
            return {1: Answered(wanted), 2: Answered(None, "it doesn't answer")}
        return {1: Answered(wanted), 2: Answered(wanted)}


PACKER = """
import hashlib, pathlib, sys
given = dict(zip(sys.argv[2::2], sys.argv[3::2]))
folder = pathlib.Path(given["--model_store"])
folder.mkdir()
digest = hashlib.sha256(pathlib.Path(given["--model_path"]).read_bytes()).hexdigest()
(folder / "image-retrieval-v1.0.mar").write_text(digest)
"""


class Folders:
    """Version 1, current, made by a.pt, which is served; version 2, published, made by b.pt."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, grid: TorchScriptEmbedder, colours: TorchScriptEmbedder
    ) -> None:
        for name in ("models", "model_store", "state", "lake"):
            (folder / name).mkdir()
        (folder / "models" / "a.pt").write_bytes(b"a")
        (folder / "models" / "b.pt").write_bytes(b"b")
        self.a, self.b = (sha256_of(folder / "models" / f"{each}.pt") for each in "ab")
        self.store = IndexStore(folder / "index_store")
        (folder / "lake" / "a.png").write_bytes(png_of(1))
        (folder / "listing").write_text("a.png\n")
        for name, model in (("1", grid), ("2", colours)):
            request = Request(
                self.store, name, FolderSource(folder / "lake", Listing(folder / "listing")), keep_current=name == "2"
            )
            build(request, model, tell=lambda _line: None)
        self.archive = folder / "model_store" / ARCHIVE
        self.archive.write_text(self.a)
        (self.archive.parent / ".a.pt").touch()
        self.settings = GatewaySettings(
            index_store=self.store.folder,
            model_store=self.archive.parent,
            models=folder / "models",
            state=folder / "state",
            datalake_root=folder / "lake",
            datalake=Path(),
        )
        self.jobs = JobStore(self.settings.state / JOBS_FILE)
        (folder / "packer.py").write_text(PACKER)
        monkeypatch.setattr(gateway.operations.reindex_job, "HASHLAKE", [sys.executable, str(folder / "packer.py")])
        monkeypatch.setattr(gateway.operations.reindex_job, "DRAIN_SECONDS", 0.0)

    def prepared(self, torchserve: FakeTorchServe) -> Reindex:
        job = self.jobs.create(ReindexRequest(new_index_database_version="2", model_path="b.pt"))
        self.jobs.started(job.id, os.getpid())
        return Reindex(self.settings, self.jobs, job, torchserve)  # type: ignore[arg-type]

    def run(self, torchserve: FakeTorchServe) -> Job:
        asyncio.run(self.prepared(torchserve).run())
        return self.jobs.all()[0]

    def left_in_the_model_store(self) -> set[str]:
        return {each.name for each in self.archive.parent.iterdir()}


@pytest.fixture
def folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grid: TorchScriptEmbedder, colours: TorchScriptEmbedder
) -> Folders:
    return Folders(tmp_path, monkeypatch, grid, colours)


class TestSteps:
    """Switching the model step by step, with a TorchServe in memory: done or undone, whichever step fails."""

    def test_done(self, folders: Folders) -> None:
        torchserve = FakeTorchServe(folders.a, folders.archive.parent)
        job = folders.run(torchserve)
        assert (job.state, job.phase, job.message) == ("succeeded", "done", "")
        assert job.result is not None
        assert (job.result.previous_index_database_version, job.result.index_database_version) == ("1", "2")
        assert (torchserve.default, torchserve.served) == ("2.0", {"2.0": folders.b})
        assert (folders.store.current(), folders.archive.read_text()) == ("2", folders.b)
        assert folders.left_in_the_model_store() == {ARCHIVE}  # and no longer make's note that it holds a.pt

    @pytest.mark.parametrize(
        ("broken", "message"),
        [
            ("register", "registering: TorchServe refused: register"),
            ("answer", "registering: not every worker serves 2: worker 2: it doesn't answer"),
            ("set-default", "switching: TorchServe refused: set-default"),
        ],
    )
    def test_a_step_of_torchserve_fails(self, folders: Folders, broken: str, message: str) -> None:
        torchserve = FakeTorchServe(folders.a, folders.archive.parent, broken)
        job = folders.run(torchserve)
        assert (job.state, job.message, job.result) == ("failed", message, None)
        self.assert_nothing_has_changed(folders, torchserve)
        torchserve.broken = ""
        assert folders.run(torchserve).state == "succeeded"
        assert torchserve.served == {"2.0": folders.b}

    def test_old_workers_that_cannot_be_ended_are_no_failure(self, folders: Folders) -> None:
        torchserve = FakeTorchServe(folders.a, folders.archive.parent, "unregister 1.0")
        assert folders.run(torchserve).state == "succeeded"
        assert (torchserve.default, folders.store.current()) == ("2.0", "2")

    def test_packing_fails(self, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        failing = [sys.executable, "-c", "import sys; sys.exit('a warning\\nError: /srv/store cannot be written\\n')"]
        monkeypatch.setattr(gateway.operations.reindex_job, "HASHLAKE", failing)
        torchserve = FakeTorchServe(folders.a, folders.archive.parent)
        job = folders.run(torchserve)
        assert (job.state, job.message) == ("failed", "packing: store cannot be written")
        self.assert_nothing_has_changed(folders, torchserve)

    def test_promoting_fails_after_the_model_is_switched(
        self, folders: Folders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        torchserve = FakeTorchServe(folders.a, folders.archive.parent)

        def full(_store: IndexStore, _name: str) -> None:
            assert torchserve.default == "2.0"
            raise OSError(28, "No space left on device", "/srv/index_store/CURRENT.next")

        monkeypatch.setattr(IndexStore, "promote", full)
        job = folders.run(torchserve)
        message = "publishing: [Errno 28] No space left on device: 'CURRENT.next'"
        assert (job.state, job.message) == ("failed", message)
        self.assert_nothing_has_changed(folders, torchserve)

    def assert_nothing_has_changed(self, folders: Folders, torchserve: FakeTorchServe) -> None:
        assert (torchserve.default, torchserve.served) == ("1.0", {"1.0": folders.a})
        assert (folders.store.current(), folders.archive.read_text()) == ("1", folders.a)
        assert folders.left_in_the_model_store() == {ARCHIVE, ".a.pt"}

    def test_an_unforeseen_failure_ends_the_job_too(self, folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
        torchserve = FakeTorchServe(folders.a, folders.archive.parent)

        def bug(_store: IndexStore, _name: str) -> None:
            raise ZeroDivisionError("at /srv/secret")

        monkeypatch.setattr(IndexStore, "promote", bug)
        with pytest.raises(ZeroDivisionError):
            folders.run(torchserve)
        (job,) = folders.jobs.all()
        assert (job.state, job.message) == ("failed", "publishing: unexpected ZeroDivisionError")
        self.assert_nothing_has_changed(folders, torchserve)

    @pytest.mark.parametrize("current", ["1", "2"])
    def test_a_job_that_was_killed_while_it_switched_is_finished(self, folders: Folders, current: str) -> None:
        """Requests go to the new model already, and the old one's workers are still there."""
        torchserve = FakeTorchServe(folders.a, folders.archive.parent)
        torchserve.served["2.0"] = folders.b
        torchserve.default = "2.0"
        folders.store.promote(current)
        assert folders.run(torchserve).state == "succeeded"
        assert (folders.store.current(), torchserve.served) == ("2", {"2.0": folders.b})

    def test_workers_that_a_killed_job_left_behind_are_ended_first(self, folders: Folders) -> None:
        torchserve = FakeTorchServe(folders.a, folders.archive.parent)
        torchserve.served["2.0"] = folders.b
        (folders.archive.parent / f"{MODEL_NAME}-2.0.mar").write_text("of the killed job")
        (folders.archive.parent / f"{MODEL_NAME}-2.0.before").write_text("of the killed job")
        assert folders.run(torchserve).state == "succeeded"
        assert (torchserve.default, torchserve.served) == ("2.0", {"2.0": folders.b})
        assert folders.left_in_the_model_store() == {ARCHIVE}

    @pytest.mark.parametrize("state", ["cancelled", "interrupted"])
    def test_told_to_stop_just_as_a_command_starts(
        self, folders: Folders, monkeypatch: pytest.MonkeyPatch, state: str
    ) -> None:
        """The command would run for ever."""
        monkeypatch.setattr(
            gateway.operations.reindex_job, "HASHLAKE", [sys.executable, "-c", "import time; time.sleep(1e6)"]
        )
        torchserve = FakeTorchServe(folders.a, folders.archive.parent)
        start = asyncio.create_subprocess_exec

        async def stop_then_start(*command: str, **options: Any) -> asyncio.subprocess.Process:
            folders.jobs.ask_to_stop(folders.jobs.all()[0].id, state)  # type: ignore[arg-type]
            reindex.stop()
            return await start(*command, **options)

        monkeypatch.setattr(asyncio, "create_subprocess_exec", stop_then_start)
        reindex = folders.prepared(torchserve)
        asyncio.run(asyncio.wait_for(reindex.run(), 120))
        assert folders.jobs.all()[0].state == state
        self.assert_nothing_has_changed(folders, torchserve)

    def test_nothing_is_stopped_once_the_model_is_switched(
        self, folders: Folders, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        torchserve = FakeTorchServe(folders.a, folders.archive.parent)
        promote = IndexStore.promote

        def told_to_stop(store: IndexStore, name: str) -> None:
            reindex.stop()
            promote(store, name)

        monkeypatch.setattr(IndexStore, "promote", told_to_stop)
        reindex = folders.prepared(torchserve)
        asyncio.run(reindex.run())
        assert folders.jobs.all()[0].state == "succeeded"
        assert torchserve.served == {"2.0": folders.b}


#: What the grid's versions show, once three pictures have come and one has gone.
LATER = {path: code for path, code in LAKE.items() if path != "data/05.png"} | {
    f"data/{name}.png": number * 0x1111 for number, name in enumerate(("a", "m", "z"), 3)
}
#: Of each version: its pictures, and how many bits of its code a bit of a picture's is.
SHOWN: Mapping[str, tuple[Mapping[str, int], int]] = {
    "grid-1": (LAKE, 1),
    "grid-2": (LATER, 1),
    "wide-1": (LATER, WIDE),
    "wide-2": (LATER, WIDE),
}


def expected(version: str, code: int) -> list[tuple[str, int]]:
    """Paths and distances of all pictures of ``version``, best first, for a picture of ``code``."""
    lake, width = SHOWN[version]
    paths = sorted(lake)  # as the listing has them
    return sorted(((path, width * (code ^ lake[path]).bit_count()) for path in paths), key=lambda found: found[1])


class Clients:
    """Eight that ask again and again, by picture and for more like an indexed one, and look at every answer. Each
    pauses between its requests: without that, they take the processors from the very job that they wait for.

    Models differ in width and versions in their rows: pictures, distances, codes or URLs of another version would show.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._over = threading.Event()
        self.seen: dict[str, int] = {}

    def __enter__(self) -> "Clients":
        self._pool = ThreadPoolExecutor(8)
        self._asking = [self._pool.submit(self._ask, seed) for seed in range(8)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()

    def check(self) -> None:
        """Raises what went wrong for any of them."""
        self._over.set()
        for each in self._asking:
            each.result()

    def go_on_until(self, version: str, answers: int = 30) -> None:
        """Wait for so many more answers from ``version``."""
        enough = self.seen.get(version, 0) + answers

        def had_them() -> bool:
            for each in self._asking:
                if each.done():
                    each.result()
            return self.seen.get(version, 0) >= enough

        wait_until(had_them, f"answers from {version}")

    def _ask(self, seed: int) -> None:
        chance = random.Random(seed)
        try:
            with httpx.Client(base_url=self._stack.url, timeout=240, trust_env=False) as client:
                while not self._over.is_set():
                    version = chance.choice((self._by_picture, self._by_path))(client, chance)
                    self.seen[version] = self.seen.get(version, 0) + 1
                    self._over.wait(chance.uniform(0, 0.1))
        except BaseException:
            self._over.set()
            raise

    def _by_picture(self, client: httpx.Client, chance: random.Random) -> str:
        code, top_k = chance.getrandbits(16), chance.randint(1, 30)
        answer = client.post(
            f"/predictions/{MODEL_NAME}",
            files={"image": ("a.png", png_of(code), "image/png")},
            data={"top_k": str(top_k), "debug": "true"},
        )
        assert answer.status_code == 200, answer.text
        body = answer.json()
        version: str = body["index_database_version"]
        assert list(zip(body["relevant"], body["distances"], strict=True)) == expected(version, code)[:top_k]
        return version

    def _by_path(self, client: httpx.Client, chance: random.Random) -> str:
        path = chance.choice([path for path in LAKE if path in LATER])
        answer = client.post("/api/search", data={"path": path, "top_k": "5"})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        version: str = body["version"]
        lake, width = SHOWN[version]
        found = [(each["path"], each["distance"]) for each in body["results"]]
        assert found == expected(version, LAKE[path])[:5]
        assert body["query"]["code"] == f"{LAKE[path]:04x}" * width
        assert body["model"]["bits"] == 16 * width
        first = body["results"][0]
        assert first["code"] == f"{lake[first['path']]:04x}" * width
        assert first["row"] == sorted(lake).index(first["path"])
        picture = client.get(first["image"])
        assert (picture.status_code, picture.content) == (200, png_of(lake[first["path"]]))
        return version


class TestUnderLoad:
    """One stack's life: reindexed, switched to another model and back and forth while clients ask; then started anew
    with the other model, by ``hashlake serve --admin``."""

    def test_not_one_failed_or_mixed_answer_and_a_restart_serves_the_same(self, tmp_path: Path) -> None:
        with Stack(tmp_path, LAKE, workers=2) as stack:
            assert stack.reindex("grid-1").status_code == 200
            with Clients(stack) as clients:
                clients.go_on_until("grid-1")
                self.reindexes_with_the_same_model(stack, clients)
                self.promotes_back_and_forth(stack, clients, "grid-1", "grid-2")
                self.switches_to_another_model(stack, clients)
                assert stack.reindex("wide-2").status_code == 200
                clients.go_on_until("wide-2")
                self.promotes_back_and_forth(stack, clients, "wide-1", "wide-2")
                self.promotes_a_version_of_the_other_model(stack, clients)
                clients.check()
            assert clients.seen.keys() == SHOWN.keys()
        self.serves_the_same_when_started_anew(stack)

    def reindexes_with_the_same_model(self, stack: Stack, clients: Clients) -> None:
        (stack.lake / "data" / "05.png").unlink()
        write_datalake(stack.lake, {path: code for path, code in LATER.items() if path not in LAKE})
        answer = stack.reindex("grid-2")
        assert answer.status_code == 200, answer.text
        assert all(found == {"grid-2"} for found in stack.versions_by_worker().values())
        clients.go_on_until("grid-2")

    def promotes_back_and_forth(self, stack: Stack, clients: Clients, one: str, other: str) -> None:
        for version in (one, other) * 2:
            answer = stack.call("POST", f"/api/versions/{version}/promote")
            assert answer.status_code == 200, answer.text
            assert all(found == {version} for found in stack.versions_by_worker().values())
            clients.go_on_until(version, 10)

    def switches_to_another_model(self, stack: Stack, clients: Clients) -> None:
        wide = sha256_of(stack.models / WIDE_FOLDER / "wide.pt")
        assert model_in(stack.model_store / ARCHIVE) == sha256_of(stack.models / "grid.pt")
        answer = stack.reindex("wide-1", model_path=WIDE_FOLDER)
        assert answer.status_code == 200, answer.text
        assert answer.json()["previous_index_database_version"] == "grid-2"
        assert all(found == {"wide-1"} for found in stack.versions_by_worker().values())
        clients.go_on_until("wide-1")
        assert stack.store.current() == "wide-1"
        assert stack.registered() == ["2.0"]
        assert stack.torchserve.description()["sha256"] == wide
        assert model_in(stack.model_store / ARCHIVE) == wide
        assert [each.name for each in stack.model_store.iterdir()] == [ARCHIVE]
        models = {each["model_path"]: each["current"] for each in stack.call("GET", "/api/models").json()["models"]}
        assert [path for path, current in models.items() if current] == [f"{WIDE_FOLDER}wide.pt"]

    def promotes_a_version_of_the_other_model(self, stack: Stack, clients: Clients) -> None:
        """The older of two: its workers answer from the newer one until they are asked instead of the others."""
        answer = stack.call("POST", "/api/versions/grid-1/promote", headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        job = stack.ended(answer.json()["id"])
        assert (job["kind"], job["state"], job["phase"]) == ("promote", "succeeded", "done"), job
        assert job["result"]["previous_index_database_version"] == "wide-2"
        assert all(found == {"grid-1"} for found in stack.versions_by_worker().values())
        clients.go_on_until("grid-1", 10)
        assert stack.store.current() == "grid-1"
        assert model_in(stack.model_store / ARCHIVE) == sha256_of(stack.models / "grid.pt")
        log = stack.call("GET", f"/api/jobs/{job['id']}/log").text.splitlines()
        assert [line.split(" ", 2)[2] for line in log] == [
            "promote grid-1", "packing", "registering", "switching", "publishing", "waiting", "succeeded done",
        ]  # fmt: skip
        answer = stack.call("POST", "/api/versions/wide-2/promote")
        assert (answer.status_code, answer.json()["previous_index_database_version"]) == (200, "grid-1"), answer.text
        assert all(found == {"wide-2"} for found in stack.versions_by_worker().values())
        clients.go_on_until("wide-2", 10)

    def serves_the_same_when_started_anew(self, stack: Stack) -> None:
        """Both by one command; at the end of which a page watches a job."""
        log = stack.folder / "together.log"
        variables = stack.variables | {"workers": 2, "metrics_port": free_ports(1)[0]}
        with log.open("wb") as out:
            together = subprocess.Popen(
                [sys.executable, "-m", "hashlake", "serve", "--admin"],
                cwd=stack.folder, env=environment(**variables), stdout=out, stderr=out,
            )  # fmt: skip
        try:
            wait_until(lambda: together.poll() is not None or "hashlake's page" in log.read_text(), "both")
            with httpx.Client(base_url=stack.url, timeout=240, trust_env=False) as client:
                key = {"X-API-Key": stack.admin_key}
                ready = wait_until(lambda: r if (r := client.get("/readyz")).is_success else None, "readiness").json()
                assert ([each["version"] for each in ready["workers"]]) == ["wide-2"] * 2
                found = client.post("/api/search", data={"path": "data/a.png"}).json()
                assert found["model"]["bits"] == 64
                assert [(each["path"], each["distance"]) for each in found["results"]] == expected(
                    "wide-2", LATER["data/a.png"]
                )[:10]
                with stack.publishing_held():
                    body = {"new_index_database_version": "wide-3"}
                    begun = client.post("/api/reindex", json=body, headers=key | {"Prefer": "respond-async"})
                    assert begun.status_code == 202
                    wait_until(lambda: stack.built("wide-3"), "the index")
                    family = psutil.Process(together.pid).children(recursive=True)
                    job = stack.job_process(begun.json()["id"])
                    assert job is not None
                    family += [job, *job.children(recursive=True)]
                    with client.stream("GET", f"{begun.headers['location']}/events", headers=key) as events:
                        lines = events.iter_lines()
                        assert next(lines) == "event: job"
                        together.send_signal(signal.SIGTERM)
                        *_, last = (line for line in lines if line.startswith("data: "))
                    assert json.loads(last.partition(": ")[2])["state"] == "interrupted"
                    assert together.wait(240) == 0
            assert not psutil.wait_procs(family, timeout=60)[1]
            assert "Traceback" not in log.read_text()
        finally:
            with contextlib.suppress(ProcessLookupError):
                together.kill()
            together.wait()

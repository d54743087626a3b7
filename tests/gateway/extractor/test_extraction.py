"""extractorAPI's routes and their words, jobs, callbacks and what is delivered, with a real IIIF image server."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from gateway.access.keys import KEYS_FILE, KeyStore
from gateway.extractor.folders import Folders
from gateway.processes import HASHLAKE
from tests.elements import squares
from tests.elements.test_detect_command import CLIENT
from tests.fakes import png_of, write_grid_model
from tests.gateway.live import Live, live
from tests.handler.server import free_ports
from tests.sources.fetching.picture_site import PictureSite
from tests.sources.test_iiif_server import image_server

SECONDS = 90.0


@dataclass
class Client:
    """An app that takes callbacks: ``got`` has (path, fields, file name, file); it answers with ``statuses``, the last
    one from then on."""

    statuses: list[int] = field(default_factory=lambda: [200])
    got: list[tuple[str, dict[str, str], str, bytes]] = field(default_factory=list)
    url: str = ""

    def wait(self, count: int) -> None:
        until = time.monotonic() + SECONDS
        while len(self.got) < count:
            assert time.monotonic() < until, self.got
            time.sleep(0.05)


@pytest.fixture
def client() -> Iterator[Client]:
    app = Client()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            fields, name, file = {}, "", b""
            for part in message_from_bytes(head + body, policy=policy.HTTP).iter_parts():
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                field_name = part.get_param("name", header="content-disposition")
                if part.get_filename():
                    name, file = f"{field_name} {part.get_filename()}", content
                else:
                    fields[str(field_name)] = content.decode()
            app.got.append((self.path, fields, name, file))
            self.send_response(app.statuses.pop(0) if len(app.statuses) > 1 else app.statuses[0])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    app.url = f"http://127.0.0.1:{server.server_port}/annotate"
    yield app
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class Api:
    """The extraction API with a key."""

    base: str
    key: str
    server: Live | None = None

    def post(self, path: str, **given: Any) -> httpx.Response:
        return httpx.post(f"{self.base}{path}", headers={"X-API-Key": self.key}, timeout=60, trust_env=False, **given)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.base}{path}", headers={"X-API-Key": self.key}, timeout=60, trust_env=False)

    def delete(self, path: str) -> httpx.Response:
        return httpx.delete(f"{self.base}{path}", headers={"X-API-Key": self.key}, timeout=60, trust_env=False)

    def listening(self) -> None:
        """Returns when there is an answer."""
        until = time.monotonic() + SECONDS
        while True:
            try:
                self.get("/jobs")
                return
            except httpx.TransportError:
                assert time.monotonic() < until
                time.sleep(0.1)

    def ended(self, path: str) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        job: dict[str, Any]
        while (job := self.get(f"/{path}").json())["state"] in ("queued", "running"):
            assert time.monotonic() < until, job
            time.sleep(0.05)
        return job


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder that this process's environment names, for the jobs' own process."""
    squares.installed(tmp_path / "packages", monkeypatch)
    (tmp_path / "models").mkdir()
    for name, value in {
        "STATE": tmp_path / "state", "MODELS": tmp_path / "models", "FETCH_ALLOW": "127.0.0.0/8",
        "EXTRACTOR_DETECTOR": "squares",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"HASHLAKE_{name}", str(value))
    return tmp_path / "state"


@pytest.fixture
def api(tmp_path: Path, state: Path) -> Iterator[Api]:
    (port,) = free_ports(1)
    _, key = KeyStore(state / KEYS_FILE).create("catalogue", "admin")
    with live(tmp_path, state=state, extractor_port=port, models=tmp_path / "models") as server:
        yield Api(f"http://127.0.0.1:{port}", key, server)


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[str]:
    """A manifest of two pages on a real image server, which serves it too."""
    images = tmp_path / "images"
    images.mkdir()
    (images / "1.png").write_bytes(squares.page(red=(10, 20, 30, 40), blue=(50, 70, 16, 16)))
    (images / "2.png").write_bytes(squares.page())
    with image_server(tmp_path, images) as server:
        canvases = [
            {
                "@id": f"{server}/canvas/{number}", "width": 80, "height": 100,
                "images": [
                    {"resource": {"service": {
                        "@context": "http://iiif.io/api/image/2/context.json", "@id": f"{server}/2.1_pil/{number}",
                    }}}
                ],
            }
            for number in (1, 2)
        ]  # fmt: skip
        book = {"@type": "sc:Manifest", "@id": "m", "sequences": [{"canvases": canvases}]}
        with squares.site(json.dumps(book).encode()) as address:
            yield address


def test_who_may_ask_what_and_in_which_words(api: Api) -> None:
    form = {"manifest_url": "http://127.0.0.1:1024/m.json"}
    for headers in ({}, {"X-API-Key": ""}, {"Authorization": "Basic Zm9yOmEgcHJveHk="}):
        bare = httpx.post(f"{api.base}/run_detect", data=form, headers=headers, trust_env=False, timeout=60)
        assert (bare.status_code, bare.json()["message"]) == (400, "Please provide an API key")
    wrong = httpx.post(f"{api.base}/run_detect", data=form, headers={"X-API-Key": "x"}, trust_env=False, timeout=60)
    assert (wrong.status_code, wrong.json()["message"]) == (403, "The provided API key is not valid")
    none = api.post("/delete_detect", data=form)
    assert (none.status_code, none.text) == (200, "No images to delete.")
    for field_name, url in (("manifest_url", "http://10.0.0.1/m"), ("callback", "http://169.254.169.254/latest")):
        refused = api.post("/run_detect", data=form | {field_name: url})
        assert refused.status_code == 422 and "may not be asked" in refused.json()["message"]
    assert api.post("/run_detect", data=form | {"model": "../x"}).status_code == 422
    assert api.get("/jobs").json() == {"jobs": []}
    models = httpx.get(f"{api.base}/models", timeout=60, trust_env=False).json()
    assert time.strptime(models["squares"])
    assert api.get("/jobs/none").status_code == 404
    assert api.get("/docs").status_code == 200


def test_a_manifest_from_end_to_end(api: Api, client: Client, manifest: str) -> None:
    client.statuses = [503, 200]
    assert api.server is not None and api.server.services.extraction is not None
    api.server.services.extraction._delivering._pauses = (0.1,)
    asked = api.post("/run_detect", data={"manifest_url": manifest, "model": "squares.pt", "callback": client.url})
    assert (asked.status_code, asked.text) == (200, "Detection task triggered with Celery!")
    client.wait(2)
    path, fields, name, file = client.got[1]
    modified = time.gmtime(Path(squares.__file__).stat().st_mtime)
    assert (path, fields) == ("/annotate/book", {"model": f"squares_{time.strftime('%m_%Y', modified)}"})
    assert name == "annotation_file book.txt"
    lines = file.decode().splitlines()
    assert all(CLIENT.match(line) for line in lines)
    assert [line for line in lines if line.endswith(".jpg")] == ["1 book_0001.jpg", "2 book_0002.jpg"]
    blue, red = ([int(each) for each in line.split()] for line in lines[1:3])
    assert blue == pytest.approx([50, 70, 16, 16], abs=2) and red == pytest.approx([10, 20, 30, 40], abs=2)
    place = asked.headers["Location"]
    job = api.ended(place)
    assert (job["state"], job["app"], job["done"], job["failed"]) == ("succeeded", "catalogue", 2, 0)
    (sent,) = api.get(f"/{place}/deliveries").json()["deliveries"]
    assert (sent["state"], sent["tries"], sent["answer"]) == ("delivered", 2, "status 200")
    assert "path" not in sent
    for kind in ("txt", "json", "annotations.json", "csv", "crops.zip"):
        assert api.get(f"/{place}/results/book.{kind}").status_code == 200
    assert api.get(f"/{place}/results/..%2Fbook.txt").status_code == 404
    assert api.get(f"/{place}/results/other.txt").status_code == 404
    assert b'"state":"succeeded"' in api.get(f"/{place}/events").content
    assert api.post(f"/{place}/cancel").status_code == 409
    again = api.post("/delete_detect", data={"manifest_url": manifest})
    assert again.text == "Detection task triggered with Celery!"
    assert api.ended(again.headers["Location"])["documents"][0]["boxes"] == 2
    assert api.delete(f"/{place}").status_code == 204
    assert api.get(f"/{place}").status_code == api.delete(f"/{place}").status_code == 404
    assert api.get(f"/{again.headers['Location']}/results/book.txt").status_code == 200  # the other job's, too


def test_many_at_once_and_what_fails_alone(api: Api, client: Client, manifest: str) -> None:
    client.statuses = [400]
    urls = f"\r\n{manifest}\n\n{manifest.replace('book', 'none')}\n".encode()
    asked = api.post("/detect_all", data={"callback": client.url}, files={"url_file": ("urls.txt", urls)})
    assert (asked.status_code, asked.text) == (200, "Success")
    client.wait(2)
    jobs = [api.ended(f"jobs/{job['id']}") for job in api.get("/jobs").json()["jobs"]]
    assert [(job["state"], job["failed"]) for job in jobs] == [("succeeded", 1), ("succeeded", 0)]
    until = time.monotonic() + SECONDS
    while (sent := api.get(f"/jobs/{jobs[1]['id']}/deliveries").json()["deliveries"][0])["state"] == "waiting":
        assert time.monotonic() < until
    assert (sent["state"], sent["tries"], sent["answer"]) == ("given up", 1, "status 400")


def test_documents_are_compared(api: Api, client: Client, tmp_path: Path) -> None:
    write_grid_model(tmp_path / "models" / "grid.pt", aliases=("moco_v2_800ep_pretrain",))
    with PictureSite() as site:
        figures = {f"fig{code}": site.put(f"/{code}.png", png_of(code)) for code in (0x00FF, 0x0F0F)}
        documents = {name: site.put(f"/{name}", json.dumps(figures).encode()) for name in ("b_1", "a")}
        broken = api.post("/run_similarity", content=b"no json")
        assert (broken.status_code, broken.text) == (200, "Similarity task aborted!")
        given = {"documents": documents, "model": "moco_v2_800ep_pretrain", "callback": client.url}
        asked = api.post("/run_similarity", json=given)
        said = "Similarity task triggered for ['b_1', 'a'] with moco_v2_800ep_pretrain!"
        assert (asked.status_code, asked.text) == (200, said)
        client.wait(3)
    assert {name for _, _, name, _ in client.got} == {
        "a-a a-a.npy", "a-b_1 a-b_1.npy", "b_1-b_1 b_1-b_1.npy",
    }  # fmt: skip
    (scores,) = (np.load(BytesIO(file), allow_pickle=True) for *_, name, file in client.got if "a-b_1" in name)
    assert ["100.0", "fig255.jpg", "fig255.jpg"] in scores.tolist()
    job = api.ended(asked.headers["Location"])
    assert [each["pairs"] for each in job["compared"]] == [1, 4, 1]
    place = asked.headers["Location"]
    for file in ("similarity.json", "similarity.csv", job["compared"][1]["file"]):
        assert api.get(f"/{place}/results/{file}").status_code == 200
    assert len(np.load(BytesIO(api.get(f"/{place}/results/{file}").content))) == 4
    image = api.get(f"/{place}/results/similarity.json").json()["index"]["images"][0]
    shown = api.get(f"/{place}/pictures/{image['picture']}")
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/jpeg")
    assert api.get(f"/{place}/pictures/{'0' * 32}.jpg").status_code == 404
    assert api.get(f"/{place}/pictures/..%2Fsimilarity.json").status_code in (404, 422)
    assert api.post("/run_similarity", json=given | {"model": "nothing"}).status_code == 422
    assert api.post("/jobs/similarity", json={"documents": {"../a": "pages"}}).status_code == 409  # no datalake here
    wrong = {"documents": {"../a": "pages"}, "model": "grid"}
    assert api.post("/jobs/similarity", json=wrong).status_code == 422


@contextmanager
def gateway(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway in a process of its own, by the environment, which is killed at the end."""
    with log.open("ab") as said, subprocess.Popen([*HASHLAKE, "admin"], stdout=said, stderr=said) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_job_goes_on_whatever_is_killed(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pages").mkdir()
    for number in range(8):
        (tmp_path / "pages" / f"{number}.png").write_bytes(squares.page(red=(number, 0, 5, 5)))
    port, extractor = free_ports(2)
    for name, value in {
        "GATEWAY_PORT": port, "EXTRACTOR_PORT": extractor, "DATALAKE_ROOT": tmp_path, "RUN_FOLDER": tmp_path,
        "INDEX_STORE": tmp_path / "store",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"HASHLAKE_{name}", str(value))
    _, key = KeyStore(state / KEYS_FILE).create("catalogue", "admin")
    own = Api(f"http://127.0.0.1:{extractor}", key)
    folders = Folders(state)
    looked = tmp_path / "packages" / "looked"

    def wait_for(pages: int) -> None:
        until = time.monotonic() + SECONDS
        while not looked.exists() or len(looked.read_text().splitlines()) < pages:
            assert time.monotonic() < until
            time.sleep(0.05)

    with gateway(tmp_path / "log") as process:
        own.listening()
        asked = own.post("/jobs", json={"source": "pages", "detector": "slow"})
        assert asked.status_code == 202, asked.text
        wait_for(2)
        process.kill()
    wait_for(4)  # without a gateway
    worker = psutil.Process(int(folders.lock.read_text()))
    children = worker.children(recursive=True)
    worker.kill()
    psutil.wait_procs(children, SECONDS)
    with gateway(tmp_path / "log"):
        own.listening()
        job = own.ended(asked.headers["Location"])
        assert (job["state"], job["documents"][0]["boxes"]) == ("succeeded", 8)
        assert 8 <= len(looked.read_text().splitlines()) <= 9  # the page that was being looked at, once more
        again = own.post("/jobs", json={"source": "pages", "detector": "slow", "anew": True})
        assert own.post(f"/{again.headers['Location']}/cancel").status_code == 202
        assert own.ended(again.headers["Location"])["state"] == "cancelled"
        pid = int(folders.lock.read_text())
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(SECONDS)

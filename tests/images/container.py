"""Containers of the image, run by podman as strictly as an operator would: the image's user, no capabilities, a
read-only root file system, /tmp in memory. They share the host's network, on free ports."""

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.handler.server import free_ports

USER = 10001


class Engine:
    """podman, with its images and containers in the folder ``work``."""

    def __init__(self, work: Path) -> None:
        # No systemd is needed for groups, and runc takes every layout of them.
        self._podman = ["podman", "--root", str(work / "storage"), "--runroot", str(work / "run")]
        self._podman += ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]

    def __call__(self, *words: str, status: int | None = 0) -> str:
        """Run ``podman WORDS…`` and answer what it said; its exit status must be ``status``, None being any."""
        done = subprocess.run([*self._podman, *words], capture_output=True, text=True, check=False)
        assert status in (None, done.returncode), f"podman {words[0]}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def succeeds(self, *words: str, seconds: float) -> bool:
        """Whether ``podman WORDS…`` ends well, and within ``seconds``."""
        try:
            done = subprocess.run([*self._podman, *words], capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


class Container:
    """A container of ``image`` with the command ``words``: made when this is, ``start``ed by the caller, removed at the
    end. ``mounts``: folder outside → folder inside, with ``:ro`` where it is only read. ``entrypoint``: if another
    than the image's. ``network``: a network namespace's path, if it isn't this machine's."""

    def __init__(
        self,
        engine: Engine,
        image: str,
        *words: str,
        mounts: Mapping[Path, str] | None = None,
        environment: Mapping[str, str] | None = None,
        entrypoint: Sequence[str] = (),
        network: Path | None = None,
    ) -> None:
        self._engine = engine
        options = ["--network", f"ns:{network}" if network else "host", "--read-only", "--read-only-tmpfs=false"]
        if "/tmp" not in (mounts or {}).values():
            options += ["--tmpfs", "/tmp:mode=1777"]
        if entrypoint:
            options += ["--entrypoint", json.dumps(entrypoint)]
        options += ["--cap-drop", "all", "--security-opt", "no-new-privileges", "--log-driver", "k8s-file"]
        # Without CAP_SYS_RESOURCE, root itself may not set higher limits than it has.
        options += ["--ulimit", "nofile=8192:8192", "--ulimit", "nproc=8192:8192"]
        for outside, inside in (mounts or {}).items():
            options += ["--volume", f"{outside}:{inside}"]
        for name, value in (environment or {}).items():
            options += ["--env", f"{name}={value}"]
        self.name = engine("create", *options, image, *words).split()[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.logs())
        self._engine("rm", "--force", "--time", "5", self.name)

    def start(self) -> None:
        self._engine("start", self.name)

    def logs(self) -> str:
        return self._engine("logs", self.name)

    def python(self, code: str) -> str:
        """What the image's Python prints, run beside the container's command."""
        return self._engine("exec", self.name, "python", "-c", code).strip()

    def healthcheck(self) -> bool:
        """The image's HEALTHCHECK, run now."""
        return "unhealthy" not in self._engine("healthcheck", "run", self.name, status=None)

    def succeeds(self, command: Sequence[str], seconds: float) -> bool:
        """Whether ``command``, run beside the container's, ends well, and within ``seconds``."""
        return self._engine.succeeds("exec", self.name, *command, seconds=seconds)

    def stop(self, seconds: int) -> int:
        """SIGTERM, and after ``seconds`` SIGKILL; its exit status."""
        self._engine("stop", "--time", str(seconds), self.name)
        return self.wait()

    def signal(self, name: str) -> None:
        self._engine("kill", "--signal", name, self.name)

    def wait(self) -> int:
        """Wait until it has ended; its exit status."""
        return int(self._engine("wait", self.name))


def run(engine: Engine, image: str, *words: str, mounts: Mapping[Path, str] | None = None) -> str:
    """Run a command of the image to its end, which must be a good one; what it said."""
    with Container(engine, image, *words, mounts=mounts) as container:
        container.start()
        assert container.wait() == 0, container.logs()
        return container.logs().strip()


class Serving(Container):
    """A container with `serve` or `admin`, on free ports that it shares with others on the same ``ports``, as it shares
    the folder at /run/hashlake, where one is mounted."""

    def __init__(
        self,
        engine: Engine,
        image: str,
        *words: str,
        mounts: Mapping[Path, str] | None = None,
        ports: list[int] | None = None,
    ) -> None:
        self.ports = ports or free_ports(3)
        names = ("INFERENCE", "METRICS", "GATEWAY")
        environment = {f"HASHLAKE_{name}_PORT": str(port) for name, port in zip(names, self.ports, strict=True)}
        environment["HASHLAKE_WORKERS"] = "2"
        if "/run/hashlake" in (mounts or {}).values():
            environment["HASHLAKE_RUN_FOLDER"] = "/run/hashlake/stack"
        super().__init__(engine, image, *words, mounts=mounts, environment=environment)
        self.url = f"http://127.0.0.1:{self.ports[0]}/predictions/image-retrieval-v1.0"
        self.gateway = f"http://127.0.0.1:{self.ports[2]}"
        self._client = httpx.Client(timeout=120, trust_env=False)

    def ask(self, picture: bytes) -> httpx.Response:
        fields = {"top_k": "3", "rank": "detail"}
        return self._client.post(self.url, files={"image": ("picture", picture)}, data=fields)

    def first_answer(self, picture: bytes) -> tuple[float, dict[str, Any]]:
        """Start it; seconds until it answers ``picture``, and the answer."""
        began = time.monotonic()
        self.start()
        while time.monotonic() < began + 180:
            try:
                response = self.ask(picture)
                if response.status_code == httpx.codes.OK:
                    return time.monotonic() - began, response.json()
            except httpx.TransportError:
                pass  # it doesn't listen yet
            time.sleep(0.02)
        raise AssertionError(f"no answer in three minutes\n{self.logs()}")


def image_size(engine: Engine, image: str) -> int:
    """Bytes of the image's layers, unpacked."""
    (found,) = json.loads(engine("image", "inspect", image))
    return int(found["Size"])


def hand_over(folder: Path) -> Path:
    """Give ``folder``, made where it isn't there, to the image's user."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, USER, USER)
    return folder

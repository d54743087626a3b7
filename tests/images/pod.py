"""A pod of the chart's Deployment where there is no Kubernetes: podman runs its containers, and this does by them as a
kubelet does.

    init containers → containers → startup probes → readiness and liveness probes, until it is deleted
    delete          → preStop → SIGTERM → exit status of each container

It has a network namespace and an address of its own, so that ports, probes and variables are the chart's as they
stand. What is the cluster's, such as limits of memory and cores, is left out.
"""

import http.client
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Self

from tests.deploy.chart import Document, environment
from tests.images.container import Container, Engine, hand_over


class Pod:
    """A pod as the Deployment ``deployment`` describes it. Its volumes, all of them emptyDirs, are in ``folder``.
    ``number``, 0 to 255, makes its address. ``note`` is told what happens to it."""

    def __init__(
        self, engine: Engine, deployment: Document, name: str, number: int, folder: Path, note: Callable[[str], None]
    ) -> None:
        self.name = name
        self._engine = engine
        self._spec = deployment["spec"]["template"]["spec"]
        self._folder = folder
        self._tell = note
        self._outside, self.address = f"198.18.{number}.1", f"198.18.{number}.2"
        self._namespace = self._link = f"hashlake-{name}"
        self._leaving = Event()
        self._ready: dict[str, bool] = {each["name"]: False for each in self._spec["containers"]}
        self._containers: dict[str, Container] = {}
        self._threads = ThreadPoolExecutor(8)  # two for each container, and one for each at the end
        self._watched: list[Future[None]] = []

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)
        inside = ("ip", "-n", self._namespace)
        for command in (
            ("ip", "netns", "add", self._namespace),
            ("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self._namespace),
            ("ip", "address", "add", f"{self._outside}/30", "dev", self._link),
            ("ip", "link", "set", self._link, "up"),
            (*inside, "address", "add", f"{self.address}/30", "dev", "eth0"),
            (*inside, "link", "set", "eth0", "up"),
            (*inside, "link", "set", "lo", "up"),
        ):
            subprocess.run(command, check=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._leaving.set()
        for name, container in self._containers.items():
            if error is not None:
                print(f"--- {name}\n{container.logs()}")
            container.__exit__(None, None, None)
        self._threads.shutdown()
        subprocess.run(["ip", "netns", "delete", self._namespace], check=True)

    def _note(self, text: str) -> None:
        self._tell(f"{self.name}: {text}")

    @property
    def ready(self) -> bool:
        """Whether requests may be sent to it. Raises AssertionError if it had to be started again."""
        for each in self._watched:
            if each.done():
                each.result()
        return all(self._ready.values())

    def port(self, name: str) -> int:
        found: int = next(
            port["containerPort"] for each in self._spec["containers"] for port in each["ports"] if port["name"] == name
        )
        return found

    def start(self) -> None:
        """Run the init containers, start the containers, and look after them from now on."""
        for spec in self._spec["initContainers"]:
            with self._make(spec) as container:
                container.start()
                assert container.wait() == 0, container.logs()
            self._note(f"init container {spec['name']}: done")
        for spec in self._spec["containers"]:
            self._containers[spec["name"]] = self._make(spec)
            self._containers[spec["name"]].start()
            self._note(f"{spec['name']}: started")
            self._watched.append(self._threads.submit(self._look_after, spec))

    def delete(self) -> dict[str, int]:
        """preStop and SIGTERM; the exit status of each container. It stays ready for whoever hasn't heard of it."""
        self._leaving.set()
        names = list(self._containers)
        return dict(zip(names, self._threads.map(self._end, self._spec["containers"]), strict=True))

    def _make(self, spec: Document) -> Container:
        mounts = {
            hand_over(self._folder / mount["name"] / mount.get("subPath", "")): mount["mountPath"]
            for mount in spec["volumeMounts"]
        }
        return Container(
            self._engine,
            spec["image"],
            *spec["args"],
            mounts=mounts,
            environment=environment(spec),
            entrypoint=spec.get("command", ()),
            network=Path("/run/netns") / self._namespace,
        )

    def _look_after(self, spec: Document) -> None:
        for started in self._changes(spec, "startup"):
            assert started, f"{spec['name']} doesn't start"
            break
        if "readinessProbe" in spec:
            self._watched.append(self._threads.submit(self._keep_ready, spec))
        else:
            self._ready[spec["name"]] = True
        for alive in self._changes(spec, "liveness"):
            assert alive, f"{spec['name']} would be started again"

    def _keep_ready(self, spec: Document) -> None:
        for ready in self._changes(spec, "readiness"):
            self._ready[spec["name"]] = ready

    def _changes(self, spec: Document, kind: str) -> Iterator[bool]:
        """What the probe ``kind`` says, whenever it says something else, until the pod is deleted."""
        probe, name = spec[f"{kind}Probe"], spec["name"]
        said: bool | None = None
        asked = failed = 0
        while not self._leaving.is_set():
            began = time.monotonic()
            asked += 1
            good = self._ask(spec, probe)
            failed = 0 if good else failed + 1
            if good != said and (good or failed >= probe["failureThreshold"]):
                said = good
                self._note(f"{name}: {kind} probe {'succeeds' if good else 'fails'}, when asked the {_nth(asked)} time")
                yield good
            self._leaving.wait(began + probe["periodSeconds"] - time.monotonic())

    def _ask(self, spec: Document, probe: Document) -> bool:
        seconds = probe.get("timeoutSeconds", 1)
        if "exec" in probe:
            return self._containers[spec["name"]].succeeds(probe["exec"]["command"], seconds)
        get = probe["httpGet"]
        connection = http.client.HTTPConnection(self.address, self.port(get["port"]), timeout=seconds)
        try:
            connection.request("GET", get["path"])
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _end(self, spec: Document) -> int:
        name, container = spec["name"], self._containers[spec["name"]]
        began, grace = time.monotonic(), self._spec["terminationGracePeriodSeconds"]
        command = spec["lifecycle"]["preStop"]["exec"]["command"]
        assert container.succeeds(command, grace), f"{name}: preStop failed"
        self._note(f"{name}: preStop ({' '.join(command)}) is over, SIGTERM")
        status = container.stop(int(began + grace - time.monotonic()))
        self._note(f"{name}: exit status {status}")
        return status


def _nth(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")

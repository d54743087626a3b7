"""A rolling update as the chart's Deployment makes it, from one image with its index to the next:
``python -m tests.images.rolling WORK OLD NEW``, images with the tags of their index versions.

    old pod ready → new pod started → new pod ready → old pod leaves → SIGTERM → exit

Meanwhile clients ask without a pause, half of them the inference port, half of them the gateway, each time over a new
connection to a pod that is ready. Nodes of a cluster hear late that a pod leaves: so do the clients here, who send it
large pictures at the last moment. Every request must be answered. What happens is printed with its time, counted from
the start of the update.
"""

import base64
import http.client
import itertools
import json
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.chart import Document, only, render
from tests.images.container import Engine
from tests.images.pod import Pod
from tests.images.proof import NAMES, picture, slow_picture, wait

CLIENTS = ("inference", "inference", "gateway", "gateway")
#: So long after it was deleted, a pod still gets requests; preStop must be longer.
LATE_SECONDS = 3.0
LARGE_PICTURES = 12
#: Requests before and after the update.
CALM_SECONDS = 3.0


class Timeline:
    def __init__(self) -> None:
        self._began = time.monotonic()

    def begin(self) -> None:
        """Count from now on."""
        self._began = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def note(self, text: str) -> None:
        print(f"t{self.seconds():+6.1f} s  {text}", flush=True)


@dataclass(frozen=True)
class Answer:
    """``seconds``: when it came; ``took``: how long that was after the request. ``failure``: empty if it is right."""

    pod: str
    port: str
    seconds: float
    took: float
    version: str
    failure: str


class Service:
    """The pods that requests go to, and the clients who send them."""

    def __init__(self, timeline: Timeline) -> None:
        self.pods: list[Pod] = []
        self.answers: list[Answer] = []
        self._timeline = timeline
        self._turn = itertools.count()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def open(self, pool: ThreadPoolExecutor) -> list[Future[None]]:
        """Start the clients, who ask until ``close``."""
        return [pool.submit(self._ask_on, port) for port in CLIENTS]

    def close(self) -> None:
        self._closed.set()

    def _ask_on(self, port: str) -> None:
        body = query(picture(7))
        while not self._closed.is_set():
            ready = [pod for pod in tuple(self.pods) if pod.ready]
            assert ready, "no pod is ready"
            self.ask(ready[next(self._turn) % len(ready)], port, body, NAMES[7])

    def ask(self, pod: Pod, port: str, body: bytes, expected: str | None = None) -> None:
        """Send ``pod`` a query; right is an answer that has ``expected``, if it is given, at its head."""
        connection = http.client.HTTPConnection(pod.address, pod.port(port), timeout=60)
        began, version, failure = self._timeline.seconds(), "", ""
        try:
            connection.request("POST", "/predictions/image-retrieval-v1.0", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read().decode()
            if response.status != http.client.OK:
                failure = f"{response.status}: {said}"
            else:
                answer = json.loads(said)
                version = answer["index_database_version"]
                failure = said if expected and answer["relevant"][0] != expected else ""
        except (OSError, http.client.HTTPException) as error:
            failure = repr(error)
        finally:
            connection.close()
        now = self._timeline.seconds()
        with self._lock:
            first = not any(each.pod == pod.name and bool(each.failure) == bool(failure) for each in self.answers)
            self.answers.append(Answer(pod.name, port, now, now - began, version, failure))
        if first:
            said = f"failure, at the port {port}: {failure}" if failure else f"answer, from version {version}"
            self._timeline.note(f"{pod.name}: first {said}")


def query(image: bytes) -> bytes:
    return json.dumps({"image": base64.b64encode(image).decode(), "top_k": 3, "rank": "detail"}).encode()


def deployment(image: str) -> Document:
    """The chart's, of an image with its index."""
    repository, _, tag = image.rpartition(":")
    values = {"store": {"mode": "baked"}, "image": {"repository": repository, "tag": tag}}
    return only(render(values), "Deployment")


def update(engine: Engine, work: Path, images: tuple[str, str], timeline: Timeline, pool: ThreadPoolExecutor) -> None:
    service = Service(timeline)
    old, new = (
        Pod(engine, deployment(image), name, number, work / "pods" / name, timeline.note)
        for number, (name, image) in enumerate(zip(("old", "new"), images, strict=True))
    )
    large = query(slow_picture())
    with old, new:
        old.start()
        wait(lambda: old.ready, "old pod")
        service.pods.append(old)
        clients = service.open(pool)
        time.sleep(CALM_SECONDS)

        timeline.begin()
        try:
            new.start()
            wait(lambda: new.ready, "new pod")
            service.pods.append(new)
            timeline.note("new: ready, gets requests")

            timeline.note("old: deleted")
            ended = pool.submit(old.delete)
            time.sleep(LATE_SECONDS)
            last = [pool.submit(service.ask, old, "inference", large) for _ in range(LARGE_PICTURES)]
            time.sleep(0.2)  # they are with the pod
            service.pods.remove(old)
            timeline.note(f"old: gets no more requests; the last {LARGE_PICTURES} are large pictures")
            for each in last:
                each.result()
            timeline.note("old: the last of them is answered")
            statuses = ended.result()
            time.sleep(CALM_SECONDS)
        finally:
            service.close()
    for each in clients:
        each.result()
    report(service.answers)
    tags = [image.rpartition(":")[2] for image in images]
    assert {(each.pod, each.version) for each in service.answers} == set(zip(("old", "new"), tags, strict=True))
    assert statuses == {"serve": 0, "admin": 0}, statuses


def report(answers: list[Answer]) -> None:
    """What the clients saw since the update began. Raises AssertionError unless every answer is right."""
    since = sorted((each for each in answers if each.seconds >= 0), key=lambda each: each.seconds)
    failed = [each for each in answers if each.failure]
    times = [each.seconds for each in since]
    pause = max(after - before for before, after in itertools.pairwise(times))
    print(
        f"clients: {len(CLIENTS)}; requests: {len(since)}, failed: {len(failed)}; longest time without an answer: "
        f"{pause:.2f} s"
    )
    for pod in ("old", "new"):
        its = [each for each in since if each.pod == pod]
        doors = Counter(each.port for each in its)
        took = sorted(each.took for each in its)
        print(
            f"{pod}: {len(its)} answers from version {', '.join(sorted({each.version for each in its}))}, "
            f"{doors['inference']} of them at the inference port, {doors['gateway']} at the gateway; "
            f"t{its[0].seconds:+.1f} s to t{its[-1].seconds:+.1f} s; median {took[len(took) // 2] * 1000:.0f} ms, "
            f"slowest {took[-1]:.1f} s"
        )
    assert not failed, failed[:3]
    assert {each.port for each in since} == set(CLIENTS)


def main() -> None:
    work, images = Path(sys.argv[1]), (f"localhost/{sys.argv[2]}", f"localhost/{sys.argv[3]}")
    print(f"rolling update: {images[0]} to {images[1]}")
    with ThreadPoolExecutor(len(CLIENTS) + LARGE_PICTURES + 1) as pool:
        update(Engine(work), work, images, Timeline(), pool)


if __name__ == "__main__":
    main()

"""What an image of searcher/Dockerfile does: ``python -m tests.images.proof WORK plain|baked IMAGE``.

    plain    version → index → serve a mounted store → follow a version → admin, search → SIGTERM, requests under way
    baked    serve without any volume

searcher/test_images.sh builds the images, keeps them in the folder WORK, and calls this. The index that ``plain``
publishes there is the one that is then baked in.
"""

import io
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import numpy as np
from PIL import Image

from hashlake.version import __version__
from tests.images.container import Engine, Serving, hand_over, image_size, run

MODEL = "torchscripts_models/relahash-general-64bits.pt"
NAMES = [f"lake/{number:02d}.png" for number in range(40)]
VERSION = "1.5.0"

_KERNELS = "from pathlib import Path; print(sorted(p.name for p in Path({!r}).rglob('*') if p.is_file()))"
_PROCESSES = """
from pathlib import Path
stats = [path.read_text().rpartition(")")[2].split()[0] for path in Path("/proc").glob("[0-9]*/stat")]
print(len(stats), stats.count("Z"))
"""
_WRITES = """
import errno, os
for folder in ("/", "/app", "/opt/venv", "/data", "/data/index_store", "/usr/local"):
    try:
        open(folder + "/written", "w")
    except OSError as error:
        assert error.errno in (errno.EROFS, errno.EACCES), error
    else:
        raise SystemExit(folder + " can be written to")
print(os.getuid(), os.getgid(), open("/proc/1/comm").read().strip())
"""


def picture(number: int) -> bytes:
    """A PNG of coarse coloured patches, another one for each number."""
    patches = np.random.default_rng(number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(patches).resize((240, 240), Image.Resampling.NEAREST).save(stream, "PNG")
    return stream.getvalue()


def slow_picture() -> bytes:
    """81 million pixels in a small file: about a second of work."""
    stream = io.BytesIO()
    Image.new("L", (9000, 9000), 200).save(stream, "PNG")
    return stream.getvalue()


def plain(engine: Engine, image: str, work: Path) -> None:
    said = run(engine, image, "version")
    assert said == f"hashlake, version {__version__}", said
    print(f"version: {said}")

    for name in ("datalake", "index_store", "run", "state"):
        shutil.rmtree(work / name, ignore_errors=True)
    (work / "datalake" / "lake").mkdir(parents=True)
    store = hand_over(work / "index_store")
    publish(engine, image, work, VERSION, NAMES[:-1])
    print(f"index: published {VERSION}, {len(NAMES) - 1} pictures")

    ports = None
    mounts = {store: "/data/index_store:ro", hand_over(work / "run"): "/run/hashlake"}
    with Serving(engine, image, "serve", mounts=mounts) as serve:
        seconds, answer = serve.first_answer(picture(7))
        assert answer["index_database_version"] == VERSION and answer["relevant"][0] == NAMES[7], answer
        print(f"serve: first answer {seconds:.1f} s after the start, from a mounted store")
        ports = serve.ports
        inside(serve)
        follow(engine, image, work, serve)
        gateway(engine, image, work, ports)
        stop(serve)

    with Serving(engine, image, "serve") as empty:
        empty.start()
        wait(lambda: "hashlake is ready" in empty.logs(), "serve without a version")
        assert not empty.healthcheck()
    print("health: a server with no version to answer from is unhealthy")


def inside(serve: Serving) -> None:
    """User, process 1, what can be written, what numba has taken from the image, readiness."""
    assert serve.python(_WRITES) == "10001 10001 tini"
    print("inside: user 10001, process 1 is tini, nothing but /tmp can be written to")
    baked, used = (serve.python(_KERNELS.format(folder)) for folder in ("/app/numba_cache", "/tmp/numba_cache"))
    assert baked == used != "[]", f"compiled at the start: {used}, in the image: {baked}"
    print(f"numba: {baked.count('.nbc')} kernels came from the image, none was compiled")
    assert serve.healthcheck()
    processes, zombies = serve.python(_PROCESSES).split()
    assert zombies == "0"
    print(f"health: a real query is answered; {processes} processes, no zombie")


def follow(engine: Engine, image: str, work: Path, serve: Serving) -> None:
    """Another container publishes; every request meanwhile is answered by the one version or the other."""
    done = Event()
    versions: list[str] = []

    def ask() -> None:
        while not done.is_set():
            response = serve.ask(picture(7))
            assert response.status_code == httpx.codes.OK, response.text
            versions.append(response.json()["index_database_version"])

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask)
        try:
            publish(engine, image, work, "1.6.0", NAMES)
            time.sleep(2)
        finally:
            done.set()
        asking.result()
    assert versions == sorted(versions) and set(versions) == {VERSION, "1.6.0"}, versions
    assert serve.ask(picture(39)).json()["relevant"][0] == NAMES[39]
    print(f"follow: 1.6.0 was published meanwhile; {len(versions)} requests, every one answered, {VERSION} before it")


def gateway(engine: Engine, image: str, work: Path, ports: list[int]) -> None:
    mounts = {work / "index_store": "/data/index_store", hand_over(work / "state"): "/data/gateway_state"}
    mounts[work / "datalake"] = "/datalake:ro"
    mounts[work / "run"] = "/run/hashlake"
    with Serving(engine, image, "admin", mounts=mounts, ports=ports) as admin:
        admin.start()
        wait(admin.healthcheck, "admin")
        ready = httpx.get(f"{admin.gateway}/readyz", trust_env=False, timeout=60).json()
        assert ready["version"] == "1.6.0" and len(ready["workers"]) == 2, ready
        admin.signal("TERM")
        status = admin.wait()
        assert status == 0, status
    print("admin: /readyz says that both workers answer from 1.6.0; SIGTERM, exit status 0")

    (work / "photo.png").write_bytes(picture(3))
    mounts = {work / "index_store": "/data/index_store:ro", work / "photo.png": "/photo.png:ro"}
    said = run(engine, image, "search", "/photo.png", "--model_path", MODEL, "--rank", "detail", mounts=mounts)
    assert said.split()[:2] == ["0", NAMES[3]], said
    print("search: finds the picture")


def stop(serve: Serving) -> None:
    """SIGTERM while requests are under way."""
    slow = slow_picture()
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(serve.ask, slow) for _ in range(6)]
        time.sleep(1)
        under_way = sum(not each.done() for each in asked)
        began = time.monotonic()
        serve.signal("TERM")
        status = serve.wait()
        seconds = time.monotonic() - began
        failed = [why for each in asked if (why := failure(each))]
    assert status == 0, status
    assert under_way and not failed, f"of {under_way} requests under way {len(failed)} failed: {failed[:2]}"
    print(f"stop: SIGTERM with {under_way} requests under way, all answered; exit status 0 after {seconds:.1f} s")


def failure(asked: Future[httpx.Response]) -> str:
    """Why a request was not answered; empty if it was."""
    error = asked.exception()
    if error is not None:
        return repr(error)
    response = asked.result()
    return "" if response.status_code == httpx.codes.OK else response.text


def baked(engine: Engine, image: str) -> None:
    with Serving(engine, image, "serve") as serve:
        seconds, answer = serve.first_answer(picture(7))
        assert answer["index_database_version"] == VERSION and answer["relevant"][0] == NAMES[7], answer
        assert serve.healthcheck()
        serve.signal("TERM")
        assert serve.wait() == 0
    print(f"baked: answers from {VERSION} without a volume, first answer {seconds:.1f} s after the start")


def publish(engine: Engine, image: str, work: Path, version: str, names: list[str]) -> None:
    """Index the pictures ``names`` with the image's own indexer."""
    lake = work / "datalake"
    for number, name in enumerate(names):
        (lake / name).write_bytes(picture(number))
    (lake / "database_info.txt").write_text("".join(f"{name}\n" for name in names))
    words = ["index", "--database", "/datalake/database_info.txt", "--datalake_root", "/datalake"]
    words += ["--model_path", MODEL, "--new_index_database_version", version]
    run(engine, image, *words, mounts={lake: "/datalake:ro", work / "index_store": "/data/index_store"})


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not after two minutes"
        time.sleep(0.2)


def main() -> None:
    work, mode, image = Path(sys.argv[1]), sys.argv[2], f"localhost/{sys.argv[3]}"
    engine = Engine(work)
    print(f"{image}: {image_size(engine, image) / 1e6:,.0f} MB, unpacked")
    if mode == "plain":
        plain(engine, image, work)
    else:
        baked(engine, image)


if __name__ == "__main__":
    main()

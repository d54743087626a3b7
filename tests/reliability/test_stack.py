"""A whole stack under load: too many clients, processes that die or stop, clients that hold what they have begun; and
its doors that aren't the gateway's (test_doors.py)."""

import asyncio
import base64
import itertools
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from statistics import median

import httpx
import psutil
import pytest

from embedding.torchscript import TorchScriptEmbedder
from handler.archive import build_archive
from searcher.versions.store import IndexStore
from tests.fakes import png_of
from tests.handler.server import Server
from tests.hashlake.command import hashlake
from tests.reliability.campaign import Sizes, Tell
from tests.reliability.clients import Asking, Heard
from tests.versions import publish

_WORKER, _FRONTEND, _GATEWAY = "model_service_worker", "org.pytorch.serve.ModelServer", "hashlake admin"
_BACK_SECONDS = 180.0


@pytest.fixture(scope="module")
def server(grid_path: Path, grid: TorchScriptEmbedder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """TorchServe with two workers, and the gateway, under their supervisor."""
    folder = tmp_path_factory.mktemp("stack")
    store = IndexStore(folder / "index_store")
    publish(store, "1", grid, {f"{number}.png": number for number in range(50)}, folder / "lake")
    archive = build_archive(grid_path, folder / "model_store")
    with Server(store.folder, archive.parent, folder / "log", folder / "state", workers=2) as running:
        all_answer(running)
        yield running


def doors(server: Server) -> list[str]:
    """Where searches come in: at the gateway, and at TorchServe."""
    return [server.url.replace(f":{server.port}/", f":{port}/") for port in (server.gateway_port, server.port)]


def asking(url: str, clients: int) -> Asking:
    """Searches for picture 7, whose code no other picture has."""

    def check(answer: dict[str, object]) -> str | None:
        return None if answer == {"index_database_version": "1", "relevant": ["7.png"]} else f"wrong: {answer}"

    image = base64.b64encode(png_of(7)).decode()
    return Asking(url, f'{{"image": "{image}", "top_k": 1}}'.encode(), check, clients)


def all_answer(server: Server) -> None:
    """Returns as soon as both doors answer, and both workers are ready."""
    deadline = time.monotonic() + _BACK_SECONDS
    addresses = [f"http://127.0.0.1:{server.gateway_port}/readyz", f"http://127.0.0.1:{server.port}/ping"]
    while True:
        with suppress(httpx.TransportError):
            if all(server.client.get(address).status_code == 200 for address in addresses):
                return
        assert time.monotonic() < deadline, server.log.read_text(errors="replace")[-5000:]
        time.sleep(0.05)


def memory(server: Server) -> int:
    """MiB of all processes together, what they share counted once."""
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    return sum(each.memory_full_info().pss for each in family) >> 20


# --- Load


def test_more_clients_than_it_can_serve(server: Server, sizes: Sizes, tell: Tell) -> None:
    """64 clients are all served; four times as many as there is room for get an answer or a quick 503."""
    gateway = doors(server)[0]
    health: list[int] = []

    async def watched() -> None:
        end = time.monotonic() + sizes.load_seconds
        async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
            while time.monotonic() < end:
                health.append(
                    (await client.get(gateway.replace("/predictions/image-retrieval-v1.0", "/healthz"))).status_code
                )
                await asyncio.sleep(0.2)

    served = asyncio.run(asking(gateway, 64).until(watched))
    before = memory(server)
    crowded = asyncio.run(asking(gateway, 800).until(watched))
    after = memory(server)
    tell(
        f"64 clients: {described(served)}; 800: {described(crowded)}; {before} → {after} MiB; "
        f"/healthz {health.count(200)} of {len(health)}"
    )
    assert not served.wrong and not served.broken and set(served.statuses) == {200}
    assert not crowded.wrong and not crowded.broken and set(crowded.statuses) <= {200, 503}
    assert crowded.statuses[200] > 0
    assert set(health) == {200}
    assert after < before + 300
    all_answer(server)


def described(heard: Heard) -> str:
    parts = [
        f"{count:,} × {status}, p50 {heard.percentile(status, 50):.0f} p99 {heard.percentile(status, 99):.0f} ms"
        for status, count in sorted(heard.statuses.items())
    ]
    return ", ".join(parts)


# --- Faults

Fault = Callable[[Server], Awaitable[None]]


async def killed_worker(server: Server) -> None:
    server.child(_WORKER).kill()


async def killed_frontend(server: Server) -> None:
    server.child(_FRONTEND).kill()


async def killed_gateway(server: Server) -> None:
    server.child(_GATEWAY).kill()


async def stopped_worker(server: Server) -> None:
    """For longer than the gateway waits before it asks another one."""
    worker = server.child(_WORKER)
    worker.suspend()
    await asyncio.sleep(20)
    with suppress(psutil.NoSuchProcess):
        worker.resume()


async def half_bodies(server: Server) -> None:
    await held(
        server,
        b"POST /predictions/image-retrieval-v1.0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        300,
    )


async def half_headers(server: Server) -> None:
    await held(server, b"POST /predictions/image-retrieval-v1.0 HTTP/1.1\r\nHost: loc", 300)


async def idle_connections(server: Server) -> None:
    await held(server, b"", 600)


async def large_bodies(server: Server) -> None:
    """24 at once of 60 MiB, which are no pictures."""
    length = 60 << 20
    head = f"POST /api/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.gateway_port)
        with suppress(ConnectionError):
            writer.write(head)
            for _ in range(60):
                writer.write(bytes(1 << 20))
                await writer.drain()
            assert (await reader.readline()).split()[1] in {b"413", b"415", b"422", b"503", b"400"}
        writer.close()

    await asyncio.gather(*(send() for _ in range(24)))


async def held(server: Server, begun: bytes, connections: int) -> None:
    """For three seconds, so many connections on which ``begun`` was sent, at the gateway's door."""
    with ExitStack() as stack:
        for _ in range(connections):
            each = stack.enter_context(socket.create_connection(("127.0.0.1", server.gateway_port), timeout=60))
            each.sendall(begun)
        await asyncio.sleep(3)


#: What a client of the gateway may notice of each: broken connections only where the gateway itself was killed.
HOLDING: list[Fault] = [half_bodies, half_headers, idle_connections, large_bodies]
DYING: list[Fault] = [killed_worker, killed_gateway, killed_frontend, stopped_worker]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault" in metafunc.fixturenames:
        # In every run, tests/handler/test_server.py kills each process once.
        faults = HOLDING + DYING if metafunc.config.getoption("soak") else HOLDING
        metafunc.parametrize("fault", faults, ids=lambda fault: fault.__name__)


def test_faults_under_load(server: Server, fault: Fault, sizes: Sizes, tell: Tell) -> None:
    """Nobody hears anything wrong, and the service is back by itself."""
    heard, back = [], []
    for _ in range(sizes.deaths if fault in DYING else sizes.holds):

        async def happens() -> None:
            await asyncio.sleep(0.5)
            began = time.monotonic()
            await fault(server)
            await asyncio.to_thread(all_answer, server)
            back.append(time.monotonic() - began)

        heard.append(asyncio.run(asking(doors(server)[0], 4).until(happens)))
    wrong = [each for one in heard for each in one.wrong]
    statuses = sum((one.statuses for one in heard), start=heard[0].statuses - heard[0].statuses)
    broken = sum(one.broken for one in heard)
    tell(
        f"{len(heard)} times: {dict(statuses)}, {broken} broken off, "
        f"back after {median(back):.1f} s, {max(back):.1f} at most"
    )
    assert not wrong
    assert statuses[200] > 0 and set(statuses) <= {200, 503}
    assert fault is killed_gateway or broken == 0
    if fault in HOLDING:
        assert statuses[503] == 0


# --- Doors


def test_nothing_listens_but_what_should(server: Server, tell: Tell) -> None:
    family = psutil.Process(server.process.pid).children(recursive=True)
    found = {
        each.laddr for process in family for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN
    }
    assert {address.ip.removeprefix("::ffff:") for address in found} == {"127.0.0.1"}
    named = {server.port, server.gateway_port, server.metrics_port, server.grpc_port}
    ports = {address.port for address in found}
    assert named <= ports and len(ports - named) == 1  # gRPC's management, on a port that nobody is told
    tell(f"{len(found)} TCP ports, all on loopback")


#: What TorchServe answers at its inference port, whatever the method and the key. OPTIONS describes the API.
INFERENCE = {
    "/": 405, "/ping": 200, "/api-description": 200, "/predictions/image-retrieval-v1.0": 400, "/invocations": 400,
    "/explanations/image-retrieval-v1.0": 400, "/v1/models/image-retrieval-v1.0:predict": 400, "/predictions/x": 404,
}  # fmt: skip
MANAGEMENT = [
    "/models", "/models?url=image-retrieval-v1.0.mar&initial_workers=1", "/models/image-retrieval-v1.0", "//models",
    "/models/image-retrieval-v1.0?min_worker=0", "/models/image-retrieval-v1.0/1.0/set-default", "/workflows",
    "/metrics", "/token?type=management", "/predictions/../models", "/ping/../models", "/v2/models/stats",
]  # fmt: skip


def test_the_inference_port_asks_no_key_and_manages_nothing(server: Server, tell: Tell) -> None:
    """As docs/security.md says, which tells whom to open it to: nobody."""
    answer_of = {path: INFERENCE.get(path, 404) for path in (*INFERENCE, *MANAGEMENT)}
    key = "hlk_00000000_" + "k" * 32
    named = {"X-API-Key": key, "Authorization": f"Bearer {key}", "X-Hashlake-Secret": key}
    sent = [{}, *({name: value} for name, value in named.items())]
    before, counts = server.workers(), Counter[int]()
    for path, method, headers in itertools.product(answer_of, ("GET", "POST", "PUT", "DELETE", "OPTIONS"), sent):
        heard = server.client.request(method, f"http://127.0.0.1:{server.port}{path}", headers=headers).status_code
        counts[heard] += 1
        described = method == "OPTIONS" and answer_of[path] in (400, 405)
        assert heard == (200 if described else answer_of[path]), f"{method} {path} with {headers}"
    assert server.workers() == before
    assert [each["modelName"] for each in server.management.get("/models").json()["models"]] == ["image-retrieval-v1.0"]
    tell(f"{counts.total()} requests: {dict(sorted(counts.items()))}")


def test_no_secret_is_in_logs_or_process_lists(server: Server, tell: Tell) -> None:
    state = server.log.parent / "state"
    made = hashlake("keys", "create", "a key", "--role", "admin", "--state", state)
    key, secret = made.out.strip(), server.run.secret()
    gateway = f"http://127.0.0.1:{server.gateway_port}"
    for path in ("/api/versions", "/api/nothing", f"/api/versions?key={key[:8]}"):
        server.client.get(gateway + path, headers={"X-API-Key": key})
    server.client.post(gateway + "/api/reindex", content=b"{", headers={"Authorization": f"Bearer {key}"})
    server.client.post(server.url, json={"hash": ["!"]}, headers={"X-Hashlake-Secret": secret})
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    words = " ".join(word for each in family for word in [*each.cmdline(), *each.environ().values()])
    said = server.log.read_bytes().decode(errors="replace") + "".join(
        path.read_text(errors="replace") for path in state.rglob("*.log")
    )
    for hidden in (key, key.split("_", 2)[2], secret):
        assert hidden not in words and hidden not in said
    assert all(os.stat(path).st_mode & 0o077 == 0 for path in (server.run.path, server.run.secret_file))
    tell(f"{len(family)} processes and {len(said):,} characters of logs: none")


@pytest.fixture(autouse=True)
def _alive(server: Server) -> Iterator[None]:
    yield
    assert server.process.poll() is None
    with suppress(ProcessLookupError):
        os.kill(server.child(_WORKER).pid, signal.SIGCONT)

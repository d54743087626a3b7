"""The load of ``benchmarks.collections``: requests prepared beforehand, sent by another process."""

import itertools
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from typing import Any

import httpx

from benchmarks.photograph_site import photograph_url
from contract.names import SECRET_HEADER
from hashlake import Client

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def json_request(url: str, body: Any, key: str = "", secret: str = "") -> bytes:
    headers = {"X-API-Key": key, SECRET_HEADER: secret}
    return _written(httpx.Request("POST", url, json=body, headers=headers))


def form_request(url: str, fields: Mapping[str, str], files: Mapping[str, bytes], key: str = "") -> bytes:
    pictures = {name: ("picture", data) for name, data in files.items()}
    return _written(httpx.Request("POST", url, data=dict(fields), files=pictures, headers={"X-API-Key": key}))


def _written(request: httpx.Request) -> bytes:
    body = request.read()
    lines = [b"POST %s HTTP/1.1" % request.url.raw_path, *(b"%s: %s" % header for header in request.headers.raw)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def load(requests: list[bytes], port: int, clients: int, seconds: float | None = None) -> tuple[list[float], float]:
    """Send each of ``requests`` once, or all of them repeatedly for ``seconds``, over ``clients`` connections. Returns
    the latencies of the answered ones and the time taken, in seconds."""
    started = time.perf_counter()
    waiting: Iterator[bytes] = iter(requests) if seconds is None else itertools.cycle(requests)
    stop_at = float("inf") if seconds is None else started + seconds
    latencies: list[float] = []
    failed: list[Exception] = []

    def client() -> None:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while (begun := time.perf_counter()) < stop_at and (request := next(waiting, None)):
                    connection.sendall(request)
                    _receive(connection)
                    latencies.append(time.perf_counter() - begun)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return latencies, time.perf_counter() - started


def _receive(connection: socket.socket) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("the connection was closed before an answer")
        answer += data
    if not answer.startswith(b"HTTP/1.1 20"):
        raise RuntimeError(f"refused: {answer[:500]!r}")
    head, _, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    missing = (int(length[1]) if length else 0) - len(body)
    while missing > 0:
        missing -= len(connection.recv(missing))


def keep_adding(
    url: str, key: str, collection: str, site: int, pictures: int, turn: int,
    begun: Event, stop: Event, added: "SimpleQueue[tuple[int, float]]",
) -> None:  # fmt: skip
    """Add photographs of ``site`` by URL, as the client's ``add_bulk`` does, until ``stop``; then put how many were
    added, in how many seconds."""

    def urls() -> Iterator[str]:
        for number in itertools.count():
            if stop.is_set():
                return
            if number == 256:  # the first batch is on its way
                begun.set()
            yield photograph_url(site, turn + number // pictures, number % pictures)

    with Client(url, key) as client:
        started = time.perf_counter()
        outcome = client.collection(collection).add_bulk(urls())
        if outcome.failed or outcome.found:
            raise RuntimeError(f"not added: {outcome.failed[:3]}, {outcome.found} found")
        added.put((outcome.added, time.perf_counter() - started))

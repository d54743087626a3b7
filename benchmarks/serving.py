"""How fast a running server is, against the bare decode-and-hash loop on the same cores; see RESULTS.md.

    python -m benchmarks.serving FOLDER [--model_path MODEL.pt] [--seconds 8] [--runs 3]

Starts TorchServe itself, over an index of FOLDER, with the workers and batching that are shipped. Clients post the
folder's photographs as JSON with base64, the way most do, over kept-alive connections, from a process of their own.
The clients' cost is part of what two cores do: it is not taken out.
"""

import base64
import json
import multiprocessing
import re
import socket
import statistics
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import click
import numpy as np
import psutil

from benchmarks.bare import SUFFIXES, decode_and_hash_rate, read_pictures
from handler.archive import build_archive
from handler.torchserve import Settings, TorchServe
from hashing.cores import usable_cores
from hashing.model import HashModel
from hashing.picture import decode
from indexer.builder import Request, build
from indexer.listing import Listing
from searcher.store import IndexStore

PATH = "/predictions/image-retrieval-v1.0"
CLIENTS = (1, 4, 16)
STEPS = ("decode", "hash", "search")


def http_request(data: bytes, port: int) -> bytes:
    body = json.dumps({"image": base64.b64encode(data).decode(), "top_k": 10}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def load(requests: list[bytes], port: int, clients: int, seconds: float) -> list[float]:
    """Latencies in seconds of all requests that ``clients`` connections got answered. Runs in its own process."""
    latencies: list[float] = []
    stop_at = time.perf_counter() + seconds

    def client(start: int) -> None:
        own = []
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = start
            while (begun := time.perf_counter()) < stop_at:
                connection.sendall(requests[number % len(requests)])
                number += clients
                answer = connection.recv(65536)
                length = re.search(rb"content-length: (\d+)", answer)
                assert answer.startswith(b"HTTP/1.1 200") and length, answer[:300]
                missing = int(length.group(1)) - len(answer.partition(b"\r\n\r\n")[2])
                while missing > 0:
                    missing -= len(connection.recv(missing))
                own.append(time.perf_counter() - begun)
        latencies.extend(own)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies


def milliseconds_spent(port: int) -> dict[str, float]:
    """The handler's counters: pictures, and milliseconds by step."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return {
        name: sum(float(value) for value in re.findall(rf"^hashlake_{name}_total{{.*}} (\S+)$", text, re.MULTILINE))
        for name in ("pictures", *(f"{step}_milliseconds" for step in STEPS))
    }


def one_by_one(model: HashModel, files: list[bytes]) -> float:
    """Median seconds of decoding and hashing one picture at a time, in this process."""
    times = []
    for data in files[:300]:
        started = time.perf_counter()
        model.codes(decode(data, model.card.preprocessing)[None])
        times.append(time.perf_counter() - started)
    return statistics.median(times)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model_path", default="torchscripts_models/relahash-small-64bits.pt", type=click.Path(exists=True, path_type=Path)
)
@click.option("--seconds", default=8.0, show_default=True, help="Length of each measurement.")
@click.option("--runs", default=3, show_default=True)
@click.option("--workers", type=int, help="Worker processes.  [default: one a core]")
def main(folder: Path, model_path: Path, seconds: float, runs: int, workers: int | None) -> None:
    model = HashModel.load(model_path)
    files = read_pictures(folder)
    settings_workers = workers or usable_cores()
    with tempfile.TemporaryDirectory() as scratch:
        store = IndexStore(Path(scratch) / "index_store")
        listing = Path(scratch) / "database_info.txt"
        paths = (str(path.absolute()) for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
        listing.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        build(Request(store, "1.0.0", Listing(listing), Path("/")), model, tell=click.echo)
        archive = build_archive(model_path, Path(scratch) / "model_store")
        settings = Settings(
            "127.0.0.1", 18080, 18081, 18082, settings_workers, archive.parent, store.folder, Path("config.properties")
        )
        server = TorchServe(settings)
        server.start()
        try:
            server.wait_ready()
            requests = [http_request(data, settings.inference_port) for data in files[:1000]]
            measure(model, files, requests, settings, seconds, runs)
        finally:
            server.stop()


def measure(
    model: HashModel, files: list[bytes], requests: list[bytes], settings: Settings, seconds: float, runs: int
) -> None:
    context = multiprocessing.get_context("spawn")  # the load has a process of its own, as real clients have
    bare: list[float] = []
    lone: list[float] = []
    rates: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    p50s: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    p99s: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    with context.Pool(1) as pool:
        pool.apply(load, (requests, settings.inference_port, 16, 3.0))  # warm
        before = milliseconds_spent(settings.metrics_port)
        for _ in range(runs):
            bare.append(decode_and_hash_rate(model, files[:2000], 4))
            lone.append(one_by_one(model, files))
            for clients in CLIENTS:
                latencies = pool.apply(load, (requests, settings.inference_port, clients, seconds))
                rates[clients].append(len(latencies) / seconds)
                p50, p99 = np.percentile(latencies, (50, 99)) * 1000
                p50s[clients].append(p50)
                p99s[clients].append(p99)
        after = milliseconds_spent(settings.metrics_port)
    alone, limit = 1000 * statistics.median(lone), statistics.median(bare)
    click.echo(f"{usable_cores()} cores, {settings.workers} workers, median of {runs} runs of {seconds:.0f} s")
    click.echo(f"in-process: one picture {alone:.1f} ms; all cores {limit:.0f} pictures/s")
    for clients in CLIENTS:
        rate, p50, p99 = (statistics.median(each[clients]) for each in (rates, p50s, p99s))
        click.echo(
            f"{clients:3} clients: {rate:5.0f}/s ({rate / limit:.0%} of the bare loop)  "
            f"p50 {p50:5.1f} ms (in-process + {p50 - alone:.1f})  p99 {p99:5.1f} ms"
        )
    pictures = after["pictures"] - before["pictures"]
    steps = ", ".join(
        f"{step} {(after[f'{step}_milliseconds'] - before[f'{step}_milliseconds']) / pictures:.2f} ms" for step in STEPS
    )
    click.echo(f"in the workers, a picture: {steps}")
    for process in psutil.process_iter(["cmdline"]):
        if any("model_service_worker" in part for part in process.info["cmdline"] or ()):
            memory = process.memory_full_info()
            click.echo(
                f"worker {process.pid}: {memory.rss / 2**20:.0f} MiB resident, {memory.uss / 2**20:.0f} MiB its own"
            )


if __name__ == "__main__":
    main()

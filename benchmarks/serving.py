"""How fast a running server is, compared with the bare decode-and-hash loop on the same cores; see RESULTS.md.

    python -m benchmarks.serving FOLDER [--model_path MODEL.pt] [--batching 4 1] [--workers 2]

Starts TorchServe over an index of FOLDER, with the shipped workers and batching. Clients post the folder's photographs
as JSON with base64, as most clients do, over kept-alive connections, from their own process. The clients share the two
cores, and their cost is not subtracted.
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
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool
from pathlib import Path

import click
import numpy as np
import psutil

from benchmarks.bare import decode_and_hash_rate, read_pictures
from embedding.cores import usable_cores
from embedding.torchscript import TorchScriptEmbedder
from handler.archive import build_archive
from handler.settings import Settings
from handler.torchserve import TorchServe
from indexer.builder import Request, build
from pictures.formats import SUFFIXES
from searcher.versions.store import IndexStore
from sources.folder import FolderSource
from sources.listing import Listing

PATH = "/predictions/image-retrieval-v1.0"
CLIENTS = (1, 4, 16)
STEPS = ("decode", "hash", "search")

#: The frontend compiles its hot paths in its first seconds under load.
WARM_SECONDS = 10.0


def http_request(data: bytes, port: int) -> bytes:
    body = json.dumps({"image": base64.b64encode(data).decode(), "top_k": 10}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def load(requests: list[bytes], port: int, clients: int, seconds: float) -> list[float]:
    """Returns latencies, in seconds, of all answered requests of ``clients`` connections. Runs in its own process."""
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
    """Returns the handler's counters: pictures, and milliseconds by step."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return {
        name: sum(float(value) for value in re.findall(rf"^hashlake_{name}_total{{.*}} (\S+)$", text, re.MULTILINE))
        for name in ("pictures", *(f"{step}_milliseconds" for step in STEPS))
    }


def one_by_one(model: TorchScriptEmbedder, files: list[bytes]) -> float:
    """Returns the median milliseconds to decode and hash one picture at a time, in this process."""
    times = []
    for data in files[:200]:
        started = time.perf_counter()
        model.embed(model.prepare(data)[None])
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def with_batching(archive: Path, batch_size: int, max_batch_delay: int) -> None:
    """Rewrite the archive's batching."""
    with zipfile.ZipFile(archive) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    contents["model-config.yaml"] = f"batchSize: {batch_size}\nmaxBatchDelay: {max_batch_delay}\n".encode()
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in contents.items():
            new.writestr(name, content)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model_path", default="torchscripts_models/relahash-small-64bits.pt", type=click.Path(exists=True, path_type=Path)
)
@click.option("--seconds", default=6.0, show_default=True, help="Length of each measurement.")
@click.option("--runs", default=3, show_default=True)
@click.option("--workers", type=int, help="Worker processes.  [default: one a core]")
@click.option("--batching", nargs=2, type=int, metavar="SIZE DELAY", help="Other batching than the archive's.")
def main(
    folder: Path, model_path: Path, seconds: float, runs: int, workers: int | None, batching: tuple[int, int] | None
) -> None:
    model = TorchScriptEmbedder.load(model_path)
    files = read_pictures(folder)
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(folder, model_path, Path(scratch), workers, batching) as settings,
    ):
        requests = [http_request(data, settings.inference_port) for data in files[:1000]]
        Measurement(model, files, requests, settings).run(seconds, runs)


@contextmanager
def serving(
    folder: Path,
    model_path: Path,
    scratch: Path,
    workers: int | None = None,
    batching: tuple[int, int] | None = None,
) -> Iterator[Settings]:
    """Yields a ready TorchServe over an index of ``folder``, made in ``scratch``."""
    store = IndexStore(scratch / "index_store")
    listing = scratch / "database_info.txt"
    paths = (str(path.absolute()) for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
    listing.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    build(
        Request(store, "1.0.0", FolderSource(Path("/"), Listing(listing))),
        TorchScriptEmbedder.load(model_path),
        tell=click.echo,
    )
    archive = build_archive(model_path, scratch / "model_store")
    if batching:
        with_batching(archive, *batching)
    settings = Settings(
        host="127.0.0.1",
        inference_port=18080,
        metrics_port=18082,
        workers=workers or usable_cores(),
        model_store=archive.parent,
        index_store=store.folder,
        config=Path("config.properties"),
    )
    server = TorchServe(settings)
    server.start()
    try:
        server.wait_ready()
        yield settings
    finally:
        server.stop()
        settings.run.remove()


class Measurement:
    """Bare loops and loads take turns, so that each ratio compares neighbours in time."""

    def __init__(
        self, model: TorchScriptEmbedder, files: list[bytes], requests: list[bytes], settings: Settings
    ) -> None:
        self.model, self.files, self.requests, self.settings = model, files, requests, settings
        self.bare: list[float] = []
        self.alone: list[float] = []
        self.figures: dict[int, list[tuple[float, ...]]] = {clients: [] for clients in CLIENTS}
        self.steps: dict[str, float] = dict.fromkeys(STEPS, 0.0)

    def run(self, seconds: float, runs: int) -> None:
        context = multiprocessing.get_context("spawn")  # the load runs in its own process, like real clients
        with context.Pool(1) as pool:
            pool.apply(load, (self.requests, self.settings.inference_port, 16, WARM_SECONDS))
            for _ in range(runs):
                for clients in CLIENTS:
                    self.bare.append(decode_and_hash_rate(self.model, self.files[:1000], 4))
                    self.alone.append(one_by_one(self.model, self.files))
                    self.load(pool, clients, seconds)
        self.say(seconds, runs)

    def load(self, pool: Pool, clients: int, seconds: float) -> None:
        idle, cpu, counted = psutil.cpu_times().idle, cpu_seconds(), milliseconds_spent(self.settings.metrics_port)
        latencies = pool.apply(load, (self.requests, self.settings.inference_port, clients, seconds))
        idle = (psutil.cpu_times().idle - idle) / seconds / usable_cores()
        spent = [1000 * (after - before) / len(latencies) for before, after in zip(cpu, cpu_seconds(), strict=True)]
        p50, p99 = np.percentile(latencies, (50, 99)) * 1000
        rate = len(latencies) / seconds
        self.figures[clients].append((rate, rate / self.bare[-1], p50, p50 - self.alone[-1], p99, idle, *spent))
        if clients == CLIENTS[-1]:
            now = milliseconds_spent(self.settings.metrics_port)
            for step in STEPS:
                name = f"{step}_milliseconds"
                self.steps[step] = (now[name] - counted[name]) / (now["pictures"] - counted["pictures"])

    def say(self, seconds: float, runs: int) -> None:
        alone, bare = statistics.median(self.alone), statistics.median(self.bare)
        click.echo(f"{usable_cores()} cores, {self.settings.workers} workers, median of {runs} runs of {seconds:.0f} s")
        click.echo(f"in-process: one picture {alone:.1f} ms; all cores {bare:.0f} pictures/s")
        for clients, figures in self.figures.items():
            rate, share, p50, added, p99, idle, frontend, workers, load = map(
                statistics.median, zip(*figures, strict=True)
            )
            click.echo(
                f"{clients:3} clients: {rate:4.0f}/s ({share:.0%} of the bare loop)  p50 {p50:4.1f} ms "
                f"(in-process + {added:.1f})  p99 {p99:4.1f} ms"
            )
            click.echo(
                f"     core ms a picture: workers {workers:.2f}, frontend {frontend:.2f}, clients {load:.2f}; "
                f"idle {idle:.0%}"
            )
        click.echo("in the workers: " + ", ".join(f"{step} {value:.2f} ms" for step, value in self.steps.items()))
        for name, word in (("a worker", "model_service_worker"), ("the frontend", "org.pytorch.serve.ModelServer")):
            for process in processes(word):
                memory = process.memory_full_info()
                click.echo(f"{name}: {memory.rss / 2**20:.0f} MiB resident, {memory.uss / 2**20:.0f} MiB of its own")


def processes(word: str) -> list[psutil.Process]:
    return [
        each for each in psutil.process_iter(["cmdline"]) if any(word in part for part in each.info["cmdline"] or ())
    ]


def cpu_seconds() -> list[float]:
    """Returns the CPU seconds so far: frontend, workers, load."""
    return [
        sum(sum(each.cpu_times()[:2]) for each in processes(word))
        for word in ("org.pytorch.serve.ModelServer", "model_service_worker", "multiprocessing.spawn")
    ]


if __name__ == "__main__":
    main()

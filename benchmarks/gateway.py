"""What passing through the gateway adds to TorchServe's own answer; see RESULTS.md.

    python -m benchmarks.gateway FOLDER [--model_path MODEL.pt] [--before CHECKOUT]

One client process sends the same requests to TorchServe and to the gateway in front of it, in turn. All share the
machine's cores with the clients, so the summed cost of a request bounds the rate. ``--before`` also runs the gateway of
another checkout of this project, with the Python in its ``.venv``: one that manages TorchServe by its socket.
"""

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path

import click
import numpy as np
import psutil

from benchmarks.bare import read_pictures
from benchmarks.serving import WARM_SECONDS, http_request, load, serving
from handler.settings import Settings

_PORT = 18000
_BEFORE_PORT = 18001
_CLIENTS = (1, 4, 16)


@dataclass(frozen=True)
class Door:
    """A target of requests: a port, and the gateway's process if a gateway is behind it."""

    name: str
    port: int
    process: psutil.Process | None = None

    def cpu_seconds(self) -> float:
        """Returns the gateway's CPU seconds so far."""
        return sum(self.process.cpu_times()[:2]) if self.process else 0.0


@dataclass(frozen=True)
class Figures:
    """Requests a second, percentiles in ms, and core-milliseconds a request: the gateway's, and of all processes."""

    rate: float
    p50: float
    p99: float
    gateway: float
    all: float


@contextmanager
def gateway(
    settings: Settings, state: Path, name: str = "gateway", port: int = _PORT, checkout: Path = Path()
) -> Iterator[Door]:
    """Yields a listening ``hashlake admin`` of ``checkout``, in front of the TorchServe of ``settings``."""
    environment = os.environ | {
        "HASHLAKE_GATEWAY_PORT": str(port),
        "HASHLAKE_INFERENCE_PORT": str(settings.inference_port),
        "HASHLAKE_INDEX_STORE": str(settings.index_store),
        "HASHLAKE_MODEL_STORE": str(settings.model_store),
        "HASHLAKE_STATE": str(state),
    }
    python = str(checkout / ".venv" / "bin" / "python") if checkout != Path() else sys.executable
    process = subprocess.Popen([python, "-m", "hashlake", "admin"], env=environment, cwd=checkout)
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                    break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit("the gateway ended while starting") from None
                time.sleep(0.2)
        yield Door(name, port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model_path", default="torchscripts_models/relahash-small-64bits.pt", type=click.Path(exists=True, path_type=Path)
)
@click.option("--seconds", default=6.0, show_default=True, help="Length of each measurement.")
@click.option("--runs", default=5, show_default=True)
@click.option("--before", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Another checkout.")
def main(folder: Path, model_path: Path, seconds: float, runs: int, before: Path | None) -> None:
    files = read_pictures(folder)[:1000]
    context = multiprocessing.get_context("spawn")  # the load runs in its own process, like real clients
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = stack.enter_context(serving(folder, model_path, scratch))
        doors = [Door("TorchServe", settings.inference_port)]
        doors.append(stack.enter_context(gateway(settings, scratch / "state")))
        if before is not None:
            old = gateway(settings, scratch / "state_before", "before", _BEFORE_PORT, before.absolute())
            doors.append(stack.enter_context(old))
        pool = stack.enter_context(context.Pool(1))
        figures = _measure(pool, doors, files, seconds, runs)
    click.echo(f"median of {runs} runs of {seconds:.0f} s")
    for clients in _CLIENTS:
        direct, *passed = (_median(figures[clients, door.name]) for door in doors)
        for door, each in zip(doors, (direct, *passed), strict=True):
            click.echo(
                f"{clients:3} clients, {door.name:10}: {each.rate:4.0f}/s  p50 {each.p50:5.1f} ms  "
                f"p99 {each.p99:5.1f} ms  core ms a request {each.all:.2f}, the gateway's {each.gateway:.2f}"
            )
        for door in doors[1:]:
            pairs = list(zip(figures[clients, door.name], figures[clients, "TorchServe"], strict=True))
            click.echo(
                f"{clients:3} clients, {door.name:10}: "
                f"adds {statistics.median(one.p50 - other.p50 for one, other in pairs):.1f} ms at p50, "
                f"{statistics.median(one.p99 - other.p99 for one, other in pairs):.1f} ms at p99; "
                f"{statistics.median(one.rate / other.rate for one, other in pairs):.0%} of the rate; "
                f"{statistics.median(other.all / one.all for one, other in pairs):.0%} by processor time"
            )


def _measure(
    pool: Pool, doors: list[Door], files: list[bytes], seconds: float, runs: int
) -> dict[tuple[int, str], list[Figures]]:
    """Returns the figures of each run, by clients and door. Doors take turns, so ratios compare neighbours in time."""
    requests = {door.name: [http_request(data, door.port) for data in files] for door in doors}
    figures: dict[tuple[int, str], list[Figures]] = {}
    for door in doors:
        pool.apply(load, (requests[door.name], door.port, _CLIENTS[-1], WARM_SECONDS))
    for _ in range(runs):
        for clients in _CLIENTS:
            for door in doors:
                own, others = door.cpu_seconds(), _others_seconds(doors)
                latencies = pool.apply(load, (requests[door.name], door.port, clients, seconds))
                own, others = door.cpu_seconds() - own, _others_seconds(doors) - others
                p50, p99 = np.percentile(latencies, (50, 99)) * 1000
                spent = 1000 / len(latencies)
                figures.setdefault((clients, door.name), []).append(
                    Figures(len(latencies) / seconds, p50, p99, own * spent, (own + others) * spent)
                )
    return figures


def _others_seconds(doors: list[Door]) -> float:
    """Returns the CPU seconds so far of this process's children except the gateways: frontend, workers, load."""
    gateways = {door.process.pid for door in doors if door.process}
    started = psutil.Process().children(recursive=True)
    return sum(sum(each.cpu_times()[:2]) for each in started if each.pid not in gateways)


def _median(figures: list[Figures]) -> Figures:
    return Figures(*(statistics.median(vars(each)[name] for each in figures) for name in Figures.__annotations__))


if __name__ == "__main__":
    main()

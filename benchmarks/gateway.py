"""What passing through the gateway adds to TorchServe's own answer; see RESULTS.md.

    python -m benchmarks.gateway FOLDER [--model_path MODEL.pt]

The same requests, from the same client process, to TorchServe and to the gateway before it, in turn. Both share the
machine's cores with the clients.
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
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np

from benchmarks.bare import read_pictures
from benchmarks.serving import WARM_SECONDS, http_request, load, serving
from handler.torchserve import Settings

_GATEWAY_PORT = 18000
_CLIENTS = (1, 16)


@contextmanager
def gateway(settings: Settings, state: Path) -> Iterator[None]:
    """``hashlake admin`` before the TorchServe of ``settings``, listening."""
    environment = os.environ | {
        "HASHLAKE_GATEWAY_PORT": str(_GATEWAY_PORT),
        "HASHLAKE_INFERENCE_PORT": str(settings.inference_port),
        "HASHLAKE_MANAGEMENT_PORT": str(settings.management_port),
        "HASHLAKE_INDEX_STORE": str(settings.index_store),
        "HASHLAKE_MODEL_STORE": str(settings.model_store),
        "HASHLAKE_STATE": str(state),
    }
    process = subprocess.Popen([sys.executable, "-m", "hashlake", "admin"], env=environment)
    try:
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{_GATEWAY_PORT}/readyz"):
                    break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit("the gateway ended while starting") from None
                time.sleep(0.2)
        yield
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
def main(folder: Path, model_path: Path, seconds: float, runs: int) -> None:
    files = read_pictures(folder)[:1000]
    context = multiprocessing.get_context("spawn")  # the load has a process of its own, as real clients have
    with tempfile.TemporaryDirectory() as scratch, serving(folder, model_path, Path(scratch)) as settings:
        ports = {"TorchServe": settings.inference_port, "gateway": _GATEWAY_PORT}
        requests = {name: [http_request(data, port) for data in files] for name, port in ports.items()}
        figures: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
        with gateway(settings, Path(scratch) / "state"), context.Pool(1) as pool:
            for name, port in ports.items():
                pool.apply(load, (requests[name], port, _CLIENTS[-1], WARM_SECONDS))
            for _ in range(runs):
                for clients in _CLIENTS:
                    for name, port in ports.items():
                        latencies = pool.apply(load, (requests[name], port, clients, seconds))
                        p50, p99 = np.percentile(latencies, (50, 99)) * 1000
                        figures.setdefault((clients, name), []).append((len(latencies) / seconds, p50, p99))
    click.echo(f"median of {runs} runs of {seconds:.0f} s")
    for clients in _CLIENTS:
        direct, passed = (
            [statistics.median(each) for each in zip(*figures[clients, name], strict=True)] for name in ports
        )
        for name, (rate, p50, p99) in zip(ports, (direct, passed), strict=True):
            click.echo(f"{clients:3} clients, {name:10}: {rate:4.0f}/s  p50 {p50:5.1f} ms  p99 {p99:5.1f} ms")
        click.echo(
            f"{clients:3} clients: the gateway adds {passed[1] - direct[1]:.1f} ms at p50, "
            f"{passed[2] - direct[2]:.1f} ms at p99; {passed[0] / direct[0]:.0%} of the rate"
        )


if __name__ == "__main__":
    main()

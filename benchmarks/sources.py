"""How fast pictures come from each source, beside the local folder, and what memory that takes.

    python -m benchmarks.sources rates FOLDER --model_path MODEL.pt      files of FOLDER, from everywhere; medians, and
                                                                         the processor's time, which others don't change
    python -m benchmarks.sources keys 1000000                            listing so many keys
    python -m benchmarks.sources walk 200000                             listing a folder of so many files

Each run is a process of its own. The sources take turns, so that what else the machine does meets them all. Objects,
URLs and IIIF images come from benchmarks/object_store.py, a server of this machine, which shares its cores.
"""

import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import psutil

from benchmarks.sizes import peak
from sources.listing_writer import write_listing
from sources.registry import open_source


@contextmanager
def store(*arguments: str) -> Iterator[tuple[str, psutil.Process]]:
    """Yields the address of a running object store, with the environment set for it, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.object_store", str(port), *arguments]
    with subprocess.Popen(command) as process:
        url = f"http://127.0.0.1:{port}"
        os.environ |= {
            "S3_ENDPOINT": url, "S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b", "HASHLAKE_FETCH_ALLOW": "127.0.0.0/8",
        }  # fmt: skip
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.1)
            yield url, psutil.Process(process.pid)
        finally:
            process.kill()


class Indexed(NamedTuple):
    """So many images, in ``seconds`` by the clock and of the processor; the peak above what the model alone takes."""

    images: int
    seconds: float
    processor: float
    mib: int


def indexed(address: str, model_path: Path) -> Indexed:
    """Indexes what is at ``address``."""
    from embedding.registry import load_embedder
    from indexer.builder import Request, build
    from searcher.versions.store import IndexStore
    from tests.fakes import png_of

    model = load_embedder(model_path)
    model.embed(model.prepare(png_of(1, 256))[None])
    before = peak()
    with tempfile.TemporaryDirectory() as folder, open_source(address) as source:
        started, used = time.perf_counter(), time.process_time()
        report = build(Request(IndexStore(Path(folder)), "1", source), model, tell=lambda line: None)
        took, used = time.perf_counter() - started, time.process_time() - used
        return Indexed(report.manifest.count, took, used, peak() - before)


def listed(address: str) -> tuple[int, float, int]:
    """Lists what is at ``address`` and reads the list. Returns items, seconds, and the peak MiB above the start."""
    import sources.objects  # noqa: F401  (its library counts in neither)

    before, started = peak(), time.perf_counter()
    with open_source(address) as source:
        count = sum(1 for _ in source.items())
    return count, time.perf_counter() - started, peak() - before


def alone(function: Any, *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


@click.group()
def main() -> None:
    pass


@main.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model_path", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--runs", default=3)
def rates(folder: Path, model_path: Path, runs: int) -> None:
    files = sorted(folder.iterdir())
    with tempfile.TemporaryDirectory() as scratch, store(str(folder)) as (url, server):
        here = Path(scratch)
        with zipfile.ZipFile(here / "a.zip", "w") as archive:
            for file in files:
                archive.write(file, file.name)
        with tarfile.open(here / "a.tar", "w") as tar:
            for file in files:
                tar.add(file, file.name)
        (here / "urls.txt").write_text("".join(f"{url}/lake/{file.name}\n" for file in files))
        services = ({"id": f"{url}/i/{file.name}", "type": "ImageService3"} for file in files)
        bodies = ({"type": "Image", "service": [service]} for service in services)
        canvases = [{"id": f"c{number}", "items": [{"items": [{"body": body}]}]} for number, body in enumerate(bodies)]
        (here / "m.json").write_text(json.dumps({"type": "Manifest", "id": "m", "items": canvases}))
        addresses = {
            "folder": str(folder), "zip": str(here / "a.zip"), "tar": str(here / "a.tar"), "s3": "s3://lake",
            "urls": f"urls:{here}/urls.txt", "iiif": f"iiif:{here}/m.json",
        }  # fmt: skip
        found: dict[str, list[Indexed]] = {name: [] for name in addresses}
        served: dict[str, list[float]] = {name: [] for name in addresses}
        for _ in range(runs):
            for name, address in addresses.items():
                before = sum(server.cpu_times()[:2])
                found[name].append(alone(indexed, address, model_path))
                served[name].append(sum(server.cpu_times()[:2]) - before)
    for name, each in found.items():
        rate = statistics.median(one.images / one.seconds for one in each)
        ratio, of_processor = (
            statistics.median(
                getattr(base, what) / getattr(one, what) for one, base in zip(each, found["folder"], strict=True)
            )
            for what in ("seconds", "processor")
        )
        ours, theirs = (
            1000 * statistics.median(times) / each[0].images
            for times in ([one.processor for one in each], served[name])
        )
        memory = max(one.mib for one in each)
        click.echo(
            f"{name:7} {each[0].images:,} images, {rate:6.0f}/s, {ratio:.2f} of the folder's rate, {memory} MiB;"
        )
        click.echo(
            f"        {of_processor:.2f} of it in a second of the processor: {ours:.1f} ms a picture, and the server's "
            f"{theirs:.1f}"
        )


@main.command()
@click.argument("count", type=int)
def keys(count: int) -> None:
    with store("--keys", str(count)):
        found, seconds, mib = alone(listed, "s3://lake")
    click.echo(f"{found:,} keys in {seconds:.0f} s, {found / seconds:,.0f}/s, {mib} MiB above the start")


@main.command()
@click.argument("count", type=int)
@click.option("--runs", default=5)
def walk(count: int, runs: int) -> None:
    """A thousand files a folder, thirty folders a folder; empty, since a listing goes by names."""
    with tempfile.TemporaryDirectory() as scratch:
        lake = Path(scratch) / "lake"
        for number in range(count):
            folder = lake / f"{number // 30_000:03}" / f"{number // 1000:06}"
            if number % 1000 == 0:
                folder.mkdir(parents=True)
            (folder / f"IMG_{number:08}.jpg").touch()
        rates = []
        for _ in range(runs):
            started, used = time.perf_counter(), time.process_time()
            assert write_listing(str(lake), Path(scratch) / "listing.txt", click.echo) == count
            rates.append((count / (time.perf_counter() - started), count / (time.process_time() - used)))
    wall, processor = (statistics.median(each) for each in zip(*rates, strict=True))
    click.echo(f"{count:,} files, {wall:,.0f}/s; {processor:,.0f} in a second of the processor")


if __name__ == "__main__":
    main()

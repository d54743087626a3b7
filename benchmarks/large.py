"""A large version in several workers: ``python -m benchmarks.large PHOTO [--count 100000000]``.

publish a version of that many clustered codes in each mode
two processes open it at once: time to open and to warm up, and each one's own memory
one photograph through the handler: decode, hash, search
"""

import multiprocessing
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np

from benchmarks.codes import clustered
from contract.model import ModelIdentity
from contract.space import CODE
from embedding.torchscript import TorchScriptEmbedder
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from searcher.scan.ranking import Query, compile_kernels
from searcher.scan.table_builder import build_tables
from searcher.scan.tables import TABLE_FILES, Mode, write_tables
from searcher.versions.images import IMAGES_FILE, ImageTable
from searcher.versions.manifest import MANIFEST_FILE, FileEntry, Manifest, read_manifest
from searcher.versions.store import CURRENT_FILE, IndexStore
from searcher.versions.vectors import write_vectors

MODES: tuple[Mode, ...] = ("default", "unnecessary fast")
WORKERS = 2
ASKED = 200


class Sums(Metrics):
    """Keeps every duration instead of adding them up."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        self.kept.setdefault(name, []).append(value)


def publish(store: IndexStore, identity: ModelIdentity, count: int) -> None:
    """Publish a version for each mode, named after it; the second shares the first one's codes and images."""
    codes, _ = clustered(count, identity.bits, seed=0)
    for mode in MODES:
        folder = store.folder / _name(mode)
        folder.mkdir(parents=True)
        if mode == "default":
            random = np.random.default_rng(1)
            vectors = {
                space.name: codes if space.name == CODE else random.integers(0, 256, (count, space.columns), np.uint8)
                for space in identity.spaces
            }
            files = [*write_vectors(folder, identity.spaces, vectors).files, IMAGES_FILE]
            _write_images(folder / IMAGES_FILE, count)
        else:
            for file in files:
                (folder / file).hardlink_to(store.folder / _name("default") / file)
            write_tables(build_tables(codes), folder)
            files += TABLE_FILES
        # Checksums of gigabytes are left out: opening doesn't read them.
        entries = {file: FileEntry(size=(folder / file).stat().st_size, sha256="") for file in files}
        manifest = Manifest(
            version=folder.name, created=datetime.now(UTC), model=identity, count=count, skipped=0, mode=mode,
            files=entries,
        )  # fmt: skip
        (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())


def _name(mode: Mode) -> str:
    return mode.replace(" ", "-")


def _write_images(path: Path, count: int) -> None:
    ImageTable(path, writable=True).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "WITH RECURSIVE counter(row) AS (SELECT 0 UNION ALL SELECT row + 1 FROM counter WHERE row + 1 < ?)"
            " INSERT INTO images SELECT row, printf('data/%04d.example/%09d_product.jpg', row / 100000, row),"
            " 27000, 1700000000000000000 + row, randomblob(16) FROM counter",
            (count,),
        )


def worker(store: Path, name: str, pipe: Connection) -> None:
    """Open version ``name`` and answer from it while the other workers do."""
    model = read_manifest(store / name).model
    compile_kernels(model.spaces)
    before = memory()
    started = time.perf_counter()
    version = IndexStore(store).open(name)
    opened = time.perf_counter()
    version.warm_up()
    warm = time.perf_counter()
    queries = [Query({name: array[row] for name, array in version.vectors.items()}) for row in range(ASKED)]
    pipe.send((1000 * (opened - started), 1000 * (warm - opened)))
    pipe.recv()  # all workers have opened it
    for query in queries:
        version.search([query])
    pipe.send({key: value - before[key] for key, value in memory().items()})
    pipe.recv()  # all workers have measured


def memory() -> dict[str, float]:
    """Returns MiB by kind, from /proc/self/smaps_rollup."""
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    return {name.rstrip(":"): int(size) / 1024 for name, size, _ in lines}


def show_workers(store: IndexStore, mode: Mode) -> None:
    spawn = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(WORKERS):
        ours, theirs = spawn.Pipe()
        spawn.Process(target=worker, args=(store.folder, _name(mode), theirs)).start()
        pipes.append(ours)
    times = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send(None)
    grown = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send(None)
    for (opened, warm), more in zip(times, grown, strict=True):
        private = more["Private_Clean"] + more["Private_Dirty"]
        shared = more["Shared_Clean"] + more["Shared_Dirty"]
        click.echo(
            f"  a worker: open {opened:.1f} ms, warm up {warm:.0f} ms; +{more['Rss']:.0f} MiB resident, "
            f"of which private {private:.1f}, shared {shared:.0f}"
        )


def show_handler(store: IndexStore, model: TorchScriptEmbedder, photo: Path, mode: Mode) -> None:
    (store.folder / CURRENT_FILE).write_text(_name(mode) + "\n")
    metrics = Sums()
    retrieval = Retrieval(model, Served(store.folder, model.identity), metrics)
    totals = []
    request = {"image": photo.read_bytes(), "top_k": b"10", "debug": b"true"}
    for _ in range(ASKED + 1):
        started = time.perf_counter()
        (answer,) = retrieval.answer([request])
        totals.append(1000 * (time.perf_counter() - started))
        assert answer.status == 200, answer.body
    steps = {name: float(np.median(metrics.kept[f"{name}_milliseconds"])) for name in ("decode", "hash", "search")}
    total = float(np.median(totals))
    said = ", ".join(f"{name} {value:.2f}" for name, value in steps.items())
    click.echo(
        f"  one photograph through the handler: {total:.2f} ms ({said}); search is {steps['search'] / total:.0%}"
    )


@click.command()
@click.argument("photo", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--count", default=10_000_000, show_default=True, help="Images of the version.")
@click.option("--model_path", default="torchscripts_models/relahash-small-64bits.pt", show_default=True)
def main(photo: Path, count: int, model_path: str) -> None:
    """Open a large version in several workers, and ask it."""
    model = TorchScriptEmbedder.load(Path(model_path))
    model.warm_up(1)
    with TemporaryDirectory(prefix="large-", dir=Path.cwd()) as folder:
        store = IndexStore(Path(folder))
        publish(store, model.identity, count)
        for mode in MODES:
            click.echo(f"{count:,} images of {model.identity.bits} bits, mode {mode}")
            show_workers(store, mode)
            show_handler(store, model, photo, mode)


if __name__ == "__main__":
    main()

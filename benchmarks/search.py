"""Search against its peers: ``python -m benchmarks.search [--full] [--plot docs/search.svg]``.

    for uniform and clustered codes, 1 and 10 million (``--full``: 100 million too, for faiss and us)
        every contestant takes the codes, in its own process
        three rounds: each in turn answers queries one by one for a second
        for each: recall (share of answers no farther than NumPy's k-th), medians of the rounds' p50 and p99,
        build time, memory, and how many times faster than faiss IndexBinaryFlat it is

Peers come from ``pip install -r requirements-bench.lock``. A peer that is missing, doesn't start, or isn't built within
``--build_limit`` seconds is named with the reason.
"""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.codes import clustered, uniform
from benchmarks.peers import PEERS, Answer, FaissFlat, Peer
from searcher.scan.codes import write_codes
from searcher.scan.search import CodeIndex
from searcher.scan.table_builder import build_tables
from searcher.scan.tables import Mode, write_tables

BITS = 64
TOP_K = 10
BATCH = 64
CHECKED = 100
ROUNDS = 3
SECONDS_A_ROUND = 1.0


class Hashlake(Peer):
    """A version's files, mapped as a server maps them."""

    mode: Mode = "default"

    def build(self, codes: NDArray[np.uint8]) -> None:
        self.folder = TemporaryDirectory(prefix="hashlake-", dir=Path.cwd())
        folder = Path(self.folder.name)
        write_codes(codes, folder / "index.faiss")
        if self.mode == "unnecessary fast":
            write_tables(build_tables(codes), folder)
        self.index = CodeIndex.open(folder, count=len(codes), bits=8 * codes.shape[1], mode=self.mode)
        self.index.warm_up()

    def search(self, query: NDArray[np.uint8], k: int) -> Answer:
        (hits,) = self.index.search(query[None], k)
        return hits.distances, hits.rows

    def close(self) -> None:
        self.folder.cleanup()


class HashlakeFlat(Hashlake):
    name = "hashlake default"


class HashlakeFast(Hashlake):
    name = "hashlake unnecessary fast"
    mode = "unnecessary fast"


CONTESTANTS: tuple[type[Peer], ...] = (HashlakeFast, HashlakeFlat, *PEERS)


@dataclass
class Result:
    """One contestant's result on one set of codes: seconds, bytes, and each round's milliseconds per query."""

    name: str
    exact: bool
    setting: str
    recall: float
    right: bool
    build: float
    memory: int
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    batch: list[float] = field(default_factory=list)


def contest(contestant: type[Peer], folder: Path, pipe: Connection) -> None:
    """The life of a contestant's process: build, report, then run one round per message."""
    peer = contestant()
    try:
        codes, queries, truth = (np.load(folder / f"{name}.npy") for name in ("codes", "queries", "truth"))
        before = _memory(peer)
        started = time.perf_counter()
        peer.build(codes)
        build = time.perf_counter() - started
        peer.tune(queries[:CHECKED], truth[:CHECKED], TOP_K)
        truth = truth[CHECKED:]  # judged by other queries than it was tuned with
        found = [peer.search(query, TOP_K)[0] for query in queries[CHECKED : 2 * CHECKED]]
        near = sum(int((each <= limit).sum()) for each, limit in zip(found, truth[:, TOP_K - 1], strict=True))
        right = all(np.array_equal(each, limits) for each, limits in zip(found, truth, strict=True))
        memory = _memory(peer) - before
        pipe.send(Result(peer.name, peer.exact, peer.setting, near / truth.size, right, build, memory))
        while pipe.recv():
            times: list[float] = []
            until = time.perf_counter() + SECONDS_A_ROUND
            while time.perf_counter() < until or len(times) < 5:
                query = queries[len(times) % len(queries)]
                started = time.perf_counter()
                peer.search(query, TOP_K)
                times.append(1000 * (time.perf_counter() - started))
            batch = None
            if isinstance(peer, (Hashlake, FaissFlat)):
                started = time.perf_counter()
                peer.index.search(queries[:BATCH], TOP_K)
                batch = 1000 * (time.perf_counter() - started) / BATCH
            pipe.send((float(np.median(times)), float(np.quantile(times, 0.99)), batch))
    except (ImportError, RuntimeError, OSError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
    finally:
        peer.close()


def _memory(peer: Peer) -> int:
    """Returns the resident bytes of this process and the peer's servers; shared pages count once."""
    others = sum(psutil.Process(pid).memory_full_info().pss for pid in peer.processes())
    return int(psutil.Process().memory_info().rss + others)


def truth_of(codes: NDArray[np.uint8], queries: NDArray[np.uint8], k: int) -> NDArray[np.int64]:
    """Returns the ``k`` least distances of each query, ascending, by counting every bit in NumPy."""
    words, found = codes.view(np.uint64)[:, 0], []
    for query in queries.view(np.uint64)[:, 0]:
        distances = np.bitwise_count(words ^ query)
        enough = np.sort(distances[: 1 << 16])[k - 1]  # a part's k-th best is an upper bound
        found.append(np.sort(distances[distances <= enough])[:k])
    return np.stack(found).astype(np.int64)


def run(
    kind: str, make: Callable[..., Any], count: int, contestants: tuple[type[Peer], ...], build_limit: float
) -> list[Result]:
    """Run all contestants on one set of codes."""
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory(prefix="codes-", dir=Path.cwd()) as name:
        folder = Path(name)
        codes, queries = make(count, BITS, seed=0)
        np.save(folder / "codes.npy", codes)
        np.save(folder / "queries.npy", queries)
        np.save(folder / "truth.npy", truth_of(codes, queries[: 2 * CHECKED], TOP_K))
        del codes
        click.echo(f"\n{kind} codes, {count:,} of {BITS} bits, top {TOP_K}")
        ready: list[tuple[Result, Connection, Any]] = []
        for contestant in contestants:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=contest, args=(contestant, folder, theirs))
            process.start()
            answer = ours.recv() if ours.poll(build_limit) else f"not built within {build_limit:.0f} s"
            if isinstance(answer, Result):
                ready.append((answer, ours, process))
            else:
                click.echo(f"  {contestant.name}: left out: {answer}")
                for each in psutil.Process(process.pid).children(recursive=True):
                    each.kill()
                process.kill()
        for _ in range(ROUNDS):
            for result, pipe, _process in ready:
                pipe.send(True)
                p50, p99, batch = pipe.recv()
                result.p50.append(p50)
                result.p99.append(p99)
                if batch is not None:
                    result.batch.append(batch)
        for _result, pipe, process in ready:
            pipe.send(False)
            process.join()
    results = [result for result, _, _ in ready]
    show(results)
    return results


def show(results: list[Result]) -> None:
    reference = next(float(np.median(result.p50)) for result in results if result.name == FaissFlat.name)
    click.echo(f"  {'':34}{'p50 ms':>9}{'p99 ms':>9}{'batch':>8}{'faiss/it':>10}{'recall':>8}{'build s':>9}{'MiB':>7}")
    for result in sorted(results, key=lambda each: float(np.median(each.p50))):
        p50, p99 = float(np.median(result.p50)), float(np.median(result.p99))
        batch = f"{np.median(result.batch):8.3f}" if result.batch else " " * 8
        click.echo(
            f"  {result.name:34}{p50:9.3f}{p99:9.3f}{batch}{reference / p50:9.1f}×{result.recall:8.1%}"
            f"{result.build:9.1f}{result.memory >> 20:7}  {result.setting}"
            + ("" if result.right or not result.exact else "  WRONG DISTANCES")
        )


def plot(results: dict[tuple[str, int], list[Result]], path: Path) -> None:
    """Plot one bar per contestant and one panel per set of codes: median milliseconds per query, logarithmic."""
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.hashsalt": "hashlake", "svg.fonttype": "none"}
    count = max(count for _, count in results if len(results[_, count]) > len(PEERS) // 2)
    panels = [(kind, found) for (kind, each), found in results.items() if each == count]
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 4), sharex=True, layout="constrained", squeeze=False)
    for axis, (kind, found) in zip(axes[0], panels, strict=True):
        ordered = sorted(found, key=lambda each: -float(np.median(each.p50)))
        names = [each.name + ("" if each.exact else f" ({each.recall:.1%})") for each in ordered]
        times = [float(np.median(each.p50)) for each in ordered]
        colours = ["#1764ab" if each.name.startswith("hashlake") else "#b0b7bf" for each in ordered]
        bars = axis.barh(names, times, color=colours, log=True)
        axis.bar_label(bars, [f"{each:.3g}" for each in times], padding=3, fontsize=8)
        axis.set_title(f"{kind} codes", fontsize=10)
        axis.set_xlabel("median milliseconds a query, one core", fontsize=9)
        axis.margins(x=0.25)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"{count:,} codes of {BITS} bits, top {TOP_K} (recall in brackets where it isn't exact)", fontsize=11
    )
    figure.savefig(path, metadata={"Date": None})


@click.command()
@click.option("--full", is_flag=True, help="Also 100 million codes, for faiss IndexBinaryFlat and hashlake.")
@click.option("--size", "sizes", multiple=True, type=int, default=(1_000_000, 10_000_000), help="Codes; repeatable.")
@click.option("--build_limit", default=900.0, show_default=True, help="Seconds after which a peer is left out.")
@click.option("--without", multiple=True, help="Leave out the peer of this name; repeatable.")
@click.option("--plot", "picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the largest full size.")
def main(
    full: bool, sizes: tuple[int, ...], build_limit: float, without: tuple[str, ...], picture: Path | None
) -> None:
    """Compare hashlake's search with its peers."""
    contestants = tuple(each for each in CONTESTANTS if each.name not in without)
    results = {}
    for count in sizes:
        for kind, make in (("uniform", uniform), ("clustered", clustered)):
            results[kind, count] = run(kind, make, count, contestants, build_limit)
    if full:
        for kind, make in (("uniform", uniform), ("clustered", clustered)):
            run(kind, make, 100_000_000, (HashlakeFast, HashlakeFlat, FaissFlat), build_limit)
    if picture:
        plot(results, picture)


if __name__ == "__main__":
    main()

"""What a live collection costs, beside the figures that Idios publishes: ``python -m benchmarks.collections FOLDER``.

Each size gets its own stack: TorchServe, the gateway, and a web server of FOLDER's photographs. The collection's codes
are synthetic and restored over HTTP; the photographs are hashed. Compared loads take turns.

    restore ─▶ fold ─▶ (hash · add · search alone, while adding, while folding) × runs ─▶ list ─▶ goals
"""

import base64
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.pool import Pool
from operator import attrgetter
from pathlib import Path

import click
import numpy as np

from benchmarks.bare import decode_and_hash_rate, read_pictures
from benchmarks.codes import clustered, uniform
from benchmarks.live_load import form_request, json_request, keep_adding, load
from benchmarks.live_stack import LiveStack, Memory, live_stack
from benchmarks.photograph_site import photograph_site, photograph_url
from embedding.cores import usable_cores
from embedding.torchscript import TorchScriptEmbedder
from hashlake import Client, StoredImage

#: Figures from Idios' README: CLIP ViT-B/32 without a GPU. MB of everything but the workers, of a worker, and on disk.
IDIOS = {168_803: (2693, 830, 2280), 471_838: (3463, 889, 4711)}
PREDICTIONS = "/predictions/image-retrieval-v1.0"
COLLECTION = "live"
#: The fields that the gateway sends with a query.
ASKS = {"collection": COLLECTION, "top_k": 10, "debug": True, "metadata": True}
#: Pictures per request for codes, as the gateway sends them.
GROUP = 16
UPLOADERS = 16
#: The frontend compiles its hot paths in its first seconds under load, and its heap grows.
WARM_SECONDS = 10.0
#: Unfolded changes at the last memory measurement: the gateway folds from 50,000 on.
UNFOLDED = 40_000

URL, UPLOAD = "an image's URL", "an upload"
CODE, PICTURE, HASHING = "TorchServe, code", "TorchServe, picture", "TorchServe, hashing alone"
ALONE, ADDING, FOLDING = "alone", "while adding", "while folding"
#: The loads of each phase.
ASKED = {ALONE: (URL, UPLOAD, CODE, PICTURE, HASHING), ADDING: (URL, UPLOAD, CODE), FOLDING: (URL, UPLOAD, CODE)}


def name_of(number: int) -> str:
    return f"https://iiif.example.org/{number * 7919 % 10_000_019:08}/full/full/0/default.jpg"


def stored_images(first: int, count: int, bits: int, detail_bits: int | None) -> list[StoredImage]:
    """Returns ``count`` images numbered from ``first``, with metadata, sorted by URL like a dump."""
    codes, _ = clustered(count, bits, first, 1)
    details, _ = uniform(count, detail_bits or 8, first + 1, 1)
    both = np.concatenate([codes, details], axis=1) if detail_bits else codes
    images = [
        StoredImage(name_of(first + place), base64.b64encode(code).decode(), {"class": place % 97, "year": place % 200})
        for place, code in enumerate(both)
    ]
    return sorted(images, key=attrgetter("url"))


class Measurement:
    """One size on one stack."""

    def __init__(
        self, stack: LiveStack, client: Client, site: int, files: list[bytes], model: TorchScriptEmbedder, size: int
    ) -> None:
        self.stack, self.client, self.site, self.files, self.model, self.size = stack, client, site, files, model, size
        self.collection = client.collection(COLLECTION)
        self.turn = 0
        self.latencies: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.rates: dict[str, list[float]] = defaultdict(list)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.memory: dict[str, dict[str, Memory]] = {}

    def run(self, pool: Pool, seconds: float, runs: int, warm_seconds: float) -> None:
        self._warm(pool, warm_seconds)
        self.memory["empty"] = self.stack.memory()
        self._restore()
        requests = self._searches()
        pool.apply(load, (requests[URL] + requests[UPLOAD], self.stack.gateway_port, 4))
        self.memory["folded"] = self.stack.memory()
        for _ in range(runs):
            self._hash_and_add(pool)
            self._search(pool, requests, ALONE, seconds)
            with self._adding():
                self._search(pool, requests, ADDING, seconds)
            self.timed("fold", lambda: self.client.fold(COLLECTION))
            with self._folding():
                self._search(pool, requests, FOLDING, seconds)
            self._list()
        more = stored_images(self.size, min(UNFOLDED, self.size // 5), *self._widths())
        self.collection.restore(more, assume_model=self._model_name())
        pool.apply(load, (requests[URL] * 4, self.stack.gateway_port, 4))
        self.memory["unfolded"] = self.stack.memory()

    def timed(self, what: str, work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        self.seconds[what].append(time.perf_counter() - started)
        return self.seconds[what][-1]

    # --- The steps

    def _warm(self, pool: Pool, seconds: float) -> None:
        """Use an empty stack as the full one will be used, and leave it empty."""
        self.client.create(COLLECTION)
        self.collection.add_bulk(self._next_urls(len(self.files)))
        ports = (self.stack.inference_port, self.stack.gateway_port)
        for kind, port in ((HASHING, ports[0]), (UPLOAD, ports[1]), (PICTURE, ports[0])):
            pool.apply(load, ([self._request(kind, self.files[0])], port, 16, seconds / 3))
        self.client.delete(COLLECTION)

    def _model_name(self) -> str:
        return self.client.info(COLLECTION).model.name

    def _restore(self) -> None:
        self.client.create(COLLECTION)
        images = stored_images(0, self.size, *self._widths())
        took = self.timed(
            "restore", lambda: self.collection.restore(images, assume_model=self.client.info(COLLECTION).model.name)
        )
        self.rates["restore"].append(self.size / took)
        self.timed("fold what was restored", lambda: self.client.fold(COLLECTION))

    def _hash_and_add(self, pool: Pool) -> None:
        files, port = self.files, self.stack.gateway_port
        self.rates["bare"].append(decode_and_hash_rate(self.model, files, GROUP))
        groups = [files[start : start + GROUP] for start in range(0, len(files), GROUP)]
        requests = [
            json_request(self._torchserve(), {"hash": list(map(_base64, group))}, secret=self.stack.secret)
            for group in groups
        ]
        _, took = pool.apply(load, (requests, self.stack.inference_port, self.stack.workers + 1))
        self.rates["hash"].append(len(files) / took)

        urls = list(self._next_urls(len(files)))
        started = time.perf_counter()
        outcome = self.collection.add_bulk(urls)
        self.rates["add_bulk, client"].append(len(files) / (time.perf_counter() - started))
        assert outcome.added == len(files), outcome

        bulk = json_request(
            self._idios("add_bulk"), [{"url": url} for url in self._next_urls(len(files))], self.stack.key
        )
        _, took = pool.apply(load, ([bulk], port, 1))
        self.rates["add_bulk, one request"].append(len(files) / took)

        self.turn += 1
        uploads = [
            form_request(self._idios("add"), {"url": f"{self.turn}/{number}"}, {"image": data}, self.stack.key)
            for number, data in enumerate(files)
        ]
        _, took = pool.apply(load, (uploads, port, UPLOADERS))
        self.rates["uploads"].append(len(files) / took)

    def _search(self, pool: Pool, requests: dict[str, list[bytes]], state: str, seconds: float) -> None:
        for kind in ASKED[state]:
            port = self.stack.gateway_port if kind in (URL, UPLOAD) else self.stack.inference_port
            latencies, _ = pool.apply(load, (requests[kind], port, 1, seconds))
            self.latencies[state, kind] += latencies

    @contextmanager
    def _adding(self) -> Iterator[None]:
        """Within the block, another process adds photographs all the time."""
        context = multiprocessing.get_context("spawn")
        begun, stop, added = context.Event(), context.Event(), context.SimpleQueue()
        arguments = (
            self.stack.url, self.stack.key, COLLECTION, self.site, len(self.files), self.turn + 1, begun, stop, added
        )  # fmt: skip
        process = context.Process(target=keep_adding, args=arguments)
        process.start()
        try:
            while not begun.wait(1):
                assert process.is_alive()
            yield
        finally:
            stop.set()
            process.join()
        assert process.exitcode == 0
        count, took = added.get()
        self.rates["while searching"].append(count / took)
        self.turn += 1 + count // len(self.files)

    @contextmanager
    def _folding(self) -> Iterator[None]:
        """Within the block, folds follow one another, each of the whole collection and one change."""
        stop = threading.Event()

        def fold() -> None:
            with Client(self.stack.url, self.stack.key) as client:
                while not stop.is_set():
                    one = stored_images(0, 1, *self._widths())
                    client.collection(COLLECTION).restore(one, assume_model=self._model_name())
                    self.timed("fold while searching", lambda: client.fold(COLLECTION))

        thread = threading.Thread(target=fold)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _list(self) -> None:
        number = self.collection.count()
        assert sum(1 for _ in self.collection.urls()) == number
        self.timed("urls", lambda: sum(1 for _ in self.collection.urls()))
        self.timed("dump", lambda: sum(1 for _ in self.collection.dump()))
        self.timed("count", self.collection.count)
        condition = {"year": {"$lt": 100}, "class": {"$ne": -len(self.seconds["count"])}}  # a new condition each time
        self.timed("count, a new filter", lambda: self.collection.count(condition))
        self.timed("count, the same filter again", lambda: self.collection.count(condition))

    # --- What is asked

    def _searches(self) -> dict[str, list[bytes]]:
        random = np.random.default_rng(0)
        names = [name_of(number) for number in random.integers(0, self.size, 500).tolist()]
        codes, _ = clustered(500, self.model.card.bits, 0, 1)
        return {
            URL: [json_request(self._idios("search"), {"url": name}) for name in names],
            CODE: [json_request(self._torchserve(), ASKS | {"code": code.tobytes().hex()}) for code in codes],
        } | {kind: [self._request(kind, data) for data in self.files[:500]] for kind in (UPLOAD, PICTURE, HASHING)}

    def _request(self, kind: str, picture: bytes) -> bytes:
        if kind == UPLOAD:
            return form_request(self._idios("search"), {}, {"image": picture})
        if kind == HASHING:
            return json_request(self._torchserve(), {"hash": [_base64(picture)]}, secret=self.stack.secret)
        fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in ASKS.items()}
        return form_request(self._torchserve(), fields, {"image": picture})

    def _torchserve(self) -> str:
        return f"http://127.0.0.1:{self.stack.inference_port}{PREDICTIONS}"

    def _idios(self, route: str) -> str:
        return f"{self.stack.url}/models/{COLLECTION}/{route}"

    def _next_urls(self, count: int) -> Iterator[str]:
        self.turn += 1
        return (photograph_url(self.site, self.turn, number) for number in range(count))

    def _widths(self) -> tuple[int, int | None]:
        return self.model.card.bits, self.model.card.detail_bits


class Report:
    """Prints the measurements and which goals were met. ``busy``: the load average before."""

    def __init__(self, measured: Measurement, busy: float) -> None:
        self.measured, self.busy = measured, busy
        self.rates = {what: statistics.median(each) for what, each in measured.rates.items()}
        self.seconds = {what: statistics.median(each) for what, each in measured.seconds.items()}
        self.totals = {when: sum(each.values(), Memory(0, 0, 0)) for when, each in measured.memory.items()}

    def say(self) -> None:
        click.echo(
            f"\n{self.measured.size:,} images, {usable_cores()} cores, {self.measured.stack.workers} workers; "
            f"load average {self.busy:.1f} before"
        )
        self._say_memory()
        self._say_rates()
        self._say_searches()
        self._say_goals()

    def _say_memory(self) -> None:
        click.echo(f"  {'memory, MB: resident, share, own':34}{'empty':>18}{'folded':>18}{'with changes':>18}")
        for name in [*self.measured.memory["empty"], "all"]:
            columns = ""
            for when, processes in self.measured.memory.items():
                used = self.totals[when] if name == "all" else processes[name]
                columns += f"{used.resident / 1e6:8.0f}{used.share / 1e6:5.0f}{used.own / 1e6:5.0f}"
            click.echo(f"    {name:32}{columns}")
        info = self.measured.client.info(COLLECTION)
        assert info.journal is not None and info.bytes is not None
        versions, journal = (info.bytes - info.journal.bytes) / 1e6, info.journal.bytes / 1e6
        click.echo(
            f"  disk: {len(info.versions)} versions {versions:.0f} MB, journal of {info.journal.changes:,} changes "
            f"{journal:.0f} MB"
        )
        if self.measured.size in IDIOS:
            services, worker, disk = IDIOS[self.measured.size]
            click.echo(f"  Idios: {services:,} MB and {worker} MB a worker; disk {disk:,} MB")

    def _say_rates(self) -> None:
        rates, seconds = self.rates, self.seconds
        click.echo(f"  restore {rates['restore']:,.0f}/s ({seconds['restore']:.1f} s)   Idios: 500/s")
        click.echo(f"  dump {seconds['dump']:.1f} s, urls {seconds['urls']:.1f} s   Idios: an hour for 471,838")
        counts = ", ".join(f"{what} {1000 * seconds[what]:.1f} ms" for what in seconds if what.startswith("count"))
        click.echo(f"  {counts}")
        click.echo(
            f"  fold {seconds['fold']:.1f} s, {seconds['fold while searching']:.1f} s while searching, "
            f"{seconds['fold what was restored']:.1f} s after restoring"
        )
        click.echo(f"  hashing: workers {rates['hash']:.0f}/s; bare loop {rates['bare']:.0f}/s")
        for what, name in (
            ("add_bulk, client", "add_bulk, 256 a request"),
            ("add_bulk, one request", f"add_bulk, {len(self.measured.files)} a request"),
            ("uploads", f"add, uploads by {UPLOADERS}"),
            ("while searching", "add_bulk while a client searches"),
        ):
            click.echo(f"  {name}: {rates[what]:.0f}/s, {rates[what] / rates['hash']:.0%} of the workers' rate")
        click.echo("  Idios: 2.5/s with one worker, 10/s with four")

    def _say_searches(self) -> None:
        click.echo(f"  {'search, ms: p50, p95, p99':28}" + "".join(f"{state:>23}" for state in ASKED))
        for kind in ASKED[ALONE]:
            columns = "".join(
                "{:9.1f}{:7.1f}{:7.1f}".format(*self.percentiles(state, kind))
                for state in ASKED
                if (state, kind) in self.measured.latencies
            )
            click.echo(f"    {kind:26}{columns}")
        click.echo("  Idios: 500 ms, 1,500 ms while adding; an image's URL 400 ms")

    def percentiles(self, state: str, kind: str) -> list[float]:
        found: list[float] = (1000 * np.percentile(self.measured.latencies[state, kind], (50, 95, 99))).tolist()
        return found

    def _say_goals(self) -> None:
        hashing = self.percentiles(ALONE, HASHING)[0]
        grown = {when: (self.totals[when].share - self.totals["empty"].share) / 1e6 for when in self.totals}
        workers = sum(each.share for name, each in self.measured.memory["empty"].items() if name.startswith("worker"))
        beside = (self.totals["unfolded"].share - workers) / 1e6
        click.echo("  goals")
        for name, value, met in (
            ("the collection's memory, folded, under 300 MB", f"{grown['folded']:.0f}", grown["folded"] < 300),
            ("the same with changes", f"{grown['unfolded']:.0f}", grown["unfolded"] < 300),
            ("the same with frontend and gateway", f"{beside:.0f}", beside < 300),
            *(
                (f"search beside hashing, p50, at most 5 ms: {kind}", f"{took:.1f}", took <= 5)
                for kind, took in (
                    (PICTURE, self.percentiles(ALONE, PICTURE)[0] - hashing),
                    (UPLOAD, self.percentiles(ALONE, UPLOAD)[0] - hashing),
                    (URL, self.percentiles(ALONE, URL)[0]),
                )
            ),
            ("restore, at least 50,000/s", f"{self.rates['restore']:,.0f}", self.rates["restore"] >= 50_000),
            ("dump of all, at most 10 s", f"{self.seconds['dump']:.1f}", self.seconds["dump"] <= 10),
            *(
                (f"adds, at least 90% of hashing: {what}", f"{self.rates[what] / self.rates['hash']:.0%}",
                 self.rates[what] >= 0.9 * self.rates["hash"])
                for what in ("add_bulk, one request", "add_bulk, client", "uploads")
            ),
            *(
                (f"p99 {state}, at most twice: {kind}", f"{ratio:.1f}×", ratio <= 2)
                for state in (ADDING, FOLDING)
                for kind in ASKED[state]
                for ratio in [self.percentiles(state, kind)[2] / self.percentiles(ALONE, kind)[2]]
            ),
        ):  # fmt: skip
            click.echo(f"    {'met   ' if met else 'MISSED'} {name}: {value}")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model_path", default="torchscripts_models/relahash-small-64bits.pt", type=click.Path(exists=True, path_type=Path)
)
@click.option("--size", "sizes", multiple=True, type=int, default=tuple(IDIOS), show_default=True, help="Images.")
@click.option("--pictures", default=1000, show_default=True, help="Photographs that are hashed each time.")
@click.option("--seconds", default=4.0, show_default=True, help="Length of each measurement of searches.")
@click.option("--runs", default=2, show_default=True)
@click.option("--warm", default=WARM_SECONDS, show_default=True, help="Seconds of load before measuring.")
def main(
    folder: Path, model_path: Path, sizes: tuple[int, ...], pictures: int, seconds: float, runs: int, warm: float
) -> None:
    """Measure live collections of these sizes, with the photographs below FOLDER."""
    model = TorchScriptEmbedder.load(model_path)
    files = read_pictures(folder)[:pictures]
    context = multiprocessing.get_context("spawn")  # the load runs in its own process, like real clients
    for size in sizes:
        busy, _, _ = os.getloadavg()
        with (
            tempfile.TemporaryDirectory() as scratch,
            live_stack(model_path, Path(scratch)) as stack,
            photograph_site(files) as site,
            Client(stack.url, stack.key) as client,
            context.Pool(1) as pool,
        ):
            measured = Measurement(stack, client, site, files, model, size)
            measured.run(pool, seconds, runs, warm)
            Report(measured, busy).say()


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


if __name__ == "__main__":
    main()

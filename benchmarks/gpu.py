"""Is a GPU right, and what does it gain? ``python -m benchmarks.gpu FOLDER [--device cuda:0]``

1. Codes of the photographs in FOLDER, in float32 and in half precision, against the CPU's: photographs and bits that
   differ, also between a photograph alone and in a batch.
2. Photographs hashed a second, by batch size and precision, decoded beforehand and from files in memory.
3. Search: milliseconds a query, by batch size, and whether every answer is the CPU's, in the order of rows and of
   second codes. What is compared: the scan on all cores, PyTorch on the device (``handler/gpu.py``), faiss, and the
   tables of the mode "unnecessary fast". Then what a worker, which scans on one core, would choose.

``--device cpu`` runs the same with PyTorch and faiss on the CPU: all but the device is then tried. So does any other
where there is no GPU, and a line says so. What takes longest comes last, so that a run cut short has told something.
"""

import logging
import multiprocessing
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import faiss
import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from benchmarks.bare import decode_and_hash_rate, forward_rate
from benchmarks.codes import clustered, uniform
from handler.gpu import GpuCodes
from hashing.cores import usable_cores
from hashing.device import find_device
from hashing.model import HashModel
from hashing.picture import SUFFIXES, decode
from searcher.engine import Engine, Question, Ties
from searcher.flat import FlatScan
from searcher.gpu import GpuScan, faster
from searcher.multi_index import MultiIndex
from searcher.table_builder import build_tables

PRECISIONS = ("float32", "float16")
BITS = 64
TOP_K = 10
CHECKED = 16
SECONDS = 1.0

#: Bytes a code that all contestants and the building of tables take in the computer's memory.
BYTES_A_CODE = 150

#: How many rows faiss is asked for, so that those beyond the k-th show that none of its ties is missing; and the most
#: that it gives on a GPU.
FETCHED_FOR_EACH, MOST_FETCHED = 16, 2048
FAISS_MEMORY = 256 << 20

Codes = NDArray[np.uint8]


class Faiss:
    """A faiss index, which breaks ties as it likes. ``cpu`` answers where it cannot tell whether it has all of them."""

    def __init__(self, codes: Codes, device: torch.device, cpu: Engine) -> None:
        self._count, self._cpu = len(codes), cpu
        self._index: Any
        self.given_up = 0
        if device.type == "cpu":
            self._index = faiss.IndexBinaryFlat(8 * codes.shape[1])
        else:
            self._resources = faiss.StandardGpuResources()
            self._resources.setTempMemory(FAISS_MEMORY)
            config = faiss.GpuIndexBinaryFlatConfig()
            config.device = device.index
            self._index = faiss.GpuIndexBinaryFlat(self._resources, 8 * codes.shape[1], config)
        self._index.add(codes)

    def search(self, question: Question) -> list[NDArray[np.int64]]:
        """As ``Engine.search``, for one top_k, without radius, bitmap or second codes."""
        k = int(question.top_k[0])
        fetched = min(self._count, max(k, min(FETCHED_FOR_EACH * k, MOST_FETCHED)))
        distances, rows = self._index.search(np.ascontiguousarray(question.queries), fetched)
        keys = np.sort(distances.astype(np.int64) << 32 | rows, axis=1)
        whole = (keys[:, -1] >> 32 > keys[:, min(k, fetched) - 1] >> 32) | (fetched == self._count)
        answers = list(keys[:, :k])
        for query in np.flatnonzero(~whole).tolist():
            self.given_up += 1
            (answers[query],) = self._cpu.search(question.part([query]))
        return answers

    def within(self, query: Codes, distance: int) -> Codes:
        return self._cpu.within(query, distance)


def try_faiss(number: int | None) -> None:
    """A search with faiss on GPU ``number``. Where that isn't possible faiss may end the whole process."""
    codes = np.arange(8000, dtype=np.uint8).reshape(1000, 8)
    Faiss(codes, torch.device("cuda", number or 0), FlatScan(codes)).search(question_of(codes[:4], TOP_K))


def why_no_faiss(device: torch.device) -> str | None:
    """What keeps faiss from searching on ``device``, or None."""
    if device.type == "cpu":
        return None
    if not hasattr(faiss, "GpuIndexBinaryFlat"):
        return "this build of faiss has no GPU: install faiss-gpu"
    process = multiprocessing.get_context("spawn").Process(target=try_faiss, args=(device.index,))
    process.start()
    process.join()
    return f"a trial ended with status {process.exitcode}" if process.exitcode else None


def question_of(queries: Codes, k: int, ties: Ties | None = None) -> Question:
    count, bits = len(queries), 8 * queries.shape[1]
    return Question(queries, np.full(count, k), np.full(count, bits + 1), None, ties)


def same_answers(engine: Engine, cpu: Engine, question: Question) -> bool:
    pairs = zip(engine.search(question), cpu.search(question), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def milliseconds(engine: Engine, queries: Codes, batch: int) -> float:
    """A query's median time in batches of ``batch``, of as many as a second allows."""
    times: list[float] = []
    while len(times) < 2 or (sum(times) < SECONDS and len(times) < 50):
        first = len(times) * batch % max(1, len(queries) - batch + 1)
        question = question_of(queries[first : first + batch], TOP_K)
        started = time.perf_counter()
        engine.search(question)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times[1:])) / batch


def contestants(
    codes: Codes, device: torch.device, cpu: FlatScan, no_faiss: str | None
) -> Iterator[tuple[str, Engine]]:
    """What searches ``codes``, one after the other: a GPU needn't hold them twice."""
    where = "CPU" if device.type == "cpu" else "GPU"
    yield f"scan, {usable_cores()} cores", cpu
    yield f"PyTorch, {where}", GpuScan(GpuCodes(codes, device), cpu)
    if no_faiss is None:
        yield f"faiss, {where}", Faiss(codes, device, cpu)
    yield "tables, one core", MultiIndex(build_tables(codes), cpu)


def show_search(device: torch.device, sizes: tuple[int, ...], batches: tuple[int, ...]) -> None:
    no_faiss = why_no_faiss(device)
    if no_faiss:
        click.echo(f"\nfaiss on {device} is left out: {no_faiss}")
    for count in sizes:
        if count * BYTES_A_CODE > psutil.virtual_memory().available:
            click.echo(f"\n{count:,} codes are left out: they need {count * BYTES_A_CODE >> 30} GiB of memory")
            continue
        for make in (uniform, clustered):
            codes, queries = make(count, BITS, 0, max(*batches, 1000))
            cpu = FlatScan(codes, usable_cores())
            click.echo(f"\n{count:,} {make.__name__} codes of {BITS} bits, top {TOP_K}, milliseconds a query")
            click.echo(f"  {'batches of':24}" + "".join(f"{batch:>10}" for batch in batches))
            for name, engine in contestants(codes, device, cpu, no_faiss):
                times = [milliseconds(engine, queries, batch) for batch in batches]
                click.echo(
                    f"  {name:24}" + "".join(f"{each:10.3f}" for each in times) + verdict(engine, cpu, codes, queries)
                )
                del engine
                if device.type != "cpu":
                    torch.cuda.empty_cache()
            faster(partial(GpuCodes, codes, device), FlatScan(codes), codes, None)


def verdict(engine: Engine, cpu: Engine, codes: Codes, queries: Codes) -> str:
    """Whether the answers are the CPU's, for the k of a page and of a thousand, and with ties by second codes."""
    if engine is cpu:
        return ""
    asked = [question_of(queries[:CHECKED], k) for k in (1, TOP_K, 1000)]
    if isinstance(engine, Faiss):
        engine.given_up = 0
    else:  # the codes once more in place of second ones, far from other queries
        asked.append(question_of(queries[:CHECKED], TOP_K, Ties(codes, queries[-CHECKED:])))
    same = all(same_answers(engine, cpu, question) for question in asked)
    given_up = engine.given_up if isinstance(engine, Faiss) else 0
    left = f", {given_up} of {len(asked) * CHECKED} left to the CPU" if given_up else ""
    return ("  same answers" if same else "  OTHER ANSWERS") + left


def bits_of(model: HashModel, pictures: NDArray[np.uint8], batch: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Code and detail code, bool (n, bits) and (n, detail_bits or 0), hashed ``batch`` at a time."""
    found = [model.hash(pictures[first : first + batch]) for first in range(0, len(pictures), batch)]
    codes = np.unpackbits(np.concatenate([each.codes for each in found]), axis=1).astype(bool)
    details = [each.details for each in found if each.details is not None]
    if not details:
        return codes, np.empty((len(codes), 0), bool)
    return codes, np.unpackbits(np.concatenate(details), axis=1).astype(bool)


def show_codes(path: Path, reference: HashModel, device: torch.device, pictures: NDArray[np.uint8]) -> None:
    expected = bits_of(reference, pictures, reference.batch)
    click.echo(
        f"{len(pictures)} photographs, {device} against the CPU's float32; "
        f"the card says {reference.card.cuda_precision} for a GPU"
    )
    for precision in PRECISIONS:
        model = HashModel.load(path, str(device), precision=precision)
        together, alone = bits_of(model, pictures, model.batch), bits_of(model, pictures, 1)
        for name, here, there, apart in zip(("code", "detail code"), together, expected, alone, strict=True):
            if here.size:
                wrong = (here != there).sum(axis=1)
                click.echo(
                    f"  {precision}, {name:12}{int(wrong.sum()):6} of {wrong.size * here.shape[1]:,} bits differ, in "
                    f"{np.count_nonzero(wrong)} photographs, at most {wrong.max()} in one; "
                    f"alone and in batches {int((here != apart).sum())} bits differ"
                )


def show_rates(
    path: Path, reference: HashModel, device: torch.device, files: list[bytes], batches: tuple[int, ...]
) -> None:
    click.echo(f"\nphotographs a second, {usable_cores()} cores; decoded beforehand / from files in memory")
    click.echo(f"  {'pictures a forward pass':24}" + "".join(f"{batch:>18}" for batch in batches))
    ways = [("CPU, float32", reference)]
    for precision in PRECISIONS:
        if device.type != "cpu" or precision != reference.precision:
            ways.append((f"{device}, {precision}", HashModel.load(path, str(device), precision=precision)))
    for name, model in ways:
        rates = []
        for model.batch in batches:
            model.warm_up(model.batch)
            rates.append(
                (forward_rate(model, len(files), model.batch), decode_and_hash_rate(model, files, model.batch))
            )
        click.echo(f"  {name:24}" + "".join(f"{forward:9.0f} /{whole:7.0f}" for forward, whole in rates))


def named(device: torch.device) -> str:
    if device.type == "cpu":
        return "cpu, so that nothing here is about a GPU"
    properties: Any = torch.cuda.get_device_properties(device)
    return f"{device}, {properties.name}, {properties.total_memory >> 30} GiB"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model_path", default="torchscripts_models/relahash-small-64bits.pt", type=click.Path(exists=True, path_type=Path)
)
@click.option("--device", "name", default="cuda:0", show_default=True, help="cpu, cuda or cuda:0.")
@click.option("--pictures", "most", default=2000, show_default=True, help="Photographs, at most.")
@click.option("--size", "sizes", multiple=True, type=int, default=(1_000_000, 10_000_000, 100_000_000), help="Codes.")
@click.option("--search_batch", "asked", multiple=True, type=int, default=(1, 4, 64, 1024), help="Queries at once.")
@click.option("--hash_batch", "hashed", multiple=True, type=int, default=(1, 4, 16, 64, 256), help="Pictures at once.")
def main(
    folder: Path, model_path: Path, name: str, most: int, sizes: tuple[int, ...], asked: tuple[int, ...],
    hashed: tuple[int, ...],
) -> None:  # fmt: skip
    """Compare a GPU's codes, answers and rates with the CPU's, on the photographs in FOLDER and on made-up codes."""
    logging.basicConfig(level=logging.WARNING, format="  %(message)s")
    device = find_device(name)
    click.echo(f"{named(device)}; PyTorch {torch.__version__}, faiss {faiss.__version__}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = [path.read_bytes() for path in paths[:: max(1, len(paths) // most)][:most]]
    reference = HashModel.load(model_path)
    pictures = np.stack([decode(data, reference.card.preprocessing) for data in files])
    show_codes(model_path, reference, device, pictures)
    show_rates(model_path, reference, device, files, hashed)
    show_search(device, sizes, asked)


if __name__ == "__main__":
    main()

"""Searching embeddings, beside other systems: ``python -m benchmarks.embeddings --count 100000 --peer hnsw``.

    made vectors ─▶ codes, lists, shortlists as an indexer's ─┐
                └─▶ each peer builds its index                ┴─▶ tuned to the same recall ─▶ queries, in turns

The vectors are made so as to lie as real ones do. EfficientNet-Lite0's features of 9,634 pictures (CIFAR-10, clothing,
photographs; 1280 numbers, centred) have standard deviations along their principal axes that fall as i^-0.45, and
cosines of 0.61, 0.49, 0.36 and 0.17 with the nearest, 10th, 100th and 1000th nearest at the median. So a vector here is
the sum of three parts with such deviations: one shared by about a thousand vectors (35% of the variance), one shared by
about twenty of these (25%), and its own (40%). Queries are further vectors of the same kind. The rotation of the codes
is fitted as ``hashlake models import --calibrate`` does it. With ``--words``, queries lie as CLIP's texts do: half
their own, and apart from all vectors in a direction that they share, which their codes are without; the nearest then
has a cosine of about 0.25.

Times are of the processor, so that they mean the same on a busy machine: one query at a time on one core, the ways
taking turns, at the median. Peers get the cheapest setting that finds 99% of the ten nearest of other queries; ours is
as measured at build time, on the vectors alone.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import click
import faiss
import numpy as np
from numpy.typing import NDArray

from contract.space import CODE, EMBEDDING
from searcher.scan.floats import FloatIndex
from searcher.scan.list_builder import build_lists
from searcher.scan.ranking import Query, Ranking
from searcher.scan.search import CodeIndex
from searcher.scan.shortlist import RECALL, measure
from training.importing.rotation import fitted

TOP_K = 10
_TUNING = 50
_BLOCK = 20_000
_CODED = 5000
#: Of the variance: shared by a thousand, shared by twenty, its own.
_PARTS = (0.35, 0.25, 0.4)

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


def made(count: int, width: int, queries: int, seed: int = 0) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Returns vectors, float16 (count, width) at length 1, and queries, (queries, width)."""
    random = np.random.default_rng(seed)
    deviations = np.arange(1, width + 1, dtype=np.float32) ** -0.45

    def drawn(number: int, share: float) -> Floats:
        return random.standard_normal((number, width), np.float32) * deviations * np.float32(np.sqrt(share))

    coarse = drawn(max(1, count // 1000), _PARTS[0])
    fine = drawn(max(1, count // 20), _PARTS[1])
    above = random.integers(0, len(coarse), len(fine))
    vectors = np.empty((count + queries, width), np.float16)
    for start in range(0, len(vectors), _BLOCK):
        part = vectors[start : start + _BLOCK]
        which = random.integers(0, len(fine), len(part))
        floats = coarse[above[which]] + fine[which] + drawn(len(part), _PARTS[2])
        part[:] = floats / np.linalg.norm(floats, axis=1, keepdims=True)
    return vectors[:count], vectors[count:]


def as_words(queries: NDArray[np.float16], seed: int = 1) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Returns queries as words lie, float16 (n, width) at length 1, and the same without what all words share."""
    random = np.random.default_rng(seed)
    own = random.standard_normal(queries.shape, np.float32)
    theirs = queries.astype(np.float32) + own / np.linalg.norm(own, axis=1, keepdims=True)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    shared = random.standard_normal(queries.shape[1], np.float32)
    apart = 0.5 * theirs + 0.866 * shared / np.linalg.norm(shared)
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    return apart.astype(np.float16), theirs.astype(np.float16)


class Peer(ABC):
    """Another system; ``knob`` makes it slower and better."""

    name: str
    knob: str

    @abstractmethod
    def build(self, vectors: NDArray[np.float16]) -> None:
        """Takes all vectors."""

    @abstractmethod
    def turn(self, value: int) -> None:
        """Sets the knob."""

    @abstractmethod
    def search(self, query: NDArray[np.float16]) -> Rows:
        """Returns the rows of the ten nearest."""

    def tune(self, queries: NDArray[np.float16], right: Sequence[Rows]) -> str:
        """Turns the knob until 99% are found; returns how far."""
        for value in [8 << step for step in range(9)]:
            self.turn(value)
            if recall([self.search(query) for query in queries], right) >= RECALL:
                return f"{self.knob} {value}"
        return f"{self.knob} {value}, which isn't enough"


class FaissIvf(Peer):
    """Full vectors, float32, in lists around centres."""

    name, knob = "faiss IndexIVFFlat", "nprobe"

    def build(self, vectors: NDArray[np.float16]) -> None:
        lists = 1 << round(np.log2(2 * len(vectors) ** 0.5))
        quantiser = faiss.IndexFlatIP(vectors.shape[1])
        self._index = faiss.IndexIVFFlat(quantiser, vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
        self._index.train(vectors[: 40 * lists].astype(np.float32))
        _add(self._index, vectors)

    def turn(self, value: int) -> None:
        self._index.nprobe = value

    def search(self, query: NDArray[np.float16]) -> Rows:
        found: Rows = self._index.search(query[None].astype(np.float32), TOP_K)[1][0]
        return found


class FaissHnsw(Peer):
    """A graph of full vectors, float32."""

    name, knob = "faiss IndexHNSWFlat", "efSearch"

    def build(self, vectors: NDArray[np.float16]) -> None:
        self._index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        _add(self._index, vectors)

    def turn(self, value: int) -> None:
        self._index.hnsw.efSearch = value

    def search(self, query: NDArray[np.float16]) -> Rows:
        found: Rows = self._index.search(query[None].astype(np.float32), TOP_K)[1][0]
        return found


class Usearch(Peer):
    """A graph of float16 vectors."""

    name, knob = "usearch Index (f16)", "expansion_search"

    def build(self, vectors: NDArray[np.float16]) -> None:
        index = import_module("usearch.index")
        self._index = index.Index(ndim=vectors.shape[1], metric="cos", dtype="f16")
        for start in range(0, len(vectors), _BLOCK):
            part = vectors[start : start + _BLOCK]
            self._index.add(np.arange(start, start + len(part)), part)

    def turn(self, value: int) -> None:
        self._index.expansion_search = value

    def search(self, query: NDArray[np.float16]) -> Rows:
        return np.asarray(self._index.search(query, TOP_K, threads=1).keys, np.int64)


PEERS: dict[str, Callable[[], Peer]] = {"ivf": FaissIvf, "hnsw": FaissHnsw, "usearch": Usearch}


def recall(found: Sequence[Rows], right: Sequence[Rows]) -> float:
    """Returns the share of the ``right`` rows that were ``found``."""
    return float(
        np.mean([len(np.intersect1d(one, other)) / len(other) for one, other in zip(found, right, strict=True)])
    )


def _add(index: Any, vectors: NDArray[np.float16]) -> None:
    for start in range(0, len(vectors), _BLOCK):
        index.add(vectors[start : start + _BLOCK].astype(np.float32))


def _answer(peer: Peer, asked: NDArray[np.float16], place: int) -> Rows:
    return peer.search(asked[place])


def _timed(label: str, work: Callable[[], Any]) -> Any:
    started = time.process_time()
    found = work()
    click.echo(f"  {label}: {time.process_time() - started:.0f} s of the processor")
    return found


@click.command()
@click.option("--count", default=1_000_000, show_default=True, help="Vectors.")
@click.option("--width", default=512, show_default=True, help="Numbers of a vector.")
@click.option("--bits", default=256, show_default=True, help="Bits of a code.")
@click.option("--queries", default=100, show_default=True, help="Queries that are timed.")
@click.option("--words", is_flag=True, help="Ask as words do: from far away.")
@click.option("--peer", "names", type=click.Choice([*PEERS]), multiple=True, help="May be given several times.")
def main(count: int, width: int, bits: int, queries: int, words: bool, names: tuple[str, ...]) -> None:
    """Compare ways of searching embeddings: the exact scan, ours, and those of other systems that are named."""
    tuning = _TUNING if names else 0
    click.echo(f"{count:,} vectors of {width} float16, codes of {bits} bits")
    vectors, asked = _timed("made", lambda: made(count, width, tuning + queries))
    asked, centred = as_words(asked) if words else (asked, asked)
    rotation = fitted(vectors[:_CODED].astype(np.float32), np.empty((0, width), np.float32), bits)

    def coded(floats: NDArray[np.float16]) -> NDArray[np.uint8]:
        return np.packbits((floats.astype(np.float32) - rotation.image_mean) @ rotation.rotation > 0, axis=1)

    codes = np.concatenate([coded(vectors[start : start + _BLOCK]) for start in range(0, count, _BLOCK)])
    lists = _timed("lists built", lambda: build_lists(vectors, codes))
    measured = _timed("shortlists measured", lambda: measure(vectors, codes, lists))
    for each in measured:
        click.echo(f"    top {each.top_k}: {each.size:,} codes in lists within {each.margin} hold {each.recall:.2%}")
    ranking = Ranking({CODE: CodeIndex(codes)}, FloatIndex(vectors), measured, lists)

    asked_codes = coded(centred)

    def ours(*, exact: bool) -> Callable[[int], Rows]:
        made = [Query({CODE: code, EMBEDDING: one}, exact=exact) for one, code in zip(asked, asked_codes, strict=True)]
        return lambda place: ranking.search([made[place]])[0].rows

    ways = {"exact: true": ours(exact=True), "hashlake": ours(exact=False)}
    right = [ways["exact: true"](place) for place in range(len(asked))]
    settings = {
        "hashlake": f"shortlist {measured[0].size:,}, margin {measured[0].margin}" if measured else "",
        "exact: true": "",
    }
    for name in names:
        peer = PEERS[name]()
        faiss.omp_set_num_threads(2)
        _timed(f"{peer.name} built", partial(peer.build, vectors))
        faiss.omp_set_num_threads(1)
        settings[peer.name] = peer.tune(asked[:tuning], right[:tuning])
        ways[peer.name] = partial(_answer, peer, asked)
    times: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[Rows]] = {name: [] for name in ways}
    # The exact scan has rounds of its own: it would leave nothing in the caches for the others.
    for turns in ([name for name in ways if name != "exact: true"], ["exact: true"]):
        for place in range(tuning, len(asked)):
            for name in turns:
                started = time.process_time()
                found[name].append(ways[name](place))
                times[name].append(1000 * (time.process_time() - started))
    base = float(np.median(times["hashlake"]))
    for name in ways:
        took = float(np.median(times[name]))
        share = recall(found[name], right[tuning:])
        click.echo(f"  {name:22} {took:9.3f} ms ({took / base:6.2f}×)  recall {share:.2%}  {settings[name]}")


if __name__ == "__main__":
    main()

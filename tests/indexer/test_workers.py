"""Whoever does the work: outcomes come in order, and no item is taken long before it is worked on.

Those of Ray work on a real cluster of two nodes, of which one is killed at last.
"""

import os
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path

import pytest

from contract.registry import NotRegistered
from embedding.embedder import Embedder
from embedding.registry import load_embedder
from embedding.torchscript import TorchScriptEmbedder
from indexer import ray_workers
from indexer.blocks import Blocks
from indexer.builder import Request, build
from indexer.changes import KnownVectors
from indexer.errors import IndexingError
from indexer.hasher import CHUNK
from indexer.outcome import Outcome, Skipped
from indexer.workers import LocalWorkers, Task, Work, Workers, workers_at
from searcher.versions.store import IndexStore
from sources.errors import SourceError
from sources.folder import FolderSource
from sources.listing import Listing
from sources.registry import open_source
from sources.source import Item
from tests.fakes import png_of, write_datalake
from tests.handler.server import free_ports
from tests.indexer.ray_cluster import TwoNodes, node, two_nodes, wait_for
from tests.indexer.stored import images_of, skipped_of


class InTurn:
    """The plainest workers that there can be: the oracle of all others."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def map(self, items: Iterator[Item], start: int = 0) -> Iterator[list[Outcome]]:
        return (self._work([item]) for item in items)


def skip(items: Sequence[Item]) -> list[Outcome]:
    """Every item is skipped, its version being the reason; the later ones of ten batches are done first."""
    time.sleep(0.001 * (9 - int(items[0].name) // CHUNK % 10))
    for item in items:
        if item.version == "torn":
            raise SourceError("the store is gone")
        if item.version == "deadly":
            os._exit(1)
    return [Outcome(item, [Skipped(item.name, str(item.version))]) for item in items]


@pytest.fixture(scope="module")
def cluster() -> Iterator[TwoNodes]:
    with two_nodes() as cluster:
        yield cluster


def numbered(numbers: Iterable[int], version: str = "whole") -> Iterator[Item]:
    return (Item(str(number), version=version) for number in numbers)


def names(found: Iterable[list[Outcome]]) -> list[str]:
    return [outcome.item.name for outcomes in found for outcome in outcomes]


@pytest.fixture(scope="class")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Blocks:
    return Blocks(tmp_path_factory.mktemp("blocks") / "1.5.0")


@pytest.fixture(scope="class", params=["in turn", "local", "ray"])
def workers(request: pytest.FixtureRequest, blocks: Blocks) -> Iterator[Workers]:
    if request.param == "ray":
        cluster: TwoNodes = request.getfixturevalue("cluster")
        work = partial(nullcontext, skip)
        with (
            ray_workers.connected(cluster.address),
            ray_workers.RayWorkers(work, blocks, ray_workers.Need(1), CHUNK) as workers,
        ):
            yield workers
    else:
        yield InTurn(skip) if request.param == "in turn" else LocalWorkers(skip, 2)


on_ray = pytest.mark.parametrize("workers", ["ray"], indirect=True)


class TestWorkers:
    @pytest.mark.parametrize("number", [0, 1, CHUNK + 1, 40 * CHUNK])
    def test_outcomes_in_the_order_of_the_items(self, workers: Workers, number: int) -> None:
        assert names(workers.map(numbered(range(number)))) == list(map(str, range(number)))

    def test_items_are_taken_only_as_fast_as_they_are_worked_on(self, workers: Workers) -> None:
        """A listing of a hundred million lines must not be read into memory."""
        taken = []

        def endless() -> Iterator[Item]:
            for number in count(1000):
                taken.append(number)
                yield Item(str(number))

        running = workers.map(endless(), 1000)
        assert len(list(islice(running, 3))) == 3
        assert len(taken) <= 20 * CHUNK
        if close := getattr(running, "close", None):
            close()

    def test_what_the_work_raises_comes_out_in_its_turn(self, workers: Workers) -> None:
        whole = numbered(range(2000, 2000 + CHUNK))
        torn = numbered(range(2000 + CHUNK, 2000 + 9 * CHUNK), "torn")
        running = workers.map((item for part in (whole, torn) for item in part), 2000)
        assert names([next(running)])[0] == "2000"
        with pytest.raises(SourceError, match="the store is gone"):
            names(running)

    @on_ray
    def test_what_has_a_block_is_not_worked_on_again(self, workers: Workers, blocks: Blocks) -> None:
        """Of blocks 3005…3008, 3008…3024, 3024…3030 the second is there, and the first is of other items."""
        blocks.write(3005, skip(list(numbered(range(105, 108), "of another listing"))))
        blocks.write(3008, skip(list(numbered(range(3008, 3024), "done before"))))
        found = list(workers.map(numbered(range(3005, 3030)), 3005))
        assert names(found) == list(map(str, range(3005, 3030)))
        assert [{image.reason for outcome in outcomes for image in outcome.images} for outcomes in found] == [
            {"whole"}, {"done before"}, {"whole"},
        ]  # fmt: skip

    @on_ray
    def test_a_picture_that_ends_every_process_is_named(self, workers: Workers) -> None:
        with pytest.raises(IndexingError, match=r"3 workers died of the images from 4000 to 4002: .*"):
            names(workers.map(numbered(range(4000, 4003), "deadly"), 4000))


# --- On a cluster


def test_what_cannot_be_used_is_said_in_a_line(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    (nobody,) = free_ports(1)
    workers = workers_at(f"ray:127.0.0.1:{nobody}", lambda device: grid, "cpu")
    known = KnownVectors(None, checksum=False)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", png_of(1))
    with (
        open_source(str(tmp_path / "a.zip")) as source,
        pytest.raises(IndexingError, match=r"a\.zip can be read in this process only: --workers ray is for folders"),
        workers(grid, Task(source, known), tmp_path / "1.5.0"),
    ):
        pass
    with (
        pytest.raises(IndexingError, match=f"there is no Ray cluster at 127.0.0.1:{nobody}: .*refused"),
        workers(grid, Task(FolderSource(tmp_path), known), tmp_path / "1.5.0"),
    ):
        pass
    with pytest.raises(NotRegistered, match="there is no kind of workers 'slurm'; there are: local, ray"):
        workers_at("slurm:8", lambda device: grid, "cpu")


def loaded(path: Path, noted: Path, device: str = "cpu") -> Embedder:
    """The model at ``path``, on the CPU whatever was asked for; what was is ``noted``, and which GPUs there are."""
    (noted / f"{device} {os.environ.get('CUDA_VISIBLE_DEVICES')} {os.getpid()}").touch()
    return load_embedder(path)


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_from_outside_the_cluster_and_with_an_actor_a_gpu(
    cluster: TwoNodes, tmp_path: Path, colours_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    codes = {f"{number}.png": (number * 163, number * 26_317) for number in range(100)}
    (tmp_path / "list.txt").write_text("".join(f"{line}\n" for line in write_datalake(tmp_path, codes)))
    (tmp_path / "noted").mkdir()
    monkeypatch.setattr(ray_workers, "BLOCK", 16)
    source = FolderSource(tmp_path, Listing(tmp_path / "list.txt"))
    load = partial(loaded, colours_path, tmp_path / "noted")
    request = Request(IndexStore(tmp_path / "index_store"), "on-ray", source)
    at = cluster.outside if device == "cpu" else cluster.address
    build(request, load_embedder(colours_path), print, workers=workers_at(f"ray:{at}", load, device))
    build(replace(request, name="here"), load_embedder(colours_path), print)
    ray, local = (tmp_path / "index_store" / name for name in ("on-ray", "here"))
    assert (ray / "index.faiss").read_bytes() == (local / "index.faiss").read_bytes()
    assert images_of(ray) == images_of(local)
    noted = [each.name.split()[:2] for each in (tmp_path / "noted").iterdir()]
    if device == "cpu":
        assert {asked for asked, _ in noted} == {"cpu"}
    else:  # each sees one GPU alone, so for it that is the only one
        assert noted and all(asked == "cuda" and gpu in ("0", "1") for asked, gpu in noted)


class Stuck(FolderSource):
    """A folder whose files the node ``doomed`` never finishes to read; others don't finish before it has begun."""

    def __init__(self, root: Path, listing: Listing | None, doomed: str) -> None:
        super().__init__(root, listing)
        self._doomed = doomed

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return Stuck, (self._root, None, self._doomed)

    def read(self, item: Item) -> tuple[Item, bytes]:
        if node() == self._doomed:
            (self._root / "begun").touch()
            time.sleep(600)
        wait_for(self._root / "begun")
        return super().read(item)


def test_a_node_that_is_killed_costs_its_blocks_and_changes_no_byte(
    cluster: TwoNodes, tmp_path: Path, colours_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = {f"{number}.png": (number * 163, number * 26_317) for number in range(100)}
    (tmp_path / "list.txt").write_text("".join(f"{line}\nno-{line}\n" for line in write_datalake(tmp_path, codes)))
    monkeypatch.setattr(ray_workers, "BLOCK", 16)
    source = Stuck(tmp_path, Listing(tmp_path / "list.txt"), cluster.second)
    request = Request(IndexStore(tmp_path / "index_store"), "on-ray", source)
    load = partial(load_embedder, colours_path)
    watching = threading.Thread(target=cluster.kill_second_when, args=(tmp_path / "begun",), daemon=True)
    watching.start()
    build(request, load(), print, workers=workers_at(f"ray:{cluster.address}", load, "cpu"))
    watching.join()
    here = FolderSource(tmp_path, Listing(tmp_path / "list.txt"))
    build(replace(request, name="here", source=here), load(), print)
    ray, local = (tmp_path / "index_store" / name for name in ("on-ray", "here"))
    for file in ("index.faiss", "details.faiss"):
        assert (ray / file).read_bytes() == (local / file).read_bytes()
    assert images_of(ray) == images_of(local)
    assert skipped_of(ray) == skipped_of(local)
    assert list((tmp_path / "index_store" / ".building").iterdir()) == []

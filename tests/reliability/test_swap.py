"""Versions are published one after another while 16 threads search: no search fails, none mixes two versions, and what
the process holds stays what it was."""

import gc
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from searcher.collections import Collections
from searcher.entry import Entry
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion
from tests.reliability.campaign import Sizes, Tell
from tests.searcher.live.fixtures import addition, publish, query

_THREADS = 16
_IMAGES = 50
#: Versions that stay; what is older is pruned, as an operator does.
_KEPT = 3


@dataclass(frozen=True)
class Held:
    """What a process holds: memory in bytes, open files, mapped files."""

    memory: int
    handles: int
    mappings: int


def held() -> Held:
    gc.collect()
    process = psutil.Process()
    mapped = [each for each in process.memory_maps(grouped=False) if "index_store" in each.path]
    return Held(process.memory_info().rss, process.num_fds(), len(mapped))


def images(version: str) -> list[Entry]:
    return [addition(f"{version}/{number}.png", number * 331) for number in range(_IMAGES)]


class Searching:
    """Threads that search until the block ends; ``outcomes`` counts their answers."""

    def __init__(self, folder: Path) -> None:
        self._collection = Collections(folder, warm_up=True).open("default")
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._search, args=(number,)) for number in range(_THREADS)]
        self._counters = [Counter[str]() for _ in self._threads]
        #: The version of each thread's last answer.
        self.newest = [""] * _THREADS

    def __enter__(self) -> "Searching":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    @property
    def outcomes(self) -> Counter[str]:
        return sum(self._counters, Counter[str]())

    def all_have_seen(self, version: str) -> None:
        while any(seen != version for seen in self.newest):
            self._done.wait(0.001)

    def _search(self, number: int) -> None:
        counter = self._counters[number]
        while not self._done.is_set():
            try:
                view = self._collection.view()
                (found,) = view.search([query(331 * (number % _IMAGES), None, 10)])
                whole = len(found.paths) == 10 and found.distances[0] == 0 and view.count == _IMAGES
                of = {path.partition("/")[0] for path in found.paths}
                counter["right" if whole and of == {view.version.name} else "mixed"] += 1
                self.newest[number] = view.version.name
            except Exception as error:
                counter[f"failed: {error}"] += 1


def test_versions_are_swapped_under_searches(tmp_path: Path, sizes: Sizes, tell: Tell) -> None:
    store = IndexStore(tmp_path / "index_store")
    publish(store, "0", images("0"))
    seen: dict[int, Held] = {}
    with Searching(store.folder) as searching:
        searching.all_have_seen("0")
        for number in range(1, sizes.swaps[-1] + 1):
            publish(store, str(number), images(str(number)))
            store.prune(_KEPT)
            if number in sizes.swaps:
                searching.all_have_seen(str(number))
                seen[number] = held()
    outcomes = searching.outcomes
    failed = outcomes.total() - outcomes["right"] - outcomes["mixed"]
    grown = ", ".join(f"{each.memory >> 20} MiB {each.handles} files {each.mappings} maps" for each in seen.values())
    tell(f"{sizes.swaps[-1]} swaps, {outcomes.total():,} searches: {failed} failed, {outcomes['mixed']} mixed; {grown}")
    assert outcomes.keys() == {"right"}
    first, last = seen[sizes.swaps[0]], seen[sizes.swaps[-1]]
    assert last.mappings <= first.mappings + _THREADS
    assert last.handles <= first.handles + 2 * _THREADS
    assert last.memory <= first.memory + (64 << 20)


def test_a_version_that_is_pruned_as_soon_as_it_is_opened(tmp_path: Path) -> None:
    """Between the moment when a search opens it and the moment when it looks for changes to it."""
    store = IndexStore(tmp_path / "index_store")
    publish(store, "0", images("0"))
    collection = Collections(store.folder).open("default")
    opened, open_version = [], collection.follower.version

    def then_pruned() -> IndexVersion:
        version = open_version()
        if not opened:
            publish(store, "1", images("1"))
            store.prune(1)
        opened.append(version.name)
        return version

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collection.follower, "version", then_pruned)
        assert collection.view().images(limit=1)[0].path == "1/0.png"
    assert opened[:2] == ["0", "1"]


def test_a_version_that_is_replaced_as_soon_as_it_is_opened(tmp_path: Path) -> None:
    """Whoever promotes faster than a worker looks keeps nobody from an answer."""
    store = IndexStore(tmp_path / "index_store")
    for name in ("0", "1"):
        publish(store, name, images(name))
    collection = Collections(store.folder).open("default")
    open_version = collection.follower.version

    def then_replaced() -> IndexVersion:
        version = open_version()
        store.promote("1" if version.name == "0" else "0")
        return version

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collection.follower, "version", then_replaced)
        seen = {collection.view().images(limit=1)[0].path for _ in range(4)}
    assert seen == {"0/0.png", "1/0.png"}

"""Processes write to one collection, read it, fold it and switch its versions, and are killed: every change that was
acknowledged is there at once, for everybody, and nobody ever sees a part of one."""

import multiprocessing
import random
import traceback
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

from searcher.live.collection import Collection
from searcher.versions.store import IndexStore
from tests.searcher.live.fixtures import publish
from tests.searcher.live.killed import processes
from tests.searcher.live.writers import after, change, prefix, state

_STEPS = 60


def reported(work: Callable[..., None], failures: "multiprocessing.Queue[str]", *arguments: object) -> None:
    try:
        work(*arguments)
    except BaseException:
        failures.put(traceback.format_exc())
        raise


def write(folder: Path, writer: int, acknowledged: list[int]) -> None:
    collection = Collection("default", folder)
    for step in range(1, _STEPS + 1):
        change(collection, writer, step)
        acknowledged[writer] = step
        assert prefix(state(collection.view()), writer, step, step) == step


def read(folder: Path, writers: int, acknowledged: list[int], done: Event) -> None:
    collection = Collection("default", folder)
    newest = [0] * writers
    while not done.is_set():
        least = [max(acknowledged[writer], newest[writer]) for writer in range(writers)]
        seen = state(collection.view())
        newest = [prefix(seen, writer, least[writer], acknowledged[writer] + 1) for writer in range(writers)]


def switch(folder: Path, done: Event) -> None:
    """Fold all the time, and go back to the first version now and then, which must make no difference."""
    collection, store = Collection("default", folder), IndexStore(folder)
    moment = random.Random(5)
    while not done.is_set():
        collection.fold()
        if moment.random() < 0.3:
            store.promote("1.0")
        if moment.random() < 0.3:
            store.promote(moment.choice(store.names()))


def test_processes_write_read_fold_and_promote(store: IndexStore) -> None:
    publish(store, "1.0")
    writers = 2
    done, failures = processes.Event(), processes.Queue()
    acknowledged = processes.Array("q", writers)
    work = [(write, (store.folder, writer, acknowledged)) for writer in range(writers)]
    others = [(read, (store.folder, writers, acknowledged, done))] * 2 + [(switch, (store.folder, done))]
    running = [processes.Process(target=reported, args=(each, failures, *given)) for each, given in work + others]
    for process in running:
        process.start()
    for process in running[:writers]:
        process.join(300)
    done.set()
    for process in running[writers:]:
        process.join(300)
    assert [process.exitcode for process in running] == [0] * len(running), failures.get(timeout=10)
    expected = after(0, _STEPS) | after(1, _STEPS)
    assert state(Collection("default", store.folder).view()) == expected

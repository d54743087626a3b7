"""Processes write to one collection, read it, fold it and switch its versions, and are killed: every change that was
acknowledged is there at once, for everybody, and nobody ever sees a part of one."""

import json
import multiprocessing
import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from searcher.collection import Collection
from searcher.collections_store import Collections
from searcher.errors import StoreBusy
from searcher.overlay import View
from searcher.store import IndexStore
from tests.searcher.killed import processes
from tests.searcher.live import MODEL, addition, publish, query

_PAIRS = 10
_STEPS = 60


def change(collection: Collection, writer: int, step: int) -> None:
    """The writer's change number ``step``, from 1 on: two images at once, added, replaced or removed."""
    paths = [f"{writer}/{step % _PAIRS}/{side}" for side in ("left", "right")]
    if step % 7 == 3:
        collection.remove(paths)
    else:
        collection.add([addition(path, step, metadata=json.dumps({"step": step})) for path in paths])


def after(writer: int, step: int) -> dict[str, int]:
    """The writer's images after so many changes, and the change that each is from."""
    latest = {each % _PAIRS: each for each in range(1, step + 1)}
    return {
        f"{writer}/{pair}/{side}": each for pair, each in latest.items() if each % 7 != 3 for side in ("left", "right")
    }


def state(view: View) -> dict[str, int]:
    """Path and change of every image, the same whichever way it is asked for."""
    images = view.images(limit=1000)
    (found,) = view.search([query(0, None, 1000)])
    assert view.count == len(images) == len(found.paths)
    assert dict(zip(found.paths, found.metadata, strict=True)) == {image.path: image.metadata for image in images}
    steps = {image.path: json.loads(image.metadata or "")["step"] for image in images}
    assert all(int.from_bytes(image.code, "big") == steps[image.path] for image in images)
    return steps


def prefix(seen: dict[str, int], writer: int, least: int, most: int) -> int:
    """After which of the writer's changes the images are as they were ``seen``, between these two."""
    mine = {path: step for path, step in seen.items() if path.startswith(f"{writer}/")}
    for step in range(least, most + 1):
        if after(writer, step) == mine:
            return step
    raise AssertionError(f"not after any of the changes {least} to {most} of writer {writer}: {mine}")


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


# --- Killed


def write_on(folder: Path, first: int, told: Connection) -> None:
    """Change the collection again and again, tell each change that was acknowledged, and fold now and then."""
    collection = Collection("default", folder)
    for step in range(first, first + 10_000):
        change(collection, 0, step)
        os.write(told.fileno(), step.to_bytes(4, "big"))
        if step % 6 == 0:
            collection.fold()


def killed_after(folder: Path, first: int, changes: int, seconds: float) -> int:
    """Kill a writer that begins with change ``first`` so long after so many changes. Answers the last change that it
    had acknowledged."""
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=write_on, args=(folder, first, theirs))
    process.start()
    theirs.close()
    last, least = first - 1, first - 1 + changes
    while last < least and (told := os.read(ours.fileno(), 4)):
        last = int.from_bytes(told, "big")
    time.sleep(seconds)
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    while told := os.read(ours.fileno(), 4):
        last = int.from_bytes(told, "big")
    ours.close()
    return last


@pytest.mark.parametrize("seed", range(3))
def test_a_writer_that_is_killed_loses_nothing_that_it_acknowledged(tmp_path: Path, seed: int) -> None:
    """At random moments, the first of them around the journal's own beginning."""
    moment = random.Random(seed)
    shoes = Collections(tmp_path).create("shoes", MODEL)
    before = shoes if seed == 0 else None
    step = 0
    for round in range(8):
        last = killed_after(shoes.folder, step + 1, moment.choice([0, 0, 1, 5, 20]), moment.uniform(0.0, 0.02))
        fresh = Collections(tmp_path).open("shoes")
        step = prefix(state(fresh.view()), 0, last, last + 1)
        if before:
            assert prefix(state(before.view()), 0, step, step) == step
        if round % 3 == 2:
            try:
                fresh.fold()
            except StoreBusy:  # the killed process is not quite gone
                continue
            assert prefix(state(fresh.view()), 0, step, step) == step
            fresh.store.verify(str(fresh.store.current()))

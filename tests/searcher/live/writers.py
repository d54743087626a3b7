"""Writers of one collection, whose every state a reader computes from the number of the change that it follows."""

import json
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

from searcher.live.collection import Collection
from searcher.live.view import View
from tests.searcher.live.fixtures import addition, query
from tests.searcher.live.killed import processes

_PAIRS = 10


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
    assert all(int.from_bytes(image.vectors["code"], "big") == steps[image.path] for image in images)
    return steps


def prefix(seen: dict[str, int], writer: int, least: int, most: int) -> int:
    """After which of the writer's changes the images are as they were ``seen``, between these two."""
    mine = {path: step for path, step in seen.items() if path.startswith(f"{writer}/")}
    for step in range(least, most + 1):
        if after(writer, step) == mine:
            return step
    raise AssertionError(f"not after any of the changes {least} to {most} of writer {writer}: {mine}")


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

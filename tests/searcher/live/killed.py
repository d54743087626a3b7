"""Processes that get killed: before one of the steps of a fold that touch the disk, or at any moment."""

import multiprocessing
import os
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType

from searcher.live.fold import fold
from searcher.versions.journal import Journal
from searcher.versions.store import IndexStore

# Children are forked from a process that has imported everything already.
processes = multiprocessing.get_context("forkserver")
# A run of tests has one such process, and whoever says last what it imports is heard: so all of it is said here.
processes.set_forkserver_preload([__name__, "tests.indexer.site", "pytest", "hypothesis"])

#: What changes files, or makes sure of them, by name, and the ends of those that do much.
DISK_STEPS = frozenset([
    "mkdir", "rmtree", "unlink", "executescript", "fsync", "write_index_binary", "write_codes done", "write_text",
    "rename", "replace", "publish done", "trim", "trim done",
])  # fmt: skip


def be_killed_before(number: int, steps: frozenset[str]) -> None:
    """From now on, this process is killed before the n-th of ``steps``: names of functions that are called, or of those
    that return ("publish done")."""
    numbers = count(1)

    def watch(frame: FrameType, event: str, called: object) -> None:
        name = {
            "call": frame.f_code.co_name,
            "return": f"{frame.f_code.co_name} done",
            "c_call": getattr(called, "__name__", ""),
        }.get(event)
        if name in steps and next(numbers) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)


def fold_killed_before(folder: Path, step: int) -> int:
    """Fold the collection in ``folder`` in a process that is killed before the n-th step. Answers its exit code, 0
    where it has fewer."""
    process = processes.Process(target=_fold, args=(folder, step))
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode


def _fold(folder: Path, kill_before: int) -> None:
    store, journal = IndexStore(folder), Journal(folder)
    be_killed_before(kill_before, DISK_STEPS)
    fold(store, journal)
    sys.setprofile(None)
    os._exit(0)

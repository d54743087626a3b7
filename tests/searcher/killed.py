"""Processes that get killed: before one of the steps of a fold that touch the disk, or at any moment."""

import multiprocessing
import os
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType

from searcher.fold import fold
from searcher.journal import Journal
from searcher.store import IndexStore

# Children are forked from a process that has imported everything already.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__])

#: What changes files, or makes sure of them, by name, and the ends of those that do much.
DISK_STEPS = frozenset([
    "mkdir", "rmtree", "unlink", "executescript", "fsync", "write_index_binary", "write_codes done", "write_text",
    "rename", "replace", "publish done", "trim", "trim done",
])  # fmt: skip


def fold_killed_before(folder: Path, step: int) -> int:
    """Fold the collection in ``folder`` in a process that is killed before the n-th step. Answers its exit code, 0
    where it has fewer."""
    process = processes.Process(target=_fold, args=(folder, step))
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode


def _fold(folder: Path, kill_before: int) -> None:
    numbers = count(1)

    def watch(frame: FrameType, event: str, called: object) -> None:
        name = {
            "call": frame.f_code.co_name,
            "return": f"{frame.f_code.co_name} done",
            "c_call": getattr(called, "__name__", ""),
        }.get(event)
        if name in DISK_STEPS and next(numbers) == kill_before:
            os.kill(os.getpid(), signal.SIGKILL)

    store, journal = IndexStore(folder), Journal(folder)
    sys.setprofile(watch)
    fold(store, journal)
    sys.setprofile(None)
    os._exit(0)

"""The cores that a worker may use for one batch: its own, and those that no other worker uses at the moment.

    four clients wait, two workers     one worker gets all four requests; the other worker's core is idle
                                       so two threads of the first one take two requests each
    sixteen clients                    every worker has requests, no core is idle, each worker uses one thread

TorchServe gives a worker whatever waits, up to a whole batch, while others idle. Workers tell each other by locks on
the bytes of one file, one byte a core: the system drops those of a worker that dies.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedding.cores import usable_cores

#: The variable that names the file to workers.
CORES_VARIABLE = "HASHLAKE_CORES_FILE"


class Cores:
    """The ``count`` cores (all usable ones unless given) that the workers who have ``file`` share; without a file, one.
    A worker has one of these, and handles one batch at a time."""

    def __init__(self, file: Path | None = None, count: int | None = None) -> None:
        self._file = None if file is None else os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._count = usable_cores() if count is None else count

    @contextmanager
    def taken(self, most: int) -> Iterator[int]:
        """Take the core of the worker itself, and idle ones up to ``most`` together, for the time of the block. Yields
        how many it may use: one, even where others use them all."""
        if self._file is None:
            yield 1
            return
        taken: list[int] = []
        try:
            for core in range(self._count):
                if len(taken) >= most:
                    break
                if self._take(core):
                    taken.append(core)
            yield max(1, len(taken))
        finally:
            for core in taken:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, core)

    def _take(self, core: int) -> bool:
        assert self._file is not None
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, core)
        except OSError:  # another worker's; or a file system without locks
            return False
        return True


ONE_CORE = Cores()

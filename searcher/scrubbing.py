"""Has the versions below an index store verified in the background: after opening, and again every day.

    looked for every few seconds ─▶ touched since its verdict, or verdict older than a day? ─▶ child process (scrub.py)

Of all processes that serve a store on one machine, one does it, whoever gets the lock. All of them read the verdicts,
and drop a version that is damaged (``follower.py``). Where neither lock nor verdicts can be written, as on a disk that
is read only, each process does it for itself.
"""

import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from searcher.collections import Collections
from searcher.errors import SearcherError
from searcher.versions.store import IndexStore
from searcher.versions.verdict import Verdict, record, stamps_of, verdict_on

#: The variable that sets how many megabytes a second are read; 0 for none.
RATE_VARIABLE = "HASHLAKE_VERIFY_MB_PER_S"
DEFAULT_MB_PER_S = 32

_LOOK_SECONDS = 5.0
_AGAIN = timedelta(days=1)
#: Wait after a version that no verdict was reached on.
_RETRY_SECONDS = 60.0
_NICE = 19

logger = logging.getLogger(__name__)


class Scrubbing:
    """Verifies all versions of the collections below ``folder``, the current ones first, at ``bytes_per_second``."""

    def __init__(self, folder: Path, bytes_per_second: float) -> None:
        self._folder = folder
        self._collections = Collections(folder)
        self._rate = bytes_per_second
        self._stopping = threading.Event()
        self._lock_file: TextIO | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._tried: dict[Path, float] = {}
        self._thread = threading.Thread(target=self._work, name="scrubbing", daemon=True)

    def start(self) -> None:
        """Begin, unless the rate is 0."""
        if self._rate > 0:
            self._thread.start()

    def close(self) -> None:
        """Give up the version that is being read."""
        self._stopping.set()
        child = self._child
        if child is not None:
            child.terminate()
        if self._thread.is_alive():
            self._thread.join()
        if self._lock_file is not None:
            self._lock_file.close()

    def due(self) -> Path | None:
        """The folder of the version to verify next, or None for now."""
        return next((folder for folder in self._versions() if self._is_due(folder)), None)

    def _work(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            try:
                while self._has_the_lock() and (folder := self.due()) and not self._stopping.is_set():
                    self._verify(folder)
            except OSError as error:
                logger.warning("versions are not verified in the background: %s", error)
                return

    def _has_the_lock(self) -> bool:
        if self._lock_file is None and self._folder.is_dir():
            try:
                file = (self._folder / ".scrubbing.lock").open("a")
            except OSError:
                return True
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
            else:
                self._lock_file = file
        return self._lock_file is not None

    def _versions(self) -> Iterator[Path]:
        stores = list(self._collections.stores().values())
        current = {store: self._current(store) for store in stores}
        for store in stores:
            if current[store] is not None:
                yield store.folder / str(current[store])
        for store in stores:
            yield from (store.folder / name for name in store.names() if name != current[store])

    def _current(self, store: IndexStore) -> str | None:
        with suppress(SearcherError):
            return store.current()
        return None

    def _is_due(self, folder: Path) -> bool:
        if time.monotonic() < self._tried.get(folder, 0.0):
            return False
        verdict = verdict_on(folder)
        return verdict is None or datetime.now(UTC) - verdict.checked > _AGAIN

    def _verify(self, folder: Path) -> None:
        self._tried[folder] = time.monotonic() + _RETRY_SECONDS
        self._child = subprocess.Popen(
            [
                *(sys.executable, "-m", "searcher.versions.scrub"),
                *(str(folder.absolute()), str(self._rate), str(os.getpid())),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        with suppress(OSError):  # it may have ended already
            os.setpriority(os.PRIO_PROCESS, self._child.pid, _NICE)
        if self._stopping.is_set():
            self._child.terminate()
        said, _ = self._child.communicate()
        self._child = None
        verdict = verdict_on(folder)
        with suppress(ValidationError):  # it was given up
            found = Verdict.model_validate_json(said)
            if verdict != found and found.stamps == stamps_of(folder):
                record(folder, found)  # which that process could not write: so this one keeps it
                verdict = found
        if verdict is not None and verdict.damaged is not None:
            logger.error("%s", verdict.message)

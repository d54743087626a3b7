"""Waits until a source may have changed: a folder's changes are told by the system (inotify), where its library is
installed; all else is looked at again after some seconds."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sources.registry import name_of

_log = logging.getLogger(__name__)
#: How often a waiting process looks whether it should end.
_LOOK_SECONDS = 0.2
#: Changes come in bursts: a folder that is being copied isn't listed after each file.
_BURST_MS = 1000


class Changed:
    """Set when the source may have changed; cleared before each pass, so that no change is missed."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        self._event.clear()

    def wait(self, seconds: float, ended: threading.Event) -> None:
        """Return at the next change, after ``seconds``, or when ``ended``."""
        until = time.monotonic() + seconds
        while not ended.is_set() and (left := until - time.monotonic()) > 0:
            if self._event.wait(min(left, _LOOK_SECONDS)):
                return


@contextmanager
def changes_of(address: str) -> Iterator[Changed]:
    """Yields what is set when the source at ``address`` changes, as far as that can be told."""
    changed, stop = Changed(), threading.Event()
    folder = Path(address.removeprefix("folder:"))
    if name_of(address) == "folder" and folder.is_dir():
        threading.Thread(target=_follow, args=(folder, changed, stop), daemon=True).start()
    try:
        yield changed
    finally:
        stop.set()


def _follow(folder: Path, changed: Changed, stop: threading.Event) -> None:
    try:
        from watchfiles import watch
    except ModuleNotFoundError:
        _log.info("%s is listed at intervals: pip install 'hashlake[watch]' has its changes told at once", folder)
        return
    try:
        for _ in watch(folder, stop_event=stop, debounce=_BURST_MS, watch_filter=None, raise_interrupt=False):
            changed.set()
    except Exception as error:  # too many folders for the system, or the folder has gone: passes at intervals go on
        _log.warning("%s is listed at intervals: its changes cannot be followed (%s)", folder, error)

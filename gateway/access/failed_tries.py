"""Counts wrong keys by client address, so that a client that keeps trying learns to wait."""

import threading
import time
from collections import deque
from collections.abc import Callable


class FailedTries:
    """The wrong keys of the last minute, per client address: after 10 of them the address has to wait.

    A sliding window: as soon as the oldest of the 10 is a minute old, one more try is allowed. Kept in memory, for the
    4,096 addresses that failed last. Threads may share it.
    """

    LIMIT = 10
    SECONDS = 60.0
    ADDRESSES = 4096

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}  # per address, in the order of their last failures
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """The number of addresses remembered."""
        return len(self._times)

    def add(self, address: str) -> float:
        """Record that ``address`` tried a wrong key just now, unless it has to wait. Returns the seconds that it has to
        wait; 0 if it need not."""
        now = self._clock()
        with self._lock:
            times = self._times.pop(address, None) or deque(maxlen=self.LIMIT)
            wait = times[0] + self.SECONDS - now if len(times) == self.LIMIT else 0.0
            if wait <= 0:
                times.append(now)
            self._times[address] = times
            if len(self._times) > self.ADDRESSES:
                del self._times[next(iter(self._times))]
        return max(0.0, wait)

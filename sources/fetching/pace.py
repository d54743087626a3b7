"""Keeps requests to one host apart, as libraries want it: they serve people too."""

import time
from collections.abc import Callable

#: Hosts that answer with errors if they are asked more often than this, in seconds.
SLOW = {"gallica.bnf.fr": 12.0}
#: Turns that have passed are forgotten when there are so many.
_MANY = 1000


class Pace:
    """Gives each request to a host its turn, ``apart`` seconds after the one before, or as ``SLOW`` says."""

    def __init__(self, apart: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._apart = apart
        self._clock = clock
        self._next: dict[str, float] = {}

    def wait(self, host: str) -> float:
        """Takes the next turn at ``host``. Returns the seconds until then."""
        apart = max(self._apart, SLOW.get(host, 0.0))
        if not apart:
            return 0.0
        now = self._clock()
        if len(self._next) >= _MANY:
            self._next = {each: turn for each, turn in self._next.items() if turn > now}
        turn = max(now, self._next.get(host, now))
        self._next[host] = turn + apart
        return turn - now

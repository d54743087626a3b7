"""Tells whether somebody is searching, so that searches go before the hashing of added pictures.

    TorchServeClient.predict, .pass_on ─▶ searching() ─▶ busy ─▶ HashingQueue: shorter requests, one worker left free

TorchServe hands out work in order of arrival, without priorities. So callers whose work can wait look here.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: A page that has just searched will probably search again soon.
LINGER_SECONDS = 1.0


class SearchActivity:
    """The searches sent to one TorchServe, by any route of the gateway. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._under_way = 0
        self._ended: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a search is in progress, or ended less than a second ago."""
        return self._under_way > 0 or (self._ended is not None and self._clock() - self._ended < LINGER_SECONDS)

    @contextmanager
    def searching(self) -> Iterator[None]:
        """Marks the block as a search."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._ended = self._clock()

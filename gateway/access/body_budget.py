"""Counts the bytes of request bodies that this process holds, so that many large ones at once cannot take its memory.

WholeBodies ─▶ take, as bytes arrive … the answer ends … give_back ─▶ after a burst, memory returns to the system
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gateway import memory

#: The last eighth of the budget is for bodies up to this length, so that small requests pass between large ones.
SMALL_BYTES = 1024 * 1024
#: After so many bytes were held at once, what they took is given back to the system.
_BURST_BYTES = 64 * 1024 * 1024
_REST_SECONDS = 1.0


class BodyBudget:
    """At most ``most`` bytes of bodies at once, on all ports together. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._peak = 0
        self._returning: asyncio.TimerHandle | None = None
        self.held = 0

    def take(self, size: int, *, before: int = 0) -> bool:
        """Counts ``size`` bytes more of a body of which ``before`` bytes are counted already. Returns False, and counts
        nothing, if there is no room for them."""
        most = self._most if before + size <= SMALL_BYTES else self._most * 7 // 8
        if size and self.held + size > most:
            return False
        self.held += size
        self._peak = max(self._peak, self.held)
        return True

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Within the block, ``size`` bytes count that outlive the request they came with, whether there is room or
        not: further requests wait for them."""
        self.held += size
        self._peak = max(self._peak, self.held)
        try:
            yield
        finally:
            self.give_back(size)

    def give_back(self, size: int) -> None:
        """The body, and whatever was made of it, is no longer needed."""
        self.held -= size
        if self._peak >= _BURST_BYTES and self.held <= self._peak // 8 and self._returning is None:
            # Not now: whoever held the body has to forget it first, and another burst may follow.
            self._returning = asyncio.get_running_loop().call_later(_REST_SECONDS, self._return_memory)

    def _return_memory(self) -> None:
        self._returning, self._peak = None, self.held
        threading.Thread(target=memory.give_back, daemon=True).start()

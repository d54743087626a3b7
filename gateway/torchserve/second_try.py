"""A search that a worker doesn't answer is sent a second time, for another worker to answer.

    sent ─▶ answered ─▶ that answer
         ─▶ "Worker died.", or nothing for 15 s ─▶ sent once more ─▶ the first good answer of the two

A search changes nothing, so two of them do no harm. TorchServe itself gives a worker that hangs 60 s, and then answers
500. Where it is slow because it has too much to do, second tries would make it slower: few are under way at once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from contract.names import WORKER_HEADER
from gateway.torchserve.http import Answer

#: Longer than any search takes a worker, pictures of the largest size in its batch included (handler/work.py).
PATIENCE_SECONDS = 15.0
#: A batch of TorchServe's: what one worker that hangs can hold.
MOST_AT_ONCE = 4
_WORKER_DIED = b"Worker died"


class SecondTries:
    """The second tries of one client. Belongs to one event loop."""

    def __init__(self) -> None:
        self._under_way = 0

    async def first_answer(self, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Returns what ``ask`` answers, which is called a second time if need be. Raises what it raises."""
        first = asyncio.create_task(ask())
        try:
            while True:
                await asyncio.wait({first}, timeout=PATIENCE_SECONDS)
                if first.done() and (first.exception() is not None or not worker_died(first.result())):
                    return first.result()
                if self._under_way < MOST_AT_ONCE:
                    return await self._either(first, ask)
                if first.done():
                    return first.result()
        finally:
            first.cancel()

    async def _either(self, first: asyncio.Task[Answer], ask: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Returns the answer of ``first`` or of a second try, whichever is good before the other, or else the later."""
        second = asyncio.create_task(ask())
        self._under_way += 1
        try:
            pending = {first, second} if not first.done() else {second}
            while True:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for each in sorted(done, key=_failed):
                    if not pending or not _failed(each):
                        return each.result()
        finally:
            self._under_way -= 1
            second.cancel()


def worker_died(answer: Answer) -> bool:
    """Returns whether TorchServe says so; a worker's own answers have its number."""
    return (
        answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
        and WORKER_HEADER not in answer.headers
        and _WORKER_DIED in answer.content
    )


def _failed(answered: asyncio.Task[Answer]) -> bool:
    return answered.exception() is not None or worker_died(answered.result())

"""Clients that ask without pause, and what they hear."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import numpy as np

_PATIENCE = aiohttp.ClientTimeout(total=120)


@dataclass
class Heard:
    """Answers by status, the milliseconds of each, and what was wrong with any."""

    milliseconds: dict[int, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    #: Connections that broke: the process at their other end was killed.
    broken: int = 0

    @property
    def statuses(self) -> Counter[int]:
        return Counter({status: len(each) for status, each in self.milliseconds.items()})

    def percentile(self, status: int, percent: float) -> float:
        return float(np.percentile(self.milliseconds.get(status, [0.0]), percent))


@dataclass(frozen=True)
class Asking:
    """``clients`` that post ``body`` to ``url``; ``check`` says what is wrong with an answer of status 200, or None."""

    url: str
    body: bytes
    check: Callable[[dict[str, object]], str | None]
    clients: int

    async def until(self, end: Callable[[], Awaitable[object]]) -> Heard:
        """What they hear until ``end`` is over."""
        heard, done = Heard(), asyncio.Event()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session:
            asking = [asyncio.create_task(self._ask(session, heard, done)) for _ in range(self.clients)]
            try:
                await end()
            finally:
                done.set()
                await asyncio.gather(*asking)
        return heard

    async def _ask(self, session: aiohttp.ClientSession, heard: Heard, done: asyncio.Event) -> None:
        while not done.is_set():
            began = time.perf_counter()
            try:
                async with session.post(self.url, data=self.body, headers={"Content-Type": "application/json"}) as got:
                    content = await got.read()
            except (aiohttp.ClientError, TimeoutError):
                heard.broken += 1
                await asyncio.sleep(0.05)
                continue
            heard.milliseconds.setdefault(got.status, []).append(1000 * (time.perf_counter() - began))
            if got.status == 200:
                fault = self.check(await got.json())
            elif got.status == 503 and "Retry-After" not in got.headers:
                fault = "503 without Retry-After"
            else:
                fault = None if got.status == 503 else f"{got.status}: {content[:200]!r}"
            if fault:
                heard.wrong.append(fault)
            if got.status != 200:
                await asyncio.sleep(0.05)  # a client that asked again at once would be an attacker

"""The guarded fetcher for threads: downloads run in an event loop of their own, and each caller waits for its file."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from anyio.from_thread import start_blocking_portal

from sources.fetching.fetcher import Fetched, Fetcher, FetchLimits


class BlockingFetcher:
    """Downloads within ``limits``, for many threads at once. Use it as a context manager."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._loop = opening.enter_context(start_blocking_portal())
            self._fetcher = self._loop.call(Fetcher, self._limits)
            opening.enter_context(self._loop.wrap_async_context_manager(self._fetcher))
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def fetch(self, url: str) -> Fetched:
        """As ``Fetcher.fetch``."""
        return self._loop.call(self._fetcher.fetch, url)

    def fetch_any(self, urls: Sequence[str]) -> Fetched:
        """As ``Fetcher.fetch_any``."""
        return self._loop.call(self._fetcher.fetch_any, urls)

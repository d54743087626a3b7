"""Reads from sources far away before the items are hashed, so that the model doesn't wait for the network.

    batches, as workers take them ─▶ start: GETs under way, as many as the source is worth ─▶ read: what has come

A folder is read by the worker itself: its files come as fast as they are asked for.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from sources.source import Item, Source

#: While more bytes than this have come and aren't hashed yet, nothing more is started. What is under way still comes.
_MOST_BYTES = 256 * 1024 * 1024

_Read = tuple[Item, bytes]


class ReadAhead:
    """Reads items of ``source``, some before they are asked for. Threads may share it."""

    def __init__(self, source: Source) -> None:
        self._source = source
        threads: int = getattr(source, "ahead", 0)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="read") if threads else None
        self._lock = threading.Lock()
        self._under_way: dict[Item, Future[_Read]] = {}
        self._bytes = 0

    @property
    def is_worth_it(self) -> bool:
        return self._pool is not None

    def start(self, item: Item) -> None:
        """Begin to read ``item``, unless too much waits already."""
        with self._lock:
            if self._pool is not None and self._bytes < _MOST_BYTES and item not in self._under_way:
                self._under_way[item] = self._pool.submit(self._read, item)

    def read(self, item: Item) -> _Read:
        """As ``Source.read``; waits for what was begun."""
        with self._lock:
            begun = self._under_way.pop(item, None)
        if begun is None or begun.cancel():
            return self._source.read(item)
        read = begun.result()
        with self._lock:
            self._bytes -= len(read[1])
        return read

    def close(self) -> None:
        """Drop what hasn't begun."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, item: Item) -> _Read:
        read = self._source.read(item)
        with self._lock:
            self._bytes += len(read[1])
        return read

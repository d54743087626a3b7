"""``AsyncClient``: the client for programs that await. Each method is the one of ``Client``, in a thread of its own.

    await client.search(image=…)                    async for url in client.collection("shoes").urls(): …

So there is one client: what it sends and understands, how often it tries and what it raises are the same.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from hashlake.client.client import SECONDS, URL, Client
from hashlake.client.collection import Collection

#: The most requests at once; more wait for one to be answered.
_AT_ONCE = 64

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")
_Wrapped = TypeVar("_Wrapped", covariant=True)
_Item = TypeVar("_Item")


class _Twin(Protocol[_Wrapped]):
    """What has a client or collection whose methods it calls in ``_threads``."""

    @property
    def _wrapped(self) -> _Wrapped: ...
    @property
    def _threads(self) -> ThreadPoolExecutor: ...


_Itself = TypeVar("_Itself")


def _awaited(
    method: Callable[Concatenate[_Itself, _Given], _Answer],
) -> Callable[Concatenate[_Twin[_Itself], _Given], Coroutine[Any, Any, _Answer]]:
    """Returns a twin's method that awaits ``method``."""

    @wraps(method)
    async def call(self: _Twin[_Itself], /, *args: _Given.args, **kwargs: _Given.kwargs) -> _Answer:
        called = partial(method, self._wrapped, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, called)

    return call


def _iterated(
    method: Callable[Concatenate[_Itself, _Given], Iterator[_Item]],
) -> Callable[Concatenate[_Twin[_Itself], _Given], AsyncIterator[_Item]]:
    """Returns a twin's method that iterates over what ``method`` yields."""

    @wraps(method)
    async def call(self: _Twin[_Itself], /, *args: _Given.args, **kwargs: _Given.kwargs) -> AsyncIterator[_Item]:
        loop, end = asyncio.get_running_loop(), object()
        items = await loop.run_in_executor(self._threads, partial(method, self._wrapped, *args, **kwargs))
        while (item := await loop.run_in_executor(self._threads, next, items, end)) is not end:
            yield item  # type: ignore[misc]

    return call


class AsyncCollection:
    """The collection ``name``; get one from ``AsyncClient.collection``. Its methods are those of ``Collection``."""

    def __init__(self, collection: Collection, threads: ThreadPoolExecutor) -> None:
        self.name = collection.name
        self._wrapped = collection
        self._threads = threads

    add = _awaited(Collection.add)
    search_add = _awaited(Collection.search_add)
    remove = _awaited(Collection.remove)
    thumbnail = _awaited(Collection.thumbnail)
    search = _awaited(Collection.search)
    compare = _awaited(Collection.compare)
    count = _awaited(Collection.count)
    add_bulk = _awaited(Collection.add_bulk)
    restore = _awaited(Collection.restore)
    urls = _iterated(Collection.urls)
    dump = _iterated(Collection.dump)
    images = _iterated(Collection.images)


class AsyncClient:
    """The gateway at ``url``, as ``Client``, whose methods it has: they are awaited, and may go on side by side.

    A task that is cancelled stops waiting; its request ends by itself.
    """

    def __init__(self, url: str = URL, key: str | None = None, timeout: float | None = SECONDS) -> None:
        self._wrapped = Client(url, key, timeout)
        self._threads = ThreadPoolExecutor(_AT_ONCE, "hashlake")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. Not needed with ``async with``."""
        await asyncio.to_thread(self._threads.shutdown)
        self._wrapped.close()

    ping = _awaited(Client.ping)
    search = _awaited(Client.search)
    versions = _awaited(Client.versions)
    promote = _awaited(Client.promote)
    reindex = _awaited(Client.reindex)
    jobs = _awaited(Client.jobs)
    job = _awaited(Client.job)
    job_log = _awaited(Client.job_log)
    machine = _awaited(Client.machine)
    collections = _awaited(Client.collections)
    create = _awaited(Client.create)
    info = _awaited(Client.info)
    delete = _awaited(Client.delete)
    fold = _awaited(Client.fold)
    copy = _awaited(Client.copy)
    aliases = _awaited(Client.aliases)
    set_alias = _awaited(Client.set_alias)
    remove_alias = _awaited(Client.remove_alias)
    index = _awaited(Client.index)
    properties = _awaited(Client.properties)

    def collection(self, name: str) -> AsyncCollection:
        """Returns a handle on a collection, without asking the gateway. Raises ValueError for an invalid name."""
        return AsyncCollection(self._wrapped.collection(name), self._threads)

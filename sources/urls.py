"""URLs of pictures as a source: each is downloaded when it is read, within the limits of ``sources/fetching``.

URL ─▶ its normal form, the item's name ─▶ guarded download ─▶ bytes, and a version from the server's headers

The version is {"etag": …, "last_modified": …}.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from anyio.from_thread import start_blocking_portal

from contract.image_names import normalised
from sources.errors import SourceError
from sources.fetching.addresses import HostList, Reach
from sources.fetching.fetcher import Fetcher, FetchLimits
from sources.listing import Listing
from sources.source import Item


async def download(fetcher: Fetcher, item: Item) -> tuple[Item, bytes]:
    """Downloads the URL ``item.name``. Returns the item with its version, and the file's bytes. Raises FetchRefused."""
    fetched = await fetcher.fetch(item.name)
    version = json.dumps({"etag": fetched.etag, "last_modified": fetched.last_modified})
    return replace(item, version=version), fetched.data


def open_urls(address: str) -> "UrlSource":
    """Returns a source of the URLs in the file that ``address`` names, one per line: ``urls:pictures.txt``.

    HASHLAKE_FETCH_ALLOW and HASHLAKE_FETCH_DENY say which hosts may be reached, as for the gateway. Raises SourceError
    if one of them is no list of hosts.
    """
    reach = Reach(_hosts("HASHLAKE_FETCH_ALLOW"), _hosts("HASHLAKE_FETCH_DENY"))
    return UrlSource(Listing(Path(address.removeprefix("urls:"))), FetchLimits(reach=reach))


def _hosts(variable: str) -> HostList:
    text = os.environ.get(variable, "")
    try:
        return HostList.parse(text)
    except ValueError as error:
        raise SourceError(f"{variable} is {text!r}: {error}") from error


class UrlSource:
    """The URLs named in ``listing``. Use it as a context manager: downloads run in their own event loop."""

    def __init__(self, listing: Listing, limits: FetchLimits) -> None:
        self._listing = listing
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

    def __str__(self) -> str:
        return str(self._listing)

    @property
    def count(self) -> int:
        return self._listing.count

    @property
    def state(self) -> str:
        return self._listing.state

    def items(self, start: int = 0) -> Iterator[Item]:
        return (Item(normalised(name)) for name in self._listing.names(start))

    def with_version(self, item: Item) -> Item:
        """Returns ``item`` as it is: asking for its version takes as long as downloading it."""
        return item

    def read(self, item: Item) -> tuple[Item, bytes]:
        return self._loop.call(download, self._fetcher, item)

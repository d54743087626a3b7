"""URLs of pictures as a source: each is downloaded when it is read, within the limits of ``sources/fetching``.

URL ─▶ its normal form, the item's name ─▶ guarded download ─▶ bytes, and a version from the server's headers

The version is {"etag": …, "last_modified": …}.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Self

from contract.image_names import normalised
from sources.errors import SourceError
from sources.fetching.addresses import HostList, Reach
from sources.fetching.blocking import BlockingFetcher
from sources.fetching.fetcher import Fetched, Fetcher, FetchLimits
from sources.listing import Listing
from sources.selection import PICTURES, Selection
from sources.source import Item
from sources.spool import Spool, spooled
from sources.url_lists import WITH_METADATA, listed


async def download(fetcher: Fetcher, item: Item) -> tuple[Item, bytes]:
    """Downloads the URL ``item.name``. Returns the item with its version, and the file's bytes. Raises FetchRefused."""
    return _versioned(item, await fetcher.fetch(item.name))


def _versioned(item: Item, fetched: Fetched) -> tuple[Item, bytes]:
    version = json.dumps({"etag": fetched.etag, "last_modified": fetched.last_modified})
    return replace(item, version=version), fetched.data


@contextmanager
def open_urls(address: str, selection: Selection = PICTURES) -> Iterator["UrlSource"]:
    """Yields a source of the URLs in the file that ``address`` names, whatever they end in: ``urls:pictures.txt``, one
    per line, or a list with metadata (sources/url_lists.py).

    HASHLAKE_FETCH_ALLOW and HASHLAKE_FETCH_DENY say which hosts may be reached, as for the gateway. Raises SourceError
    if one of them is no list of hosts, or the list cannot be read.
    """
    limits = limits_of_environment()
    path = Path(address.removeprefix("urls:"))
    with ExitStack() as opened:
        listing = (
            opened.enter_context(spooled(listed(path), str(path)))
            if path.suffix.lower() in WITH_METADATA
            else Listing(path)
        )
        yield opened.enter_context(UrlSource(listing, limits))


def limits_of_environment() -> FetchLimits:
    """Returns the limits on downloads that HASHLAKE_FETCH_ALLOW and HASHLAKE_FETCH_DENY set. Raises SourceError."""
    return FetchLimits(reach=Reach(_hosts("HASHLAKE_FETCH_ALLOW"), _hosts("HASHLAKE_FETCH_DENY")))


def _hosts(variable: str) -> HostList:
    text = os.environ.get(variable, "")
    try:
        return HostList.parse(text)
    except ValueError as error:
        raise SourceError(f"{variable} is {text!r}: {error}") from error


class UrlSource:
    """The URLs named in ``listing``, or the items in it, if it is a spool. Use it as a context manager: downloads run
    in their own event loop."""

    def __init__(self, listing: Listing | Spool, limits: FetchLimits) -> None:
        self.ahead = limits.in_all
        self._listing = listing
        self._limits = limits
        self._fetcher = BlockingFetcher(limits)

    def __reduce__(self) -> tuple[Callable[..., "UrlSource"], tuple[Listing | Spool, FetchLimits]]:
        return _entered, (self._listing, self._limits)

    def __enter__(self) -> Self:
        self._fetcher.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._fetcher.__exit__()

    def __str__(self) -> str:
        return str(self._listing)

    @property
    def count(self) -> int:
        return self._listing.count

    @property
    def state(self) -> str:
        return self._listing.state

    def items(self, start: int = 0) -> Iterator[Item]:
        if isinstance(self._listing, Spool):
            return self._listing.items(start)
        return (Item(normalised(name)) for name in self._listing.names(start))

    def with_version(self, item: Item) -> Item:
        """Returns ``item`` as it is: asking for its version takes as long as downloading it."""
        return item

    def read(self, item: Item) -> tuple[Item, bytes]:
        return _versioned(item, self._fetcher.fetch(item.name))


def _entered(listing: Listing | Spool, limits: FetchLimits) -> UrlSource:
    """Returns a source in use until this process ends."""
    return UrlSource(listing, limits).__enter__()

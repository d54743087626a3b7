"""The pictures of a collection of another gateway as a source, to be embedded by another model.

    collection:http://127.0.0.1:8000/shoes ─▶ pages of its images ─▶ URLs are downloaded; of what was uploaded, or is
                                                                    in that gateway's datalake, its thumbnail is taken

The key that the gateway asks for is HASHLAKE_KEY. Names and metadata stay; an image's code there is its version here.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from contract.image_names import is_url
from pictures.limits import DEFAULT_LIMITS
from sources.errors import SourceError, Unreadable
from sources.fetching.blocking import BlockingFetcher
from sources.selection import PICTURES, Selection
from sources.source import Item
from sources.spool import Spool, Spooled, spooled
from sources.urls import limits_of_environment

_PAGE = 1000
_SECONDS = 30.0


class CollectionSource(Spooled):
    """The images that ``spool`` lists, of the collection whose route ``gateway`` has at ``route``."""

    def __init__(self, spool: Spool, gateway: httpx.Client, route: str, fetcher: BlockingFetcher, ahead: int) -> None:
        self.ahead = ahead
        super().__init__(spool)
        self._gateway = gateway
        self._route = route
        self._fetcher = fetcher

    def with_version(self, item: Item) -> Item:
        return item

    def read(self, item: Item) -> tuple[Item, bytes]:
        if is_url(item.name):
            return item, self._fetcher.fetch(item.name).data
        try:
            answer = self._gateway.get(f"{self._route}/thumbnail", params={"url": item.name})
        except httpx.HTTPError as error:
            raise SourceError(f"{self} cannot be read: {type(error).__name__}") from error
        if answer.status_code != HTTPStatus.OK:
            raise Unreadable(f"the gateway has no picture of it (status {answer.status_code})")
        if len(answer.content) > DEFAULT_LIMITS.max_bytes:
            raise Unreadable("the gateway sends too much")
        return item, answer.content


@contextmanager
def open_collection(address: str, selection: Selection = PICTURES) -> Iterator[CollectionSource]:
    """Yields a source of all images of the collection at ``address``. Which hosts their URLs may lead to is as for
    lists of URLs. Raises SourceError."""
    url, _, name = address.removeprefix("collection:").rstrip("/").rpartition("/")
    if not is_url(url) or not name:
        raise SourceError(f"{address} names no collection: write collection:http://HOST:8000/NAME")
    key = os.environ.get("HASHLAKE_KEY")
    limits = limits_of_environment()
    route = f"{url}/api/collections/{quote(name, safe='')}"
    with ExitStack() as opened:
        headers = {"X-API-Key": key} if key else {}
        gateway = opened.enter_context(httpx.Client(headers=headers, timeout=_SECONDS, trust_env=False))
        fetcher = opened.enter_context(BlockingFetcher(limits))
        spool = opened.enter_context(spooled(_items(gateway, route, address), address))
        if not spool.count:
            raise SourceError(f"{address} is empty")
        yield CollectionSource(spool, gateway, route, fetcher, limits.in_all)


def _items(gateway: httpx.Client, route: str, address: str) -> Iterator[Item]:
    cursor: str | None = ""
    while cursor is not None:
        page = _page(gateway, route, address, cursor)
        for image in page["images"]:
            metadata = image.get("metadata")
            text = None if metadata is None else json.dumps(metadata, ensure_ascii=False)
            yield Item(image["url"], version=f"code {image['code']}", metadata=text)
        cursor = page["cursor"]


def _page(gateway: httpx.Client, route: str, address: str, cursor: str) -> Any:
    try:
        answer = gateway.get(f"{route}/images", params={"cursor": cursor, "limit": _PAGE})
        if answer.status_code != HTTPStatus.OK:
            raise SourceError(f"{address} cannot be listed: status {answer.status_code}{_hint(answer.status_code)}")
        page = answer.json()
        return {"images": page["images"], "cursor": page["cursor"]}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{address} cannot be listed: {str(error) or type(error).__name__}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise SourceError(f"{address} cannot be listed: its answer is no page of a collection") from error


def _hint(status: int) -> str:
    return ", so set HASHLAKE_KEY" if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) else ""

"""IIIF manifests as a source: every canvas is an item, named by its id.

    iiif:https://…/manifest.json   a manifest, or a collection of manifests and collections   ┐ ─▶ canvases, in order
    iiif+https://…                 as iiif:https://…                                          │
    iiif:manifests.txt             a file with an address a line, or a manifest as a file     ┘ ─▶ an image each

Its metadata says where it is: ``manifest``, ``document`` and ``label``, ``page`` (from 1, in canvas order), ``image``
and ``viewer``, a link, and the canvas's ``width`` and ``height``. A canvas without an image, or a manifest that cannot
be had, has a reason of its own, and moves no other's page.

An image of the Image API is named by its address, so that address is its version: a later run downloads what is new.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.image_names import is_url
from sources.errors import SourceError, Unreadable
from sources.fetching.blocking import BlockingFetcher
from sources.iiif_manifest import canvases_of, is_collection, label_of, members_of, requests_for, viewer_of
from sources.listing import Listing
from sources.selection import PICTURES, Selection
from sources.source import Item
from sources.spool import Spool, Spooled, spooled, storable
from sources.urls import limits_of_environment

#: A host is asked at most so often, and by so many at once: libraries serve people too.
_SECONDS_APART, _PER_HOST = 0.05, 5
#: Collections within collections, at most.
_DEPTH = 8
_MOST_MANIFESTS = 1_000_000
_VIEWER = "https://projectmirador.org/embed/?iiif-content={manifest}"


class IiifSource(Spooled):
    """The canvases that ``spool`` lists."""

    ahead = 20

    def __init__(self, spool: Spool, fetcher: BlockingFetcher) -> None:
        super().__init__(spool)
        self._fetcher = fetcher

    def with_version(self, item: Item) -> Item:
        if reason := _known(item).get("unreadable"):
            raise Unreadable(str(reason))
        return item

    def read(self, item: Item) -> tuple[Item, bytes]:
        known = _known(item)
        if "image" not in known:
            raise Unreadable("no canvas is called so")
        # A server may not know a size, or the service be gone: there may be another way.
        return item, self._fetcher.fetch_any(requests_for(known["image"], known.get("resource"))).data


@contextmanager
def open_iiif(address: str, selection: Selection = PICTURES) -> Iterator[IiifSource]:
    """Yields a source of the canvases in the manifests at ``address``; all of them, whatever they end in. Which hosts
    may be reached is as for lists of URLs. Raises SourceError."""
    given = address.removeprefix("iiif").lstrip("+:")
    if not given:
        raise SourceError("iiif: names no manifest: write iiif:https://…/manifest.json or iiif:FILE")
    limits = replace(limits_of_environment(), per_host=_PER_HOST, apart=_SECONDS_APART)
    with ExitStack() as opened:
        fetcher = opened.enter_context(BlockingFetcher(limits))

        def load(url: str) -> Any:
            return _parsed(fetcher.fetch(url).data)

        spool = opened.enter_context(spooled(map(_storable, _items(given, load)), given))
        if not spool.count:
            raise SourceError(f"no canvas in {given}")
        yield IiifSource(spool, fetcher)


def _items(given: str, load: Callable[[str], Any]) -> Iterator[Item]:
    if is_url(given):
        yield from _of(given, load, set(), 0)
        return
    try:
        with Path(given).open("rb") as file:
            is_json = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
        if is_json:
            yield from _of_document(given, _parsed(Path(given).read_bytes()), load, set(), 0)
            return
    except OSError as error:
        raise SourceError(f"{given} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except Unreadable as error:
        raise SourceError(f"{given}: {error}") from error
    seen: set[str] = set()
    for url in Listing(Path(given)).names():
        yield from _of(url.strip(), load, seen, 0)


def _of(url: str, load: Callable[[str], Any], seen: set[str], depth: int) -> Iterator[Item]:
    """Yields the items of the manifest or collection at ``url``, unless they were ``seen``; or one, with the reason."""
    if url in seen or depth > _DEPTH or len(seen) >= _MOST_MANIFESTS:
        return
    seen.add(url)
    try:
        document = load(url)
    except Unreadable as error:
        yield _failed(url, url, f"the manifest cannot be had: {error}")
        return
    yield from _of_document(url, document, load, seen, depth)


def _of_document(url: str, document: Any, load: Callable[[str], Any], seen: set[str], depth: int) -> Iterator[Item]:
    if is_collection(document):
        for member in members_of(document):
            yield from _of(member, load, seen, depth + 1)
        return
    template = os.environ.get("HASHLAKE_IIIF_VIEWER") or _VIEWER
    try:
        for canvas in canvases_of(document):
            about: dict[str, Any] = {
                "manifest": url,
                "document": label_of(document),
                "label": canvas.label,
                "page": canvas.page,
                "viewer": viewer_of(template, url, canvas.name),
            }
            if canvas.size is not None:
                about |= dict(zip(("width", "height"), canvas.size, strict=True))
            if canvas.image is None:
                yield _failed(canvas.name, url, "the canvas has no image")
            else:
                about |= {"image": canvas.image} | ({"resource": canvas.resource} if canvas.resource else {})
                yield Item(canvas.name, version=canvas.image, metadata=json.dumps(about, ensure_ascii=False))
    except Unreadable as error:
        yield _failed(url, url, str(error))


def _failed(name: str, manifest: str, reason: str) -> Item:
    return Item(name, metadata=json.dumps({"manifest": manifest, "unreadable": reason}, ensure_ascii=False))


def _storable(item: Item) -> Item:
    version, metadata = (text and storable(text) for text in (item.version, item.metadata))
    return replace(item, name=storable(item.name), version=version, metadata=metadata)


def _known(item: Item) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(item.metadata or "{}")
    return known


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is no JSON") from error

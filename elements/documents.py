"""Documents by address: whatever holds pages.

https://…/manifest.json      the canvases of a IIIF manifest, or of those in a collection     iiif:…
https://…/book.pdf           the pages of a PDF on the web
book.pdf                     the pages of a PDF here
images:https://…             the pictures in a JSON object {name: URL} on the web
a folder, an archive, urls:FILE, collection:…, s3://…                                         any other source
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.image_names import is_url, normalised
from elements.errors import ElementsError
from sources.errors import Unreadable
from sources.fetching.blocking import BlockingFetcher
from sources.folder import FolderSource
from sources.listing import Listing
from sources.registry import open_source
from sources.selection import Selection
from sources.source import Item, Source, Splitter
from sources.splitters import open_splitters, suffixes_of
from sources.spool import spooled, storable
from sources.urls import UrlSource, limits_of_environment

#: What an address of pictures by name begins with.
IMAGES = "images:"
_PDF = ".pdf"


def splitters_for(address: str) -> list[Splitter]:
    """Returns what takes the files at ``address`` apart. Raises NotRegistered if it names a PDF that nothing reads."""
    return open_splitters([] if address.startswith(IMAGES) else ["pdf"])


@contextmanager
def open_document(address: str, splitters: Sequence[Splitter]) -> Iterator[Source]:
    """Yields a source of what is at ``address``. Raises SourceError, NotRegistered and ElementsError."""
    with ExitStack() as opened:
        if address.startswith(IMAGES):
            yield opened.enter_context(_named_images(address.removeprefix(IMAGES)))
        elif _is_pdf(file := address.removeprefix("folder:")):
            listing = Path(opened.enter_context(TemporaryDirectory(prefix="hashlake-"))) / "listing.txt"
            listing.write_text(f"{file}\n", encoding="utf-8", errors="surrogateescape")
            if is_url(file):
                yield opened.enter_context(UrlSource(Listing(listing), limits_of_environment()))
            else:
                yield FolderSource(Path(), Listing(listing))
        else:
            named = f"iiif:{address}" if is_url(address) else address
            yield opened.enter_context(open_source(named, Selection(suffixes_of(splitters))))


def _is_pdf(address: str) -> bool:
    ends = address.partition("?")[0] if is_url(address) else address
    return ends.lower().endswith(_PDF) and (is_url(address) or Path(address).is_file())


@contextmanager
def _named_images(url: str) -> Iterator[UrlSource]:
    limits = limits_of_environment()
    with BlockingFetcher(limits) as fetcher:
        try:
            given = json.loads(fetcher.fetch(url).data)
        except Unreadable as error:
            raise ElementsError(f"{url} cannot be had: {error}") from error
        except (ValueError, RecursionError) as error:
            raise ElementsError(f"{url} is no JSON") from error
    if not isinstance(given, dict) or not given or not all(isinstance(each, str) for each in given.values()):
        raise ElementsError(f"{url} is no JSON object of names and the URLs of their images")
    items = (
        Item(normalised(storable(image)), metadata=json.dumps({"name": storable(name)}))
        for name, image in given.items()
    )
    with spooled(items, url) as spool, UrlSource(spool, limits) as source:
        yield source

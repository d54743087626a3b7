"""Pictures that were downloaded, to be shown: they are downloaded again, within the limits of ``sources/fetching``.

http://e.org/a.jpg            there: a list of URLs, or a collection of them
http://e.org/a.pdf#page=3     the file there, and its page
a canvas, with its metadata   its image, at the addresses that its manifest gave (sources/iiif.py)
"""

import json
from typing import Any

from anyio import to_thread

from contract.image_names import is_url, normalised
from sources.fetching.fetcher import Fetcher
from sources.iiif_manifest import requests_for
from sources.part_names import file_of
from sources.parts import part_of

#: What is known of every canvas with an image: so a list of URLs that has a column "image" isn't taken for canvases.
_OF_CANVASES = {"manifest", "page", "image", "viewer"}


def urls_of(name: str, metadata: str | None) -> list[str]:
    """Returns where the picture called ``name`` may be downloaded, one address after the other; none if it isn't from
    the web. ``metadata``: what its source said of it."""
    known: Any = json.loads(metadata or "{}")
    if isinstance(known, dict) and known.keys() >= _OF_CANVASES and isinstance(known["image"], str):
        resource = known.get("resource")
        return requests_for(known["image"], resource if isinstance(resource, str) else None)
    return [normalised(file_of(name) or name)] if is_url(name) else []


async def downloaded(fetcher: Fetcher, name: str, urls: list[str], metadata: str | None = None) -> bytes:
    """Returns the picture called ``name``, from the first of ``urls`` that has it. Raises Unreadable (FetchRefused,
    OriginFailed), and SourceError where nothing here renders it."""
    fetched = await fetcher.fetch_any(urls)
    return await to_thread.run_sync(part_of, name, fetched.data, metadata)

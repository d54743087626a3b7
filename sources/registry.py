"""Opens sources by address: our own, and those that installed packages add as entry points ``hashlake.sources``.

    folder:/data/photos  ─▶ SOURCES.get("folder") ─▶ open_folder ─▶ a Source, closed at the end of the block
    urls:pictures.txt    ─▶ SOURCES.get("urls")   ─▶ open_urls
    s3://bucket/prefix   ─▶ SOURCES.get("s3")     ─▶ open_objects
    photos.zip           ─▶ SOURCES.get("zip")    ─▶ open_zip

The part before the first colon is the source's name; the source itself interprets the rest.
"""

import re
from contextlib import AbstractContextManager
from typing import Protocol

from contract.registry import BuiltIn, Registry
from sources.selection import PICTURES, Selection
from sources.source import Source

SOURCES = Registry(
    "source",
    "hashlake.sources",
    {
        "folder": BuiltIn("sources.folder:open_folder"),
        "collection": BuiltIn("sources.collection:open_collection"),
        **dict.fromkeys(("iiif", "iiif+http", "iiif+https"), BuiltIn("sources.iiif:open_iiif")),
        "urls": BuiltIn("sources.urls:open_urls"),
        "zip": BuiltIn("sources.archives:open_zip"),
        "tar": BuiltIn("sources.archives:open_tar"),
        **dict.fromkeys(("s3", "gs", "az"), BuiltIn("sources.objects:open_objects", "objects")),
    },
)


#: A folder may have a colon in its name, but a source's name no slash.
_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
#: Suffixes of files that are sources of their own.
_ARCHIVES = {"zip": (".zip",), "tar": (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")}


class OpenSource(Protocol):
    """A function that opens sources of one name."""

    def __call__(self, address: str, selection: Selection = PICTURES) -> AbstractContextManager[Source]:
        """Returns a context that opens the source at ``address``, which includes the name. Where it selects items by
        name, ``selection`` says which. Raises SourceError."""


def open_source(address: str, selection: Selection = PICTURES) -> AbstractContextManager[Source]:
    """Returns a context that opens the source at ``address``, by default a folder, or an archive by its suffix. Raises
    SourceError if there is no such source, and NotRegistered for an unknown source name."""
    opened: OpenSource = SOURCES.get(name_of(address))
    return opened(address, selection)


def name_of(address: str) -> str:
    """Returns the name of the source that ``address`` is opened by."""
    named = _NAMED.match(address)
    if named:
        return named[1]
    return next((name for name, suffixes in _ARCHIVES.items() if address.lower().endswith(suffixes)), "folder")

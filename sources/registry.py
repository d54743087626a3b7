"""Opens sources by address: our own, and those that installed packages add as entry points ``hashlake.sources``.

    folder:/data/photos  ─▶ SOURCES.get("folder") ─▶ open_folder ─▶ a Source, closed at the end of the block
    urls:pictures.txt    ─▶ SOURCES.get("urls")   ─▶ open_urls

The part before the first colon is the source's name; the source itself interprets the rest.
"""

import re
from contextlib import AbstractContextManager
from typing import Protocol

from contract.registry import BuiltIn, Registry
from sources.source import Source

SOURCES = Registry(
    "source",
    "hashlake.sources",
    {"folder": BuiltIn("sources.folder:open_folder"), "urls": BuiltIn("sources.urls:open_urls")},
)


#: A folder may have a colon in its name, but a source's name no slash.
_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


class OpenSource(Protocol):
    """A function that opens sources of one name."""

    def __call__(self, address: str) -> AbstractContextManager[Source]:
        """Returns a context that opens the source at ``address``, which includes the name. Raises SourceError."""


def open_source(address: str) -> AbstractContextManager[Source]:
    """Returns a context that opens the source at ``address``, by default a folder. Raises SourceError if there is no
    such source, and NotRegistered for an unknown source name."""
    named = _NAMED.match(address)
    opened: OpenSource = SOURCES.get(named[1] if named else "folder")
    return opened(address)

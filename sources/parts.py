"""Parts of files by their names, to be shown.

    catalogue.pdf#page=3             catalogue.pdf, and its third page
    catalogue.pdf#page=3&image=1     the first picture on it
    catalogue.pdf#page=3&segment=7   the page that this text is on

The library that renders them is imported when one is asked for, and may not be installed.
"""

import re

from contract.registry import NotRegistered
from sources.errors import SourceError

PART = re.compile(r"(.*)#page=([0-9]{1,9})(?:&image=([0-9]{1,9})|&segment=[0-9]{1,9})?", re.DOTALL)


def file_of(name: str) -> str | None:
    """Returns the name of the file that the part called ``name`` belongs to; None if it isn't a part's name."""
    found = PART.fullmatch(name)
    return found and found[1]


def part_of(name: str, data: bytes) -> bytes:
    """Returns a picture of the part called ``name`` of the file in ``data``; ``data`` itself if ``name`` is a file's.
    Raises Unreadable, and SourceError where nothing renders it."""
    if file_of(name) is None:
        return data
    try:
        from sources.pdf import picture_of
    except (NotRegistered, ModuleNotFoundError) as error:
        raise SourceError("pages of PDFs cannot be shown here: pip install 'hashlake[pdf]'") from error
    return picture_of(name, data)

"""Parts of files as pictures, to be shown: a page, the picture on it, or the page that a text is on.

The library that renders them is imported when one is asked for, and may not be installed.
"""

from sources.errors import SourceError
from sources.part_names import file_of


def part_of(name: str, data: bytes) -> bytes:
    """Returns a picture of the part called ``name`` of the file in ``data``; ``data`` itself if ``name`` is a file's.
    Raises Unreadable, and SourceError where nothing renders it."""
    if file_of(name) is None:
        return data
    try:
        from sources.pdf import picture_of
    except ModuleNotFoundError as error:
        raise SourceError("pages of PDFs cannot be shown here: pip install 'hashlake[pdf]'") from error
    return picture_of(name, data)

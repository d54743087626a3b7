"""Parts of files as pictures, to be shown: a page, the picture on it, the page that a text is on, or a region.

The library that renders pages is imported when one is asked for, and may not be installed.
"""

from contract.regions import region_of
from pictures.cutting import cut_out
from pictures.errors import ImageError
from sources.errors import SourceError, Unreadable
from sources.full_size import full_size_of
from sources.part_names import PART


def part_of(name: str, data: bytes, metadata: str | None = None) -> bytes:
    """Returns a picture of the part called ``name`` of the file in ``data``; ``data`` itself if ``name`` is a file's.
    ``metadata``: what its source said of it. Raises Unreadable, and SourceError where nothing renders it."""
    region = region_of(name)
    if region is None:
        return _rendered(name, data)
    try:
        return cut_out(_rendered(region.parent, data), region.box, full_size_of(metadata))
    except ImageError as error:
        raise Unreadable(str(error)) from error


def _rendered(name: str, data: bytes) -> bytes:
    if PART.fullmatch(name) is None:
        return data
    try:
        from sources.pdf import picture_of
    except ModuleNotFoundError as error:
        raise SourceError("pages of PDFs cannot be shown here: pip install 'hashlake[pdf]'") from error
    return picture_of(name, data)

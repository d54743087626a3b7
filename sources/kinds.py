"""Which files are pictures: by their names, and where names tell nothing, by their first bytes.

a.jpg            known suffix                               a picture
a.cr2            suffix of pictures that nothing decodes    left out, and counted
a.txt, a.part    suffix of something else                   not looked at
a, a.jpg_large   anything else                              a picture, if its first bytes are
"""

import mimetypes
from enum import Enum, auto
from os import DirEntry, fsdecode

from pictures.formats import HEAD, SUFFIXES, UNINSTALLED, UNREAD, recognised

#: Downloads that aren't finished.
_UNFINISHED = frozenset([".part", ".partial", ".crdownload", ".download", ".filepart", ".tmp"])


class Kind(Enum):
    """What a file is to a listing."""

    PICTURE = auto()
    UNREAD = auto()  # a picture that nothing here decodes
    OTHER = auto()


_KINDS = (
    dict.fromkeys(mimetypes.MimeTypes(()).types_map[True].keys() - UNINSTALLED.keys() | _UNFINISHED, Kind.OTHER)
    | dict.fromkeys(UNREAD, Kind.UNREAD)
    | dict.fromkeys(SUFFIXES, Kind.PICTURE)
)


def kind_by_name(name: bytes, splits: frozenset[str] = frozenset()) -> Kind | None:
    """What a file called ``name`` is; None if its name doesn't tell. What ends in one of ``splits`` is taken apart into
    pictures, and so counts as one."""
    suffix = suffix_of(name)
    return Kind.PICTURE if suffix in splits else _KINDS.get(suffix)


def kind_by_content(entry: "DirEntry[bytes]") -> tuple[Kind, str]:
    """What the file is, by its first bytes, and the suffix that pictures of this kind have. Raises OSError."""
    with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123 (bytes, as the name is)
        known = recognised(file.read(HEAD))
    if known is None:
        suffix = suffix_of(entry.name)
        return (Kind.UNREAD if suffix in UNINSTALLED else Kind.OTHER), suffix
    return (Kind.PICTURE if known.is_readable else Kind.UNREAD), known.suffixes[0]


def suffix_of(name: bytes) -> str:
    """The suffix in lower case; none of a name that only begins with a dot."""
    stem, _, end = name.rpartition(b".")
    return f".{fsdecode(end.lower())}" if stem else ""

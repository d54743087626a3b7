"""Which files a source lists: pictures, by their names, and what splitters take apart. The rules are a folder's
(sources/walk.py), for keys of object stores and members of archives too.

    a.jpg                yes        a.cr2            no, and counted: nothing decodes it
    a.txt                no         .trash/a.jpg     no, and counted, unless hidden files are kept
    a, a.jpg_large       yes: its first bytes tell, once it is read
"""

from dataclasses import dataclass

from sources.kinds import Kind, kind_by_name, suffix_of
from sources.left_out import HIDDEN, LeftOut, is_hidden_file, is_hidden_folder


@dataclass(frozen=True)
class Selection:
    """``splits``: suffixes, such as ".pdf", of what is taken apart into pictures. ``keep_hidden``: trash and thumbnail
    folders are listed too."""

    splits: frozenset[str] = frozenset()
    keep_hidden: bool = False

    def has(self, path: str, left_out: LeftOut) -> bool:
        """Whether the file at ``path``, which has slashes between its folders, is listed; if not, though it looks like
        a picture, ``left_out`` counts it."""
        *folders, name = path.encode("utf-8", "surrogateescape").split(b"/")
        kind = kind_by_name(name, self.splits)
        if not name or kind is Kind.OTHER:
            return False
        if not self.keep_hidden and (is_hidden_file(name) or any(map(is_hidden_folder, folders))):
            left_out[HIDDEN] += kind is not None
            return False
        if kind is Kind.UNREAD:
            left_out[suffix_of(name).removeprefix(".")] += 1
            return False
        return True


PICTURES = Selection()

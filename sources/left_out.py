"""What a listing leaves out, though it looks like pictures: counted by its kind, and told in one line:
left out: 4 jxl (pip install 'hashlake[formats]'), 2 cr2, 12 in trash and thumbnail folders (--keep_hidden lists them)
"""

from collections import Counter

from pictures.formats import UNINSTALLED

#: The count of pictures in folders, and under names, that are hidden from people.
HIDDEN = "hidden"

#: Folders that desktops, cameras, network storage and file systems keep for themselves, in lower case. All names that
#: begin with a dot are such folders too: .Trash-1000, .thumbnails, .@__thumb.
_FOLDERS = frozenset(
    [
        b"@eadir", b"#recycle", b"#snapshot", b"@recycle", b"@recently-snapshot", b"@tmp",  # network storage
        b"$recycle.bin", b"recycler", b"recycled", b"system volume information", b"found.000",  # Windows
        b"lost+found", b"__macosx", b"network trash folder", b"temporary items", b"lost.dir",
    ]
)  # fmt: skip
#: Beginnings of files' names: forks that macOS leaves on other systems, Android's trash and unfinished pictures.
_FILES = (b"._", b".trashed-", b".pending-")


def is_hidden_folder(name: bytes) -> bool:
    """Whether a folder of this name is one that people don't keep pictures in. The dots of a key, ``a/../b.jpg``, are
    no folder's name."""
    return (name.startswith(b".") and name not in (b".", b"..")) or name.lower() in _FOLDERS


def is_hidden_file(name: bytes) -> bool:
    """Whether a file of this name is no picture of people's."""
    return name.lower().startswith(_FILES)


class LeftOut(Counter[str]):
    """Counts by suffix without its dot, and HIDDEN."""

    def __str__(self) -> str:
        """One line; empty if nothing is left out."""
        return self.told(" (--keep_hidden lists them)")

    def told(self, remedy: str = "") -> str:
        """The line where ``remedy`` brings back what is hidden; without one where nothing does."""
        if not self.total():
            return ""
        parts = [self._part(kind) for kind, _ in self.most_common() if kind != HIDDEN]
        if self[HIDDEN]:
            parts.append(f"{self[HIDDEN]:,} in trash and thumbnail folders{remedy}")
        return f"left out: {', '.join(parts)}"

    def _part(self, kind: str) -> str:
        missing = UNINSTALLED.get(f".{kind}")
        return f"{self[kind]:,} {kind}" + (f" ({missing.remedy})" if missing else "")

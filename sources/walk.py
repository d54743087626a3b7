"""Lists all images below a folder in an order that is the same on every machine: by the bytes of their paths.

A folder's entries are sorted, with a slash after folder names, and each folder is entered at its place in that order.
That gives the order of all paths sorted together, with only a few folders' entries in memory.

    a-b.jpg    a/1.jpg    a/2.jpg    a0.jpg        "-" < "/" < "0"

What looks like a picture and isn't listed is counted by why (sources/left_out.py).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sources.kinds import Kind, kind_by_content, kind_by_name, suffix_of
from sources.left_out import HIDDEN, LeftOut, is_hidden_file, is_hidden_folder
from sources.selection import PICTURES, Selection


def walk(
    folder: str,
    problem: Callable[[str], None],
    left_out: LeftOut | None = None,
    selection: Selection = PICTURES,
) -> Iterator[bytes]:
    """Yields the paths below ``folder`` of all regular files of the ``selection``: images by their extension in upper
    or lower case, or, if it tells nothing, by their first bytes.

    Follows symbolic links. ``problem`` gets a line for each folder that cannot be read, and for each link back to a
    folder that it lies in, which is not followed. ``left_out`` counts what looks like images and isn't listed.
    """
    counts = LeftOut() if left_out is None else left_out
    entered = [_enter(os.fsencode(folder), b"", problem, counts, selection)]
    while entered:
        here = entered[-1]
        if not here.entries:
            entered.pop()
            continue
        name = here.entries.pop()
        if not name.endswith(b"/"):
            yield here.prefix + name
            continue
        hidden = here.hidden or (not selection.keep_hidden and is_hidden_folder(name[:-1]))
        below = _enter(here.path + b"/" + name[:-1], here.prefix + name, problem, counts, selection, hidden=hidden)
        if below.identity in (above.identity for above in entered):
            problem(f"{os.fsdecode(below.path)}: a link back to a folder that it lies in")
        else:
            entered.append(below)


def has_own_pictures(folder: str) -> bool:
    """Whether ``walk`` would list files of ``folder`` itself, not only of folders in it. Raises OSError."""
    with os.scandir(os.fsencode(folder)) as found:
        return any(not name.endswith(b"/") for name in _entries(found, lambda _: None, LeftOut(), PICTURES))


@dataclass(frozen=True)
class _Folder:
    """``identity``: device and inode, None if it cannot be read. ``entries``: those left to do, the next one last.
    ``hidden``: it is a folder that isn't listed, or in one."""

    path: bytes
    prefix: bytes
    identity: tuple[int, int] | None
    entries: list[bytes]
    hidden: bool


def _enter(
    path: bytes,
    prefix: bytes,
    problem: Callable[[str], None],
    counts: LeftOut,
    selection: Selection,
    *,
    hidden: bool = False,
) -> _Folder:
    try:
        status = os.stat(path)
        with os.scandir(path) as found:
            names = _hidden(found, counts) if hidden else _entries(found, problem, counts, selection)
            entries = sorted(names, reverse=True)
        return _Folder(path, prefix, (status.st_dev, status.st_ino), entries, hidden)
    except OSError as error:
        if not hidden:
            problem(f"{os.fsdecode(path)}: {error.strerror}")
        return _Folder(path, prefix, None, [], hidden)


def _entries(
    found: "Iterator[os.DirEntry[bytes]]", problem: Callable[[str], None], counts: LeftOut, selection: Selection
) -> Iterator[bytes]:
    """Yields the names of images, and of folders with a slash after them."""
    for entry in found:
        try:
            if entry.is_dir():
                yield entry.name + b"/"
                continue
            kind = kind_by_name(entry.name, selection.splits)
            if kind is Kind.OTHER or not entry.is_file():
                continue
            if not selection.keep_hidden and is_hidden_file(entry.name):
                counts[HIDDEN] += kind is not None
                continue
            suffix = None
            if kind is None:
                kind, suffix = kind_by_content(entry)
            if kind is Kind.PICTURE:
                yield entry.name
            elif kind is Kind.UNREAD:
                counts[(suffix or suffix_of(entry.name)).removeprefix(".")] += 1
        except OSError as error:
            problem(f"{os.fsdecode(entry.path)}: {error.strerror}")


def _hidden(found: "Iterator[os.DirEntry[bytes]]", counts: LeftOut) -> Iterator[bytes]:
    """Counts the images in a hidden folder, by their names; yields the folders in it that are no links."""
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield entry.name + b"/"
        else:
            counts[HIDDEN] += kind_by_name(entry.name) in (Kind.PICTURE, Kind.UNREAD)

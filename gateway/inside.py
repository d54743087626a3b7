"""Opening a file that must lie inside a folder, wherever symbolic links lead.

The path is walked once, to a handle that reads nothing and waits for nothing (O_PATH). What the handle stands for is
looked at, and only then opened, by the handle: whoever exchanges a link meanwhile is too late.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


class OutsideFolder(Exception):
    """The path leads out of the folder."""


def open_inside(folder: Path, path: Path) -> BufferedReader:
    """The regular file at ``path``, open for reading. Both may be reached by symbolic links.

    Raises OutsideFolder unless the file's true place is below ``folder``'s, and OSError when there is no such regular
    file, or it may not be read.
    """
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except ValueError as error:  # a zero byte in the name
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    try:
        opened = Path(f"/proc/self/fd/{handle}")
        if not opened.readlink().is_relative_to(folder.resolve()):
            raise OutsideFolder
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.ENOENT, "not a regular file")
        return opened.open("rb")
    finally:
        os.close(handle)

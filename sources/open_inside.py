"""Opens a file only if it lies inside a folder, once symbolic links are resolved.

The path is resolved once, to a handle that neither reads nor waits (O_PATH). The file behind the handle is checked, and
then opened by the handle: exchanging a link in between has no effect.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


class OutsideFolder(Exception):
    """The path leads out of the folder."""


def open_inside(folder: Path, path: Path) -> BufferedReader:
    """Returns the regular file at ``path``, open for reading. Both paths may lead through symbolic links.

    Raises OutsideFolder unless the file really lies below ``folder``, and OSError if there is no such regular file, or
    it may not be read.
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

"""Where tests have their folders: in memory, if there is room.

Stores and journals make sure of what they write, tens of thousands of times in a run: milliseconds each on a disk,
nothing in memory. What tests kill are processes, never the machine, so they see no difference.
"""

import os
from pathlib import Path

_MEMORY = Path("/dev/shm")
_BYTES = 4 << 30
#: Below which folder pytest makes its own, unless --basetemp says so.
_VARIABLE = "PYTEST_DEBUG_TEMPROOT"


def pytest_configure() -> None:
    if _is_fit(_MEMORY):
        os.environ.setdefault(_VARIABLE, str(_MEMORY))


def _is_fit(folder: Path) -> bool:
    """Whether files have room in ``folder``, and programs among them may run."""
    if not os.access(folder, os.W_OK):
        return False
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize >= _BYTES and not status.f_flag & os.ST_NOEXEC

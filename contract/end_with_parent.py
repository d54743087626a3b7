"""Processes that end when their parent does; ``python -m contract.end_with_parent PARENT COMMAND…`` becomes such a one.

A parent killed by SIGKILL can end nobody any more. So the kernel sends its children SIGTERM (prctl's
PR_SET_PDEATHSIG): no process is left behind that keeps a port.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence


def end_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def ending_with_parent(command: Sequence[str]) -> list[str]:
    """Returns the command that becomes ``command`` and ends with its parent."""
    return [sys.executable, "-m", "contract.end_with_parent", str(os.getpid()), *command]


def main() -> None:
    parent, *command = sys.argv[1:]
    end_with_parent()
    if os.getppid() != int(parent):  # it ended before it could be told
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 (no shell is meant)


if __name__ == "__main__":
    main()

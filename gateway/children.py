"""The project's own commands, as child processes of the gateway and its jobs."""

import ctypes
import signal
import sys

HASHLAKE = [sys.executable, "-m", "hashlake"]


def end_with_parent() -> None:
    """For ``preexec_fn``: have the kernel end the child when its parent ends, even by SIGKILL (prctl's
    PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)

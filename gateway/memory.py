"""Gives memory back to the system after a burst of large requests; the C library would keep it for later ones.

Both functions do nothing where the C library isn't glibc.
"""

import ctypes
import gc

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def share_arenas() -> None:
    """Let all threads allocate from two arenas. With one for each thread, as glibc has it otherwise, each keeps what
    the largest request took there. Call it before threads start."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Returns free memory to the system. Takes some milliseconds, and Python's lock for the first of them."""
    gc.collect()  # errors hold their frames, and these the requests
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

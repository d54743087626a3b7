"""Fills the page tables of mapped files at once, instead of by page faults in the first searches."""

import ctypes
import mmap
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

#: Not in Python's mmap before 3.14; kernels before Linux 5.14 refuse it, and then the first searches are slower.
_MADV_POPULATE_READ = 22

_madvise = ctypes.CDLL(None, use_errno=True).madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def populate(arrays: Sequence[NDArray[Any]]) -> None:
    """Map every page of ``arrays``, reading from the disk what isn't in the page cache. Other threads run meanwhile."""
    for array in arrays:
        start = array.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
        _madvise(start, array.ctypes.data + array.nbytes - start, _MADV_POPULATE_READ)

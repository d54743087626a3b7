"""Compiles the search kernels once per machine, before the first query.

Signatures are given, so no client ever waits while numba compiles for another kind of array. The machine code is kept
beside the source or in the user's cache folder, whichever is writable; numba keeps one for each processor and version.
If neither is writable, each process compiles for itself.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from llvmlite.binding import get_host_cpu_name
from numba import njit

_OPTIONS = {"boundscheck": False, "error_model": "numpy", "nogil": True}

#: The files whose code kernels inline: numba looks for changes only in a kernel's own file.
_SOURCES = [crc32(Path(__file__).with_name(name).read_bytes()) for name in ("compiled.py", "lanes.py", "tables.py")]


def compiled(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that compiles a function for the numba types of ``signature``.

    The variables that the function closes over must be plain constants and types: numba finds its compiled code again
    by their values.
    """

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        # Each kernel has its own name: two processes that add to one name's cache index at once mix up its files.
        constants = [cell.cell_contents for cell in function.__closure__ or ()]
        function.__qualname__ += f".{crc32(repr((signature, constants, get_host_cpu_name(), _SOURCES)).encode()):08x}"
        try:
            return njit(signature, cache=True, **_OPTIONS)(function)
        except Exception:  # no cache folder, no room in it, or a file cut short by a power failure
            return njit(signature, **_OPTIONS)(function)

    return compile_


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator for a part of compiled functions, inlined into them; its constant arguments stay constants."""
    return njit(forceinline=True, **_OPTIONS)(function)

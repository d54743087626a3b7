"""Compiling the search kernels: once a machine, before the first query.

Signatures are given, so nothing is compiled later, for another kind of array, while a client waits. The machine code
is kept beside the source or in the user's cache folder, whichever can be written; numba keeps it apart by processor
and by version. Where neither can be, each process compiles for itself.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

from llvmlite.binding import get_host_cpu_name
from numba import njit

_OPTIONS = {"boundscheck": False, "error_model": "numpy", "nogil": True}

#: What kernels take in from other files than their own, the only one in which numba looks for changes.
_SOURCES = [crc32(Path(__file__).with_name(name).read_bytes()) for name in ("compiled.py", "lanes.py", "tables.py")]


def compiled(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that compiles a function for the numba types of ``signature``.

    What the function takes from around it must be plain constants and types: numba finds its compiled code again by
    their values.
    """

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        # A name for each kernel: two processes that add to the index of one name at once mix up their files.
        constants = [cell.cell_contents for cell in function.__closure__ or ()]
        function.__qualname__ += f".{crc32(repr((signature, constants, get_host_cpu_name(), _SOURCES)).encode()):08x}"
        try:
            return njit(signature, cache=True, **_OPTIONS)(function)
        except Exception:  # no folder for the cache, no room in it, or a file that a power failure has cut short
            return njit(signature, **_OPTIONS)(function)

    return compile_


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A part of a compiled function, with a name of its own; constants among its arguments stay constants."""
    return njit(forceinline=True, **_OPTIONS)(function)

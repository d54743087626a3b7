"""Compiling the search kernels: once a machine, before the first query.

Signatures are given, so nothing is compiled later, for another kind of array, while a client waits. The machine code
is kept beside the source or in the user's cache folder, whichever can be written; numba keeps it apart by processor
and by version. Where neither can be, each process compiles for itself.
"""

from collections.abc import Callable
from typing import Any

from numba import njit

_OPTIONS = {"boundscheck": False, "error_model": "numpy", "nogil": True}


def compiled(signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that compiles a function for the numba types of ``signature``.

    What the function takes from around it must be plain constants and types: numba finds its compiled code again by
    their values.
    """

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(signature, cache=True, **_OPTIONS)(function)
        except (RuntimeError, OSError):  # no folder for the cache, or no room in it
            return njit(signature, **_OPTIONS)(function)

    return compile_


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A part of a compiled function, with a name of its own; constants among its arguments stay constants."""
    return njit(forceinline=True, **_OPTIONS)(function)

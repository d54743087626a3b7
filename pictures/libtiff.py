"""Keeps libtiff, which reads TIFF for Pillow, from writing to this process's standard error: a line for each fault in a
picture, thousands for a small one. The error that is raised says what is wrong."""

import ctypes
from importlib import import_module
from pathlib import Path

_LOADED = Path("/proc/self/maps")


def silence() -> None:
    """Turn its messages off, in the whole process. Does nothing where Pillow has no libtiff of its own or of the
    system's, and where Linux doesn't tell which libraries are loaded."""
    import_module("PIL._imaging")  # which loads it
    if not _LOADED.exists():
        return
    lines = _LOADED.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    for library in {line.split(maxsplit=5)[5] for line in lines if "/libtiff" in line}:
        loaded = ctypes.CDLL(library)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            handler = getattr(loaded, name)
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)

"""Guards the imports of numba, which compiles the search and is needed only for searching.

It takes half a second and a hundred megabytes to load, so code that only looks codes up never imports it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from searcher.errors import CompilerMissing


@contextmanager
def needing_numba() -> Iterator[None]:
    """Raise CompilerMissing, which says why in one line, if the imports in the block fail."""
    try:
        yield
    except (ImportError, OSError) as error:  # OSError if llvmlite's library doesn't load
        raise CompilerMissing(
            f"numba, which compiles the search, cannot be loaded ({error}): install hashlake's dependencies anew"
        ) from error
